"""Targets see values, go by class names, and refuse at once what cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets import errors
from interp_widgets.errors import TargetError
from interp_widgets.trace import ClassScore, ClassSum, Contrast, OutputScore, SiteScore, Target, Trace, record
from interp_widgets.trace.target import Names, Values
from interp_widgets.trace.targets import as_target

NAMES = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def trace() -> Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    return record(model, torch.rand(4, 3, 2, 2).double(), class_names=NAMES)


@pytest.mark.parametrize(
    ("named", "numbered"),
    [
        (ClassScore("cat"), ClassScore(2)),
        (Contrast("cat", "ant", 0.5), Contrast(2, 0, 0.5)),
        (Contrast(1, "ant"), Contrast(1, 0)),
        (ClassSum(["ant", 2]), ClassSum((0, 2))),
    ],
)
def test_a_class_is_meant_by_its_name_in_every_target(trace: Trace, named: Target, numbered: Target) -> None:
    assert as_target(named, trace) == numbered
    assert torch.equal(trace.score(named), trace.score(numbered))
    assert named.label(NAMES) == numbered.label(NAMES)


def test_a_class_name_is_refused_where_the_names_are_not_known() -> None:
    unnamed = record(nn.Linear(2, 2), torch.ones(1, 2))
    for target in (ClassScore("ant"), Contrast(0, "ant"), ClassSum(("ant", 1))):
        with pytest.raises(TargetError, match="'ant' is a class name, but the trace has no class names: give class_n"):
            unnamed.score(target)


def test_a_class_name_that_no_class_has_is_refused(trace: Trace) -> None:
    with pytest.raises(TargetError, match="no class is named 'bea'; did you mean 'bee'"):
        trace.gradient("1", Contrast(0, "bea"))


@pytest.mark.parametrize("classes", [[0, 1], (0, 1), range(2), np.arange(2), torch.arange(2)])
def test_a_sum_takes_any_sequence_of_classes_and_is_a_key(classes: Any) -> None:
    assert ClassSum(classes) == ClassSum((0, 1))
    assert hash(ClassSum(classes)) == hash(ClassSum((0, 1)))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ClassScore(1.5), r"a class of ClassScore must be an index or a class name, got 1\.5"),
        (lambda: ClassScore(True), "must be an index or a class name, got True"),
        (lambda: ClassScore(None), "must be an index or a class name, got None"),
        (lambda: Contrast(0, nn.ReLU), "a class of Contrast must be an index or a class name, got the class ReLU"),
        (lambda: Contrast(0, 1, float("nan")), "the weight of a Contrast must be a finite number, got nan"),
        (lambda: Contrast(0, 1, "much"), "the weight of a Contrast must be a finite number, got 'much'"),
        (lambda: ClassSum(()), r"ClassSum needs at least one class, such as ClassSum\(\(3, 5\)\), got \(\)"),
        (lambda: ClassSum("cat"), r"ClassSum takes a sequence of classes, such as \(3, 5\), got 'cat'"),
        (lambda: ClassSum(3), r"ClassSum takes a sequence of classes, such as \(3, 5\), got 3"),
        (lambda: ClassSum([0, -0.5]), r"a class of ClassSum must be an index or a class name, got -0\.5"),
        (lambda: SiteScore(3), r"the site of a SiteScore is a name such as 'layer4\.2', got 3"),
        (lambda: SiteScore("conv1", "red"), "the channel of a SiteScore must be a whole number, got 'red'"),
        (lambda: OutputScore(3), "OutputScore takes a function of the model's output, got 3"),
        (lambda: OutputScore(nn.ReLU), "OutputScore takes a function of the model's output, got the class ReLU"),
    ],
)
def test_what_cannot_be_a_target_is_refused_when_it_is_made(make: Any, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        make()


@pytest.mark.parametrize("target", [nn.ReLU, object(), [], {}, float("nan"), b"ant", torch.ones(2), np.arange(3)])
def test_what_cannot_be_a_target_is_refused_by_the_trace(trace: Trace, target: Any) -> None:
    with pytest.raises(TargetError, match="target must be a class index, a class name, a target object or a function"):
        trace.score(target)


@dataclass(frozen=True)
class Margin(Target):
    """A target of somebody else: how much the first class is ahead of the second."""

    def each(self, values: Values) -> torch.Tensor:
        assert not isinstance(values, Trace)
        return values.logits[:, 0] - values.logits[:, 1]

    def label(self, names: Names) -> str:
        return "margin" if names is None else f"{names[0]} ahead"


class Plain:
    """An object that is no ``Target``."""

    def score(self, values: Values, value: Any) -> torch.Tensor:
        return (value(values.logits_site)[:, 0] * 2).sum()


def test_a_target_of_somebody_else_is_explained_and_named(trace: Trace) -> None:
    assert torch.allclose(trace.score(Margin()), trace.score(Contrast(0, 1)))
    assert torch.allclose(trace.gradient("input", Margin()), trace.gradient("input", Contrast(0, 1)))
    assert Margin().label(trace.class_names) == "ant ahead"


def test_an_object_with_a_score_is_a_target(trace: Trace) -> None:
    plain = Plain()
    assert torch.allclose(trace.score(plain), 2 * trace.score(0))
    assert torch.allclose(trace.gradient("input", plain), 2 * trace.gradient("input", 0))
    assert as_target(plain, trace).label(None) == "Plain"


@pytest.mark.parametrize("target", [0, Margin(), SiteScore("1", 0), lambda output: output[0, 0], Plain()])
def test_only_scores_that_add_up_are_probed_in_batches(trace: Trace, target: Any) -> None:
    batch = torch.rand(3, 3, 2, 2).double()
    scores = trace.probe("input", batch, target).scores
    assert scores.shape == (3,)
    for image, score in zip(batch, scores, strict=True):
        assert torch.allclose(trace.rerun({"input": image[None]}).score(target), score)


def test_values_give_the_output_rebuilt(trace: Trace) -> None:
    values = Values(trace, trace.activation)
    assert torch.equal(values.output, trace.output)
    assert values.logits_site == trace.logits_site
    assert values.channel_axis("1") == 1


def test_targets_have_names_and_refuse_what_cannot_be() -> None:
    trace = iw.record(torch.nn.Linear(4, 3), torch.ones(1, 4), class_names=["ant", "bee", "cat"])
    names = {
        as_target(target, trace).label(trace.class_names)
        for target in (iw.Contrast(0, 1), iw.Contrast(0, 1, 0.5), iw.ClassSum((0, 2)))
    }
    assert names == {"ant rather than bee", "ant rather than bee, by 50%", "ant + cat"}
    with pytest.raises(errors.TargetError, match=r"count must be in 1\.\.3 \(the model's classes\), got 4"):
        iw.ClassSum.top(trace, 4)
    with pytest.raises(errors.TargetError, match=r"target must be in 0\.\.2"):
        trace.score(iw.ClassSum((0, 3)))
