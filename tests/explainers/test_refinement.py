"""Methods go on until they are as sure as asked, within a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.explainers.refinement import finer_than, refined


def kinked(*_: Any) -> iw.Trace:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 2)).double()
    return iw.record(model, torch.randn(1, 6, dtype=torch.float64))


def test_a_gap_is_brought_below_the_tolerance() -> None:
    trace, coarse = kinked(), iw.IntegratedGradients(steps=2)
    assert coarse(trace, 1).error > 0.005  # else this shows nothing
    *_, last = refined(coarse, trace, 1, tolerance=0.005, budget=20000)
    assert last.error <= 0.005
    assert last.done == last.total


def test_estimates_are_ordered_and_only_the_last_is_said_to_be_it() -> None:
    found = list(refined(iw.IntegratedGradients(steps=2), kinked(), 1, tolerance=0.005, budget=20000))
    assert [each.done for each in found] == sorted(each.done for each in found)
    assert [each.done == each.total for each in found] == [False] * (len(found) - 1) + [True]


def test_what_is_sure_enough_is_what_the_explainer_alone_gives() -> None:
    trace, method = kinked(), iw.IntegratedGradients(steps=8)
    *_, last = refined(method, trace, 1, tolerance=1.0)
    alone = method(trace, 1)
    assert torch.equal(last.values, alone.values)
    assert (last.done, last.total) == (alone.done, alone.total)
    *_, untouched = refined(method, trace, 1, tolerance=0.0)
    assert torch.equal(untouched.values, alone.values)


def test_no_more_than_the_budget_is_spent() -> None:
    *_, last = refined(iw.IntegratedGradients(steps=2), kinked(), 1, tolerance=1e-9, budget=30)
    assert last.total == 2 + 4 + 8 + 16


def test_samples_that_cannot_reach_the_tolerance_are_not_begun() -> None:
    trace, method = kinked(), iw.SmoothGrad(samples=8)
    alone = method(trace, 1)
    *_, last = refined(method, trace, 1, tolerance=alone.error / 10, budget=8 * 50)  # 100 times as many are needed
    assert torch.equal(last.values, alone.values)
    *_, reached = refined(method, trace, 1, tolerance=alone.error / 2, budget=8 * 50)
    assert reached.error < alone.error
    assert reached.total >= 8 + 32


@pytest.mark.parametrize(
    ("explainer", "effort", "finer"),
    [
        (iw.IntegratedGradients(steps=16), 16, iw.IntegratedGradients(steps=32)),
        (iw.RISE(samples=20000), 20000, None),
        (iw.RISE(samples=15000), 15000, iw.RISE(samples=20000)),
        (iw.GradCAM(), 0, None),
    ],
    ids=["steps", "at the limit", "near the limit", "one step"],
)
def test_twice_as_much_within_what_is_allowed(explainer: Any, effort: int, finer: Any) -> None:
    assert explainer.effort == effort
    assert explainer.finer() == finer


def test_going_on_takes_more_than_was_done() -> None:
    assert finer_than(iw.IntegratedGradients(steps=32), 224) == iw.IntegratedGradients(steps=256)
    assert finer_than(iw.RISE(samples=20000), 20000) is None


class Silent(iw.Explainer):
    """Yields no estimate."""

    def estimates(self, question: iw.explainers.Question) -> Any:
        del question
        return iter(())


def test_a_method_without_an_estimate_gives_none() -> None:
    assert list(refined(Silent(), kinked(), 1)) == []


def test_a_map_that_may_be_far_off_says_so() -> None:
    found = iw.IntegratedGradients(steps=2)(kinked(), 1)
    assert replace(found, error=0.2).doubt == ""
    assert replace(found, error=None).doubt == ""
    assert replace(found, error=0.37).doubt == "completeness gap 37%: not to be relied on"
    title = replace(found, error=0.37).figure().get_suptitle()
    assert title.endswith("completeness gap 37%: not to be relied on")
