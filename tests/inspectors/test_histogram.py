"""The histogram of a layer counts every finite value once."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.inspectors.histogram import histogram
from tests.widgets.models import cnn, images


def test_every_value_is_counted_in_its_range() -> None:
    with iw.record(cnn(), images(1)) as trace:
        found = histogram(trace, "0", bins=10)
        values = trace.activation("0").flatten().tolist()
        assert found.counts.sum() == len(values)
        for count, low, high in zip(found.counts, found.edges[:-1], found.edges[1:], strict=True):
            is_last = high == found.edges[-1]
            inside = [value for value in values if low <= value < high or (is_last and value == high)]
            assert abs(count - len(inside)) <= 1  # a value on an edge may be rounded to either side
        np.testing.assert_allclose(found.mean, sum(values) / len(values), rtol=1e-6)
        relu = histogram(trace, "1")
        assert relu.zeros == float((trace.activation("1") == 0).float().mean())


def test_values_that_are_not_finite_are_left_out() -> None:
    class Odd(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values / torch.tensor([1.0, 0.0, 2.0])

    model = nn.Sequential(Odd())
    with iw.record(model, torch.ones(1, 3)) as trace:
        assert histogram(trace, "0").counts.sum() == 2
        assert histogram(trace, "0").mean == 0.75
    with iw.record(model, torch.full((1, 3), float("nan"))) as trace:
        assert histogram(trace, "0").counts.sum() == 0
