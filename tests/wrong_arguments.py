"""Every public name with an argument that it does not take: the table, and how an answer is judged.

A call is good but for one argument. It may work (some wrong values are right there) or be refused by an
``InterpError`` that names the value; nothing else may come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import ClosedError, InterpError
from interp_widgets.widgets.comparison import Cell

__all__ = ["WRONG", "Attempt", "attempts", "complaint"]


class Stranger:
    """An object of no kind that anything here takes."""

    def __repr__(self) -> str:
        return "<a stranger>"


def _tensor_of_nothing() -> torch.Tensor:
    return torch.empty(0)


WRONG: Mapping[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a class": lambda: nn.ReLU,
    "a class of ours": lambda: iw.GradCAM,
    "a model": nn.ReLU,
    "text": lambda: "nonsense",
    "no text": lambda: "",
    "bytes": lambda: b"nonsense",
    "a number": lambda: 3,
    "a huge number": lambda: 10**30,
    "a negative number": lambda: -7,
    "a fraction": lambda: 2.5,
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "a truth value": lambda: True,
    "a complex number": lambda: 1j,
    "an empty list": list,
    "an empty tuple": tuple,
    "an empty mapping": dict,
    "a list": lambda: [None, "x", 3.5],
    "a mapping": lambda: {"x": None},
    "a set": lambda: {"x"},
    "an iterator": lambda: iter(()),
    "an object": object,
    "a stranger": Stranger,
    "a scalar tensor": lambda: torch.tensor(1.5),
    "a tensor of nothing": _tensor_of_nothing,
    "a tensor of another shape": lambda: torch.rand(2, 7, 5, 1),
    "whole numbers": lambda: torch.zeros(1, 3, 8, 8, dtype=torch.int64),
    "a complex tensor": lambda: torch.zeros(1, 3, 8, 8, dtype=torch.complex64),
    "a tensor of nan": lambda: torch.full((1, 3, 8, 8), float("nan")),
    "an array": lambda: np.zeros((2, 2, 2, 2, 2)),
    "an array of objects": lambda: np.array([None, "x"], dtype=object),
    "an array of nothing": lambda: np.zeros(0),
    "a closed trace": lambda: _closed(),  # noqa: PLW0108 - it is defined below
}


@dataclass(frozen=True)
class Attempt:
    """A call with one wrong argument: ``what`` is the call and the argument in words."""

    what: str
    call: Callable[[Any], object]


def model() -> nn.Module:
    """A small network with maps and three classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    ).eval()


def image() -> torch.Tensor:
    """An input of it."""
    return torch.linspace(0, 1, 192).reshape(1, 3, 8, 8)


def _trace() -> iw.Trace:
    return iw.record(model(), image(), class_names=["ant", "bee", "cat"])


def _closed() -> iw.Trace:
    trace = _trace()
    trace.close()
    return trace


def _session() -> iw.Session:
    return iw.Session(model(), image())


def attempts(names: str = "") -> Iterator[Attempt]:
    """All calls, or those whose name begins so."""
    for name, (call, good) in _calls().items():
        if not name.startswith(names):
            continue
        for argument in good:
            yield Attempt(f"{name}, {argument}", _with_one(call, good, argument))


def _with_one(
    call: Callable[..., Any], good: Mapping[str, Callable[[], Any]], argument: str
) -> Callable[[Any], object]:
    def run(wrong: Any) -> object:
        given = {name: make() for name, make in good.items() if name != argument}
        found = call(**given, **{argument: wrong})
        if hasattr(found, "close") and hasattr(found, "wait"):
            found.wait()
            found.close()
        elif isinstance(found, iw.Session):
            found.close()
        return found

    return run


Good = tuple[Callable[..., Any], Mapping[str, Callable[[], Any]]]


