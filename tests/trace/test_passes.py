"""Batches of passes that do not fit into memory are halved; values are brought to where the model computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.trace import passes

MOST = 3  # values that fit into the memory of ``Cramped``


class Cramped(nn.Module):
    """Has memory for a few inputs at once, as a small graphics card."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(144, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > MOST:
            raise torch.OutOfMemoryError("CUDA out of memory (so to speak)")
        return self.head(self.conv(x).relu().flatten(1))


def image(count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("layer", ["input", "conv"])
def test_values_that_do_not_fit_together_are_taken_in_halves(layer: str, gradient: bool) -> None:
    model = Cramped()
    trace = iw.record(model, image())
    shape = trace.site(layer).shape[1:]
    values = torch.rand(11, *shape, generator=torch.Generator().manual_seed(3))
    found = trace.probe(layer, values, 2, gradient=gradient)
    one_by_one = [trace.probe(layer, value[None], 2, gradient=gradient) for value in values]
    torch.testing.assert_close(found.scores, torch.cat([each.scores for each in one_by_one]))
    torch.testing.assert_close(found.gradients, torch.cat([each.gradients for each in one_by_one]))


def test_once_a_batch_did_not_fit_the_next_ones_are_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "MOST_AT_ONCE", 8)
    trace = iw.record(Cramped(), image())
    parts = trace.batches(40, growing=False)
    sizes = []
    for part in parts:
        sizes.append(len(part))
        trace.probe("input", image(len(part)), 2)
    assert sizes[0] > MOST
    assert max(sizes[1:]) <= MOST
    assert sum(sizes) == 40


def test_one_value_that_does_not_fit_is_an_error_of_its_own() -> None:
    class Full(Cramped):
        full = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if type(self).full:
                raise torch.OutOfMemoryError("CUDA out of memory (so to speak)")
            return super().forward(x)

    trace = iw.record(Full(), image())
    Full.full = True
    with pytest.raises(torch.OutOfMemoryError, match="so to speak"):
        trace.probe("input", image(4), 2)


@pytest.mark.parametrize("explainer", [iw.RISE(samples=40), iw.Occlusion(), iw.SmoothGrad(samples=9), iw.ScoreCAM()])
def test_methods_go_on_where_a_batch_does_not_fit(explainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Cramped()
    with iw.record(model, image()) as trace:
        found = explainer(trace, 2).values
    monkeypatch.setitem(globals(), "MOST", 1000)
    with iw.record(model, image()) as trace:
        expected = explainer(trace, 2).values
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("given", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("computed", [torch.float32, torch.float64, torch.bfloat16])
def test_inputs_come_in_the_models_floating_type(given: torch.dtype, computed: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)).to(computed)
    x = image().to(given)
    before = x.clone()
    trace = iw.record(model, x)
    assert trace.activation("input").dtype == computed
    assert torch.equal(trace.output, model(x.to(computed)))
    assert trace.probe("input", x, 1).scores.dtype == computed
    assert x.dtype == given
    assert torch.equal(x, before)


def test_whole_numbers_and_models_without_parameters_keep_their_type() -> None:
    embedding = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)).double()
    assert iw.record(embedding, torch.tensor([[1, 2, 3]])).activation("input").dtype == torch.int64
    assert iw.record(nn.Flatten(), image().double()).activation("input").dtype == torch.float64
