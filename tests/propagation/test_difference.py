"""Multipliers sum up on whatever the model is made of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.explainers.deep_lift import DeepLift
from interp_widgets.propagation import difference
from interp_widgets.propagation.difference import multipliers
from interp_widgets.trace.interrupt import Interrupted, interruptible
from tests.explainers.subjects import SmallNet
from tests.propagation.models import IMAGE, INSIDE, OTHER, Inside, change_of, lifted


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("baseline", ["zero", "noise", "other"])
def test_it_sums_up(name: str, baseline: str) -> None:
    model = Inside(INSIDE[name])
    reference = {"zero": torch.zeros_like(IMAGE), "other": OTHER}.get(baseline)
    found = lifted(model, baseline if reference is None else reference)
    exact = "no rule" not in name
    assert found.error is not None
    assert found.error < (1e-9 if exact else 1e-3)
    if reference is not None:
        change = change_of(model, reference)
        assert float(found.values.sum()) == pytest.approx(change, rel=1e-9 if exact else 1e-3)


def test_more_nodes_are_taken_only_where_one_does_not_sum_up(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    whole = difference._gauss_legendre
    monkeypatch.setattr(difference, "_gauss_legendre", lambda count: taken.append(count) or whole(count))
    lifted(SmallNet().double())
    assert set(taken) == {1}
    lifted(Inside(INSIDE["logsumexp, which has no rule"]))
    assert 8 in taken
    assert 128 not in taken


def test_multipliers_at_every_layer_on_the_only_way_add_up_to_the_change() -> None:
    model = SmallNet().double().eval()
    trace = iw.record(model, IMAGE.double())
    with trace.rerun({"input": OTHER.double()}) as reference:
        layers = ["input", "conv1", "bn1", "relu", "conv2", "head"]
        found = multipliers(trace, reference, layers, 3)
    assert found.score == pytest.approx(float(trace.score(3)))
    for layer in layers:
        total = float((found.at[layer] * found.steps[layer]).sum())
        assert total == pytest.approx(found.change, rel=1e-9), layer
        explained = DeepLift(baseline=OTHER)(trace, 3, layer)
        assert float(explained.values.sum()) == pytest.approx(found.change, rel=1e-9)
        torch.testing.assert_close(found.steps[layer], trace.activation(layer) - reference_of(model, layer))


def reference_of(model: nn.Module, layer: str) -> torch.Tensor:
    return iw.record(model, OTHER.double()).activation(layer)


def test_a_walk_that_nobody_wants_any_more_stops() -> None:
    model = SmallNet().eval()
    trace, reference = iw.record(model, IMAGE), iw.record(model, OTHER)
    with interruptible(lambda: True), pytest.raises(Interrupted, match=r"^$"):
        multipliers(trace, reference, ["input"], 1)