def _calls() -> dict[str, Good]:
    """Each public name: what is called, and what makes good arguments for it."""
    nothing: Callable[[], Any] = lambda: None  # noqa: E731 - an argument that is left out
    calls: dict[str, Good] = {
        "record": (
            iw.record,
            {
                "model": model,
                "inputs": image,
                **dict.fromkeys(("preprocess", "kwargs", "target_output", "memory_limit"), nothing),
                **dict.fromkeys(("class_names", "feature_names"), nothing),
                "batch_axis": lambda: 0,
            },
        ),
        "load_input": (iw.load_input, {"source": image, "preprocess": nothing}),
        "Preprocess": (
            iw.Preprocess,
            {
                "size": lambda: 8,
                "mean": lambda: (0.5,),
                "std": lambda: (0.5,),
                "resize": nothing,
                "interpolation": lambda: "nearest",
            },
        ),
        "weights": (iw.weights, {"model": model}),
        "weights.filters": (
            lambda **given: iw.weights(model()).filters(**given),
            {"layer": lambda: "0", "channel": nothing},
        ),
        "diff": (iw.diff, {"a": model, "b": model}),
        "diff.filters": (lambda **given: iw.diff(model(), model()).filters(**given), {"name": lambda: "0"}),
        "Against": (lambda **given: _trace().score(iw.Against(**given)), {"index": int}),
        "Look": (
            iw.Look,
            {
                "percentile": lambda: 99.0,
                "limit": nothing,
                "smoothing": lambda: 0.01,
                "photo": lambda: "grey",
                "by_strength": lambda: True,
            },
        ),
        "ClassScore": (lambda **given: _trace().score(iw.ClassScore(**given)), {"index": int}),
        "Contrast": (
            lambda **given: _trace().score(iw.Contrast(**given)),
            {"a": int, "b": lambda: 1, "weight": lambda: 1.0},
        ),
        "ClassSum": (lambda **given: _trace().score(iw.ClassSum(**given)), {"indices": lambda: [0]}),
        "ClassSum.top": (iw.ClassSum.top, {"trace": _trace, "count": lambda: 2}),
        "SiteScore": (lambda **given: _trace().score(iw.SiteScore(**given)), {"site": lambda: "0", "channel": int}),
        "OutputScore": (
            lambda **given: _trace().score(iw.OutputScore(**given)),
            {"function": lambda: lambda output: output[0, 0]},
        ),
        "Layout.parse": (iw.Layout.parse, {"axes": lambda: "NCHW"}),
        "Layout.tokens": (iw.Layout.tokens, {"grid": lambda: (2, 2), "prefix": int, "suffix": int}),
        "Session": (
            iw.Session,
            {
                "model": model,
                "inputs": image,
                **dict.fromkeys(("class_names", "preprocess", "feature_names", "memory_limit"), nothing),
                **dict.fromkeys(("labels", "names"), tuple),
                **dict.fromkeys(("layer", "channel", "target", "explainer", "at_layer", "follow"), nothing),
            },
        ),
        "explore": (
            iw.explore,
            {
                "model": model,
                "inputs": image,
                **dict.fromkeys(("class_names", "preprocess", "layer", "channel", "target", "explainer"), nothing),
            },
        ),
        "compare": (
            iw.compare,
            {
                "model": model,
                "inputs": image,
                "methods": lambda: ["GradCAM"],
                **dict.fromkeys(("layers", "targets", "images", "class_names", "preprocess"), nothing),
            },
        ),
        "compare of models": (iw.compare, {"models": lambda: [model()], "inputs": image}),
        "Explorer": (iw.Explorer, {"session": _session, "title": str}),
        "Comparison": (
            iw.Comparison,
            {"cells": lambda: [Cell(_session(), iw.Gradient(), None, None, "a")], "title": str},
        ),
        "check": (iw.check, {"model": model, "inputs": image, "target": nothing, "methods": lambda: ["Gradient"]}),
        "activations": (
            iw.activations,
            {"model": model, "loader": image, "layers": nothing, "target": nothing, "seed": int},
        ),
        "activations of a trace": (iw.activations, {"model": _trace, "loader": image, "target": int}),
        "activation_stream": (
            lambda **given: list(iw.activation_stream(**given)),
            {"model": model, "loader": lambda: [image()], "layers": nothing, "target": nothing, "seed": int},
        ),
        "top_activating": (
            lambda **given: iw.top_activating(model(), **given),
            {
                "layer": lambda: "0",
                "channel": nothing,
                "loader": image,
                "k": lambda: 2,
                "by": lambda: "mean",
            },
        ),
        "top_activating_stream": (
            lambda **given: list(iw.top_activating_stream(model(), **given)),
            {"layer": lambda: "0", "channel": nothing, "loader": lambda: [image()], "k": lambda: 2},
        ),
        "top_activating of a trace": (
            lambda **given: iw.top_activating(_trace(), **given),
            {"layer": lambda: "0", "channel": lambda: 1, "loader": image},
        ),
        **{
            f"top_activating.{name}": (
                lambda name=name, **given: getattr(iw.top_activating(model(), "0", 0, image()), name)(**given),
                {"channel": int},
            )
            for name in ("regions", "boxes", "crops", "figure")
        },
        "feature_visualization": (
            lambda **given: next(iw.feature_visualization(**given)),
            {
                "model": model,
                "layer": lambda: "0",
                "channel": int,
                **dict.fromkeys(("unit", "target", "direction", "preprocess"), nothing),
                "size": lambda: 8,
                "steps": lambda: 1,
                "seed": int,
            },
        ),
        "feature_visualization of a unit": (
            lambda **given: next(iw.feature_visualization(model(), "0", size=8, steps=1, **given)),
            {"unit": int},
        ),
        "feature_visualization of a direction": (
            lambda **given: next(iw.feature_visualization(model(), "0", size=8, steps=1, **given)),
            {"direction": lambda: [1.0, 0.0, 0.0, 0.0]},
        ),
        "feature_visualization of a target": (
            lambda **given: next(iw.feature_visualization(size=8, steps=1, **given)),
            {"model": model, "target": int},
        ),
        "graph": (iw.graph, {"model": model, "inputs": image, "kwargs": nothing}),
        "ModelGraph": (iw.ModelGraph, {"session": _session, "opened": nothing, "colour": lambda: "type"}),
        "ActivationView": (iw.ActivationView, {"session": _session}),
        "Edit": (
            lambda **given: iw.intervene(_trace(), iw.Edit(**given)),
            {"layer": lambda: "0", "channel": int, "kind": lambda: "scale", "factor": lambda: 2.0},
        ),
        "intervene": (iw.intervene, {"trace": _trace, "edits": lambda: iw.Edit("0", 1, factor=2.0)}),
        "InterventionView": (iw.InterventionView, {"session": _session}),
        "SummaryTable": (iw.SummaryTable, {"session": _session}),
        "WeightView": (iw.WeightView, {"session": _session}),
        "summary": (iw.summary, {"model": model, "inputs": image, "kwargs": nothing}),
        "zoo.load": (iw.zoo.load, {"name": lambda: "digits"}),
        "zoo.held_out": (
            iw.zoo.held_out,
            {"name": lambda: "scenes", "count": lambda: 1, "seed": lambda: 5, "watermark": nothing},
        ),
        "from_callable": (
            lambda function, **given: iw.from_callable(function, **given)(_trace(), 0),
            {"function": lambda: lambda _model, x, _class: x, "title": str, "signed": bool, "summary": str},
        ),
        "adapt": (iw.adapt, {"other": Stranger}),
    }
    for name in ("layer", "channel", "target", "explainer", "at_layer", "example", "follow"):
        calls[f"Session.{name}"] = (_set_trait(name), {"value": nothing})
    calls["Session.remove"] = (
        lambda example: iw.Session(model(), [image(), image()]).remove(example),
        {"example": int},
    )
    calls["Session.code"] = (
        lambda **given: _session().code(**given),
        {"colormap": nothing, "opacity": nothing, "look": nothing},
    )
    calls |= _of_traces()
    for name, kind in iw.EXPLAINERS.items():
        if not kind.missing():
            calls |= _of_explainer(name, kind)
    return calls


