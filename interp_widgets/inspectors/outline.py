"""The model as a tree of modules with what each gave out in this trace: what the strip and the tree draw."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from interp_widgets.trace import Trace
from interp_widgets.words import say

__all__ = ["Kind", "Module", "Outline", "kind_of", "outline_of", "row_of", "shortened", "times"]

Kind = Literal["convolution", "linear", "attention", "normalisation", "activation", "pooling", "block", "other"]

END = 12  # letters at the end of a shortened path

_KINDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("attention", ("attention", "attn")),
    ("convolution", ("conv", "patchembed")),
    ("normalisation", ("norm",)),
    ("pooling", ("pool", "upsample", "interpolate")),
    ("linear", ("linear", "embedding", "lstm", "gru", "rnn")),
    ("activation", ("relu", "gelu", "silu", "sigmoid", "tanh", "softmax", "hardswish", "mish", "elu")),
)


@dataclass(frozen=True)
class Module:
    """One module that gave out a tensor, or holds some that did.

    ``row`` is the place of its output among the distinct recorded values, in the order in which they were computed; -1
    when it gave out no tensor.
    """

    path: str
    parent: int
    name: str
    type: str
    kind: Kind
    shape: tuple[int, ...]
    channels: int
    resolution: tuple[int, int] | None
    parameters: int
    row: int
    children: tuple[int, ...]

    def describe(self) -> str:
        """The module in words: path, type, output, parameters."""
        size = times(self.shape[1:])
        parts = [
            shortened(self.path, 36),
            self.type,
            say("output {size}", size=size) if size else "",
            say("{count:,} parameters", count=self.parameters) if self.parameters else "",
        ]
        return "  ·  ".join(part for part in parts if part)


def times(shape: Sequence[int]) -> str:
    """A shape as people write it."""
    return "\N{MULTIPLICATION SIGN}".join(str(size) for size in shape)


def shortened(path: str, letters: int) -> str:
    """A path of at most so many letters: a longer one loses its middle, and keeps its end, which tells most."""
    if len(path) <= letters:
        return path
    end = min(END, letters - 1)
    return path[: letters - 1 - end] + "…" + path[-end:]


def kind_of(name: str) -> Kind:
    """The family of a module's class or of an operation by its name, such as ``Conv2d`` or ``softmax``."""
    lower = name.lower()
    return next((kind for kind, parts in _KINDS if any(part in lower for part in parts)), "other")


class Outline:
    """The modules of a trace in execution order, and its *rows*: one representative layer for each distinct value.

    Several module paths can stand for one value (``layer4``, ``layer4.1`` and ``layer4.1.relu`` all end in the same
    tensor); a row goes by the outermost of them.
    """

    def __init__(self, trace: Trace) -> None:
        by_value: dict[int, str] = {}
        for layer in trace.layers:
            by_value[trace.site(layer).index] = layer
        self.rows: list[str] = [by_value[index] for index in sorted(by_value)]
        places = {trace.site(layer).index: row for row, layer in enumerate(self.rows)}
        self._row = {layer: places[trace.site(layer).index] for layer in trace.layers}
        self.modules = _modules(trace, self._row)
        self.index = {module.path: position for position, module in enumerate(self.modules)}

    def row(self, layer: str) -> int:
        """The row of a layer, -1 for a site that is no module's output."""
        return self._row.get(layer, -1)


_OUTLINES: weakref.WeakKeyDictionary[Trace, Outline] = weakref.WeakKeyDictionary()


def outline_of(trace: Trace) -> Outline:
    """The outline of a trace, made once: several views draw it."""
    found = _OUTLINES.get(trace)
    if found is None:
        found = _OUTLINES[trace] = Outline(trace)
    return found


def row_of(trace: Trace, layer: str) -> int:
    """The row of a layer, and a negative number of its own for the site of an operation that is no module's output."""
    row = outline_of(trace).row(layer)
    return row if row >= 0 else -2 - trace.site(layer).index


def _modules(trace: Trace, rows: dict[str, int]) -> list[Module]:
    first = _first_use(trace)
    named = {path: module for path, module in trace.model.named_modules() if path in first}
    ordered = sorted(named, key=lambda path: (first[path], path.count("."), path))
    tree: dict[str, list[str]] = {}
    for path in ordered:
        tree.setdefault(path.rpartition(".")[0], []).append(path)
    flat: list[str] = []

    def visit(path: str) -> None:
        flat.append(path)
        for child in tree.get(path, []):
            visit(child)

    for path in tree.get("", []):
        visit(path)
    place = {path: position for position, path in enumerate(flat)}
    return [
        Module(
            path=path,
            parent=place.get(path.rpartition(".")[0], -1),
            name=path.rpartition(".")[2],
            type=type(named[path]).__name__,
            kind=_kind(named[path]),
            shape=trace.site(path).shape if path in rows else (),
            channels=trace.channels(path) if path in rows else 0,
            resolution=_resolution(trace, path) if path in rows else None,
            parameters=sum(parameter.numel() for parameter in named[path].parameters()),
            row=rows.get(path, -1),
            children=tuple(place[child] for child in tree.get(path, [])),
        )
        for path in flat
    ]


def _resolution(trace: Trace, layer: str) -> tuple[int, int] | None:
    layout = trace.site(layer).layout
    return layout.resolution if layout is not None and layout.is_spatial else None


def _first_use(trace: Trace) -> dict[str, int]:
    """When each module path, or anything inside it, first gave out a value."""
    first: dict[str, int] = {}
    for layer in trace.layers:
        index = trace.site(layer).index
        parts = layer.split(".")
        for depth in range(1, len(parts) + 1):
            path = ".".join(parts[:depth])
            first[path] = min(first.get(path, index), index)
    return first


def _kind(module: nn.Module) -> Kind:
    name = type(module).__name__.lower()
    if any(True for _ in module.children()) and "attention" not in name:
        return "block"
    return kind_of(name)
