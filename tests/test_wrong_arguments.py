"""Wrong calls get our sentence: every public name with every kind of wrong value, and natural mistakes one by one."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import (
    CopyError,
    InputError,
    InterpError,
    LayerError,
    ModelError,
    ParameterError,
    TargetError,
)
from tests.wrong_arguments import WRONG, attempts, complaint, image, model

# The kinds that tell the most; the others run with the slow tests.
CORE = ("None", "a class", "text", "a fraction", "a mapping", "an array", "a tensor of another shape")
QUICK = ("record", "load_input", "Preprocess", "Class", "Contrast", "SiteScore", "OutputScore", "Layout", "zoo.load")

ALL = list(attempts())


@pytest.mark.parametrize("kind", CORE)
def test_the_quick_ones_refuse_wrong_values_in_words(kind: str) -> None:
    found = [(each.what, complaint(each, kind)) for each in ALL if each.what.startswith(QUICK)]
    assert [pair for pair in found if pair[1]] == []


@pytest.mark.slow
@pytest.mark.parametrize("attempt", ALL, ids=lambda attempt: attempt.what)
def test_every_public_name_refuses_wrong_values_in_words(attempt: Any) -> None:
    found = [(kind, complaint(attempt, kind)) for kind in WRONG]
    assert [pair for pair in found if pair[1]] == []


def test_every_public_name_is_in_the_table() -> None:
    told = {attempt.what.split(",")[0].split(".")[0].removesuffix("()").split(" ")[0] for attempt in ALL}
    no_calls = {
        "EXPLAINERS",
        "explainers",
        "InterpError",
        "Attribution",
        "CAM",
        "ErrorKind",
        "Estimate",
        "Question",
        "Explainer",
        "Intervention",
        "Site",
        "WeightDiff",
        "WeightReport",
    }  # nobody makes them
    missing = {name for name, kind in iw.EXPLAINERS.items() if kind.missing()}
    assert set(iw.__all__) - told - no_calls - missing == set()


def test_the_judge_notices_a_leak_and_a_value_that_is_not_named() -> None:
    from tests.wrong_arguments import Attempt

    def leak(_wrong: Any) -> None:
        raise AttributeError("no such thing")

    def silent(_wrong: Any) -> None:
        raise ParameterError("this cannot be")

    assert complaint(Attempt("leak", leak), "text").startswith("leaks AttributeError")
    assert complaint(Attempt("silent", silent), "text").startswith("does not name the value")


# Natural mistakes


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: iw.explore(None, image()), ModelError, "model must be a torch.nn.Module, got None"),
        (
            lambda: iw.explore(nn.ReLU, image()),
            ModelError,
            r"got the class ReLU itself: make a model of it first, such as ReLU\(...\)",
        ),
        (lambda: iw.record("resnet18", image()), ModelError, r"load a model of that name first, with iw.zoo.load"),
        (
            lambda: iw.GradCAM()(model()),
            ParameterError,
            r"GradCAM explains a recording: trace = iw.record\(model, inputs\), then GradCAM\(\)\(trace\); got a model",
        ),
        (lambda: iw.Explorer(model()), ParameterError, r"an Explorer shows a Session: iw.explore\(model, inputs\)"),
        (lambda: iw.Comparison([]), ParameterError, "a Comparison shows at least one map"),
        (
            lambda: iw.record(model(), image(), memory_limit="lots"),
            ParameterError,
            "memory_limit must be a number of bytes of 0 or more, or a text such as '1GB' or '512 MiB', got 'lots'",
        ),
        (
            lambda: iw.record(model(), image(), class_names="cat"),
            ParameterError,
            "class_names must be a sequence of names, .*got 'cat'",
        ),
        (
            lambda: iw.record(model(), image(), class_names=["cat", "dog"]),
            ParameterError,
            r"class_names must be one per class: the model has 3, got 2 \(\['cat', 'dog'\]\)",
        ),
        (
            lambda: iw.explore(model(), image(), class_names=list("abcd")),
            ParameterError,
            "class_names must be one per class: the model has 3, got 4",
        ),
        (
            lambda: iw.record(nn.Linear(6, 3), torch.rand(2, 6), feature_names=["a", "b"]),
            ParameterError,
            r"feature_names must be one per feature of an input \(N, F\), here 6, got 2 \(\['a', 'b'\]\)",
        ),
        (
            lambda: iw.record(model(), image(), feature_names=["a", "b"]),
            ParameterError,
            r"feature_names must be one per feature of an input \(N, F\), here none, got 2",
        ),
        (
            lambda: iw.record(model(), image(), class_names={0: "cat", 2: "dog"}),
            ParameterError,
            r"with the indices 0..1, got none for 1",
        ),
        (
            lambda: iw.record(nn.Module(), image()),
            ModelError,
            "this Module has no forward of its own: give the module inside it that computes",
        ),
        (lambda: iw.check(model(), image(), methods="Grad"), ParameterError, "no explainer is named 'Grad'"),
    ],
)
def test_a_natural_mistake_is_answered_in_words(call: Any, kind: type[InterpError], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        call()


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog", "eel"],
        np.array(["cat", "dog", "eel"]),
        {0: "cat", 1: "dog", 2: "eel"},
        {2: "eel", 0: "cat", 1: "dog"},
        {"0": "cat", "1": "dog", "2": "eel"},
        {"dog": 1, "eel": 2, "cat": 0},
        (name for name in ("cat", "dog", "eel")),
    ],
)
def test_class_names_come_as_people_have_them(names: Any) -> None:
    assert iw.record(model(), image(), class_names=names).class_names == ("cat", "dog", "eel")


def test_class_names_of_pandas_and_whole_numbers() -> None:
    assert iw.record(model(), image(), class_names=[7, 8, 9]).class_names == ("7", "8", "9")
    pandas = pytest.importorskip("pandas")
    for names in (pandas.Index(["cat", "dog", "eel"]), pandas.Series(["cat", "dog", "eel"])):
        with iw.Session(model(), image(), class_names=names, target="dog") as session:
            assert session.class_names == ("cat", "dog", "eel")
            assert session.target == 1


@pytest.mark.parametrize(
    ("limit", "count"),
    [("1GB", 10**9), ("512 MiB", 512 * 2**20), ("1.5k", 1500), ("64", 64), (2.0, 2), (0, 0), ("2 gib", 2**31)],
)
def test_memory_is_written_as_people_write_it(limit: Any, count: int) -> None:
    assert iw.record(model(), image(), memory_limit=limit).memory_limit == count


def test_an_image_without_its_batch_axis_is_a_batch_of_one() -> None:
    alone, batch = iw.record(model(), image()[0]), iw.record(model(), image())
    assert alone.output.shape == (1, 3)
    assert torch.equal(alone.output, batch.output)


def test_a_recording_says_why_it_cannot_be_copied_or_pickled() -> None:
    trace = iw.record(model(), image())
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(CopyError, match="a trace cannot be copied or pickled: it holds the autograd graph"):
            attempt(trace)


# Models in models


class Twice(nn.Module):
    """One activation at two places."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.ReLU()
        self.first = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3), "act0": act})
        self.second = nn.ModuleDict({"act0": act, "head": nn.Linear(4, 3)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first["act0"](self.first["conv"](x))
        return self.second["head"](self.second["act0"](x.mean(dim=(2, 3))))


def test_a_module_at_two_places_is_found_under_both_paths() -> None:
    trace = iw.record(Twice(), image())
    assert trace.site("second.act0") == trace.site("first.act0")
    assert trace.site("second.act0:1") == trace.site("first.act0:1")
    with pytest.raises(LayerError, match=r"layer 'second\.act1' was not recorded"):
        trace.site("second.act1")


def test_paths_of_a_wrapper_are_found() -> None:
    trace = iw.record(nn.DataParallel(model()), image())
    assert trace.site("module.1") == trace.site("1")
    with pytest.raises(LayerError, match="was not recorded"):
        trace.site("module.nothing")


class Wrapper(nn.Module):
    """What Lightning and Ultralytics hand out: a module around the network, without a computation of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.model = model()


def test_the_network_inside_a_wrapper_without_forward_is_recorded() -> None:
    trace = iw.record(Wrapper(), image())
    assert type(trace.model) is nn.Sequential
    assert trace.site("model.0") == trace.site("0")


def test_an_object_around_a_model_is_told_to_give_it() -> None:
    class Pipeline:
        model = Wrapper()

    with pytest.raises(ModelError, match=r"\(Pipeline\): give the model inside it, its .model"):
        iw.record(Pipeline(), image())


def test_wrappers_of_known_libraries_are_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    class YOLO(Wrapper):
        def forward(self, *_args: Any) -> Any:
            raise AssertionError("it would predict on files")

    monkeypatch.setattr(YOLO.forward, "__module__", "ultralytics.engine.model")
    assert type(iw.record(YOLO(), image()).model) is nn.Sequential


def test_a_target_by_name_in_a_session() -> None:
    with iw.Session(model(), image(), class_names=["ant", "bee", "cat"]) as session:
        session.target = iw.Contrast("cat", "ant")
        assert session.target == iw.Contrast(2, 0)
        session.target = iw.ClassScore("bee")
        assert session.target == 1
        with pytest.raises(TargetError, match="no class is named 'cow'"):
            session.target = iw.ClassScore("cow")


def test_wrong_examples_are_refused_by_every_explainer() -> None:
    trace = iw.record(model(), image())
    for wrong in (1, -1, 0.5, "first", None):
        with pytest.raises(InputError, match=r"example must be in 0\.\.0 \(the trace holds 1 inputs\), got"):
            iw.Gradient()(trace, 0, example=wrong)