def _set_trait(name: str) -> Callable[[Any], object]:
    def run(value: Any) -> object:
        with _session() as session:
            before = getattr(session, name)
            try:
                setattr(session, name, value)
            except InterpError:
                assert getattr(session, name) is before or getattr(session, name) == before
                raise
        return None

    return run


def _of_traces() -> dict[str, Good]:
    layer = {"layer": lambda: "0"}
    target = {"target": int}
    values = {"values": lambda: torch.rand(2, 3, 8, 8)}
    methods: dict[str, Mapping[str, Callable[[], Any]]] = {
        "site": layer,
        "activation": layer,
        "gradient": layer | target,
        "gradients": {"layers": lambda: ["0"]} | target,
        "has_gradient": layer | target,
        "score": target,
        "rerun": {"values": lambda: {"input": torch.rand(2, 3, 8, 8)}, "example": int},
        "probe": {"layer": lambda: "input"} | values | target | {"example": int},
        "layout": layer,
        "set_layout": layer | {"layout": lambda: "NCHW"},
        "maps": layer | {"tensor": lambda: torch.rand(1, 4, 8, 8)},
        "is_spatial": layer,
        "channel_axis": layer,
        "channels": layer,
        "reads_positions": layer,
    }
    return {
        f"Trace.{name}": (lambda name=name, **given: getattr(_trace(), name)(**given), good)
        for name, good in methods.items()
    }


