"""Baselines: those made of the value itself, and those that are given."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InputError, ParameterError
from interp_widgets.explainers.baselines import as_baseline
from tests.explainers.paths import DOUBLE, TARGET, recorded


@pytest.mark.parametrize("baseline", ["dark", "mean", "blurred", "noise"])
def test_a_vectors_baseline_is_made_of_all_its_numbers(baseline: str, close: Callable[..., None]) -> None:
    model, x = nn.Linear(6, 5).double(), torch.randn(1, 6, dtype=torch.float64)
    low, high, mean = float(x.min()), float(x.max()), float(x.mean())
    drawn = low + (high - low) * torch.rand(6, generator=torch.Generator().manual_seed(0)).double()
    start = {"dark": low, "mean": mean, "blurred": mean, "noise": drawn}[baseline]
    found = iw.IntegratedGradients(baseline=baseline)(iw.record(model, x), TARGET)
    close(found.values, (model.weight[TARGET] * (x - start)).detach()[0], DOUBLE)


@pytest.mark.parametrize("kind", [iw.IntegratedGradients, iw.ExpectedGradients])
def test_a_baseline_that_does_not_fit_is_refused_in_words(kind: Callable[..., iw.Explainer]) -> None:
    _, image, trace = recorded()
    with pytest.raises(InputError, match=r"must have the input's shape \(3, 8, 12\), got \(3, 12, 8\)"):
        kind(baseline=torch.zeros(3, 12, 8))(trace, TARGET)
    with pytest.raises(ParameterError, match="a tensor or one of zero, dark, mean, blurred, noise, got 'black'"):
        kind(baseline="black")
    one, batch = (kind(baseline=tensor)(trace, TARGET).values for tensor in (image[0] / 2, image / 2))
    assert torch.equal(one, batch)


def test_a_given_baseline_is_kept_as_it_was_given() -> None:
    _, image, trace = recorded()
    start = torch.zeros_like(image[0])
    explainer = iw.IntegratedGradients(steps=2, baseline=as_baseline(start))
    before = explainer(trace, TARGET).values
    start += 1
    assert torch.equal(explainer(trace, TARGET).values, before)
