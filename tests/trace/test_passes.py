"""How many passes are taken at once, and in halves where memory is short; where values go; a model that is lent."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import StaleError
from interp_widgets.trace import passes
from interp_widgets.trace.interrupt import Interrupted, interruptible
from tests.trace.models import half_trained, recorded, small, state_of

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


def test_what_a_device_holds_for_later_is_given_back_before_fewer_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[torch.device] = []
    monkeypatch.setattr(passes, "free_cached", freed.append)
    trace = iw.record(Cramped(), image())
    trace.probe("input", image(MOST + 1), 2)
    assert freed == [torch.device("cpu")]


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


FITTED = [iw.RISE(samples=40), iw.Occlusion(), iw.SmoothGrad(samples=9), iw.ScoreCAM(), iw.DeepLiftSHAP(samples=8)]


@pytest.mark.parametrize("explainer", FITTED)
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


class Rounded(nn.Module):
    """Whole numbers between an operation and the next one, which no module gives out."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x * 10).round().long() + 0.5)


def test_whole_numbers_inside_a_model_can_be_exchanged() -> None:
    model, x = Rounded().eval(), torch.rand(1, 4)
    trace = iw.record(model, x)
    values = torch.tensor([[1, 2, 3, 4], [0, 0, 7, 0]])
    found = trace.probe("/long", values, 1).scores
    torch.testing.assert_close(found, model.head(values + 0.5)[:, 1].detach())


def test_whole_numbers_and_models_without_parameters_keep_their_type() -> None:
    embedding = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)).double()
    assert iw.record(embedding, torch.tensor([[1, 2, 3]])).activation("input").dtype == torch.int64
    assert iw.record(nn.Flatten(), image().double()).activation("input").dtype == torch.float64


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 33, 100])
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("layer", [None, "conv2"])
def test_parts_cover_all_of_it_once_and_begin_with_one(count: int, layer: str | None, *, gradient: bool) -> None:
    _, _, trace = recorded("SmallNet")
    parts = list(trace.batches(count, gradient=gradient, layer=layer))
    assert [place for part in parts for place in part] == list(range(count))
    assert parts[0] == range(1)
    assert all(len(after) <= 2 * len(before) for before, after in pairwise(parts))


def test_parts_grow_up_to_as_many_as_are_good_at_once() -> None:
    _, _, trace = recorded("SmallNet")
    assert [len(part) for part in trace.batches(30)] == [1, 2, 4, 8, 8, 7]
    assert [len(part) for part in trace.batches(12, gradient=True)] == [1, 2, 4, 4, 1]
    assert [len(part) for part in trace.batches(12, growing=False)] == [8, 4]
    assert list(trace.batches(0, growing=False)) == []


def test_parts_respect_the_memory_of_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient keeps twice as much; one pass at a time is done however little memory there is."""
    model = small("SmallNet")
    image = torch.randn(1, 3, 6, 8)
    trace, batch = iw.record(model, image), iw.record(model, image.expand(4, -1, -1, -1))
    monkeypatch.setattr(passes, "batch_bytes", lambda _device: 6 * trace.nbytes)
    monkeypatch.setattr(passes, "MOST_AT_ONCE", 99)
    monkeypatch.setattr(passes, "MOST_WITH_GRADIENT", 99)
    assert max(map(len, trace.batches(99))) == 6 / passes.KEPT
    assert max(map(len, trace.batches(99, gradient=True))) == 3
    assert max(map(len, batch.batches(99))) == 6 / passes.KEPT  # four inputs have four times the values
    assert max(map(len, trace.batches(99, layer="conv2"))) > 6 / passes.KEPT
    monkeypatch.setattr(passes, "batch_bytes", lambda _device: trace.nbytes // 8)
    assert {len(part) for part in trace.batches(5)} == {1}


def test_behind_a_late_layer_there_is_room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, trace = recorded("SmallNet")
    monkeypatch.setattr(passes, "batch_bytes", lambda _device: trace.nbytes)
    sizes = [max(map(len, trace.batches(10**4, layer=layer))) for layer in ("input", "conv1", "conv2", "head")]
    assert sizes == sorted(sizes)
    assert sizes[0] == 4
    assert sizes[-1] == 4 * 32  # never more than 32 times as many


@pytest.mark.parametrize("example", [0, 1])
def test_the_model_is_lent_with_one_input_ready_to_run_and_taken_back(example: int) -> None:
    model = half_trained()
    images = torch.randn(2, 3, 6, 8)
    trace = iw.record(model, images)
    before = state_of(model)
    with trace.lent(example) as (lent, x):
        assert lent is model
        assert torch.equal(x, images[example : example + 1])
        assert not any(module.training for module in lent.modules())
        assert not any(parameter.requires_grad for parameter in lent.parameters())
        torch.testing.assert_close(lent(x).detach(), trace.logits[example : example + 1])
        x.zero_()  # it is a copy
        lent.stem[1].running_mean.zero_()  # so are the buffers
        torch.rand(3)
    assert torch.equal(trace.activation("input"), images)
    assert state_of(model) == before


def test_a_lent_model_is_taken_back_when_the_borrower_raises_or_is_interrupted() -> None:
    model = half_trained()
    trace = iw.record(model, torch.randn(1, 3, 6, 8))
    before = state_of(model)
    with pytest.raises(KeyError, match="mine"), trace.lent():
        raise KeyError("mine")
    assert state_of(model) == before
    with interruptible(lambda: True), pytest.raises(Interrupted, match=r"^$"), trace.lent() as (lent, x):
        lent(x)
    assert state_of(model) == before


def test_a_model_that_has_changed_is_not_lent() -> None:
    model = small("SmallNet")
    trace = iw.record(model, torch.randn(1, 3, 6, 8))
    with torch.no_grad():
        model.head.bias.add_(1)
    with (
        pytest.raises(StaleError, match=r"another pass cannot be taken from this trace: 'head\.bias' has changed"),
        trace.lent(),
    ):
        pass