def _of_explainer(name: str, kind: type[iw.Explainer]) -> dict[str, Good]:
    cheap = {"samples": 2, "steps": 2, "masks": 2, "references": 1, "segments": 2}
    quick = {field.name: cheap[field.name] for field in fields(kind) if field.name in cheap}

    def made() -> iw.Explainer:
        try:
            return kind(**quick)
        except InterpError:
            return kind()

    good: dict[str, Callable[[], Any]] = {
        field.name: (lambda field=field: field.default) for field in fields(kind) if field.default is not MISSING
    }
    layer: Callable[[], Any] = lambda: None  # noqa: E731 - the default
    calls: dict[str, Good] = {
        name: (kind, good),
        f"{name}()": (
            lambda trace, target, layer, example: made()(trace, target, layer, example=example),
            {"trace": _trace, "target": int, "layer": layer, "example": int},
        ),
    }
    if name in ("GradCAM", "Gradient"):
        calls[f"{name}().pixels"] = (
            lambda **given: made()(_trace(), 0).pixels(**given),
            {"size": lambda: (8, 8), "colormap": layer, "alpha": lambda: 1.0, "look": iw.Look},
        )
        calls[f"{name}().overlay"] = (
            lambda **given: made()(_trace(), 0).overlay(**given),
            {"colormap": layer, "opacity": lambda: 1.0, "look": iw.Look},
        )
        calls[f"{name}().svg"] = (
            lambda **given: made()(_trace(), 0).svg(**given),
            {"colormap": layer, "opacity": lambda: 1.0, "look": iw.Look},
        )
        calls[f"{name}().figure"] = (
            lambda **given: made()(_trace(), 0).figure(**given),
            {"colormap": layer, "opacity": lambda: 1.0, "look": iw.Look},
        )
    return calls


def complaint(attempt: Attempt, kind: str) -> str:
    """What is wrong with the answer to a call with a wrong value of a kind; empty when nothing is."""
    wrong = WRONG[kind]()
    try:
        attempt.call(wrong)
    except ClosedError:
        return ""  # that a trace is closed says which
    except InterpError as error:
        return "" if _names(str(error), wrong) else f"does not name the value: {type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - these are what is looked for
        if isinstance(wrong, nn.Module) and attempt.what.endswith(", function"):
            return ""  # a model is a function, and what a user's function raises is the user's
        if any(note.startswith("interp_widgets: raised") for note in getattr(error, "__notes__", ())):
            return ""  # the model's own error, with a note that says where
        return f"leaks {type(error).__name__}: {str(error)[:120]}"
    return ""


def _names(sentence: str, wrong: Any) -> bool:
    """Whether a sentence tells the value, its type, its shape, or what it lacks."""
    told = [type(wrong).__name__, repr(wrong)[:60]]
    if isinstance(wrong, type):
        told.append(wrong.__name__)
    if isinstance(wrong, (torch.Tensor, np.ndarray)):
        told += [str(tuple(wrong.shape)), str(wrong.dtype), "NaN"]
    if isinstance(wrong, bytes):
        told += [wrong.decode(), "uploaded file"]
    if isinstance(wrong, dict):
        told += [repr(value) for value in wrong.values()]
    if isinstance(wrong, (list, tuple, dict, set)) or (isinstance(wrong, np.ndarray) and wrong.dtype == object):
        told += [repr(item) for item in wrong]
    has_size = isinstance(wrong, (str, list, tuple, dict, np.ndarray))
    is_empty = wrong is None or (has_size and len(wrong) == 0)
    if isinstance(wrong, Iterator) or is_empty:
        told += ["give ", "at least one", "'.'"]  # what is missing; an empty path is this folder
    if isinstance(wrong, iw.Trace):
        told.append("a trace has its inputs")
    if isinstance(wrong, nn.Module):
        told.append("a target function must return")  # a model is a function too: what it returned is told
    return any(each in sentence for each in told)
