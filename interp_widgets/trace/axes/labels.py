"""``LayoutReader``: which axis of a recorded tensor is batch, channel, height, width: told by the tape.

Nothing is guessed from shapes. A convolution's output is batch, channel, height, width. From there the labels travel:
permute moves them, reshape merges and splits them, concatenation along tokens adds prefix tokens, element-wise
operations and norms keep them, a linear layer renames the last one. Where an operation is not known the labels are
lost, and the layout is ``None``: a picture of such a layer is a matrix, and says so.
"""

from __future__ import annotations

from functools import lru_cache

from interp_widgets.errors import LayoutError
from interp_widgets.trace.axes.dims import SIDES, Atom, Dim, Labels, Tokens, merge, named, size_of
from interp_widgets.trace.axes.layout import Layout
from interp_widgets.trace.axes.rules import RULES, Call, elementwise
from interp_widgets.trace.values import Operation, Site, Value
from interp_widgets.words import say

__all__ = ["LayoutReader"]

# The axes of what a convolution reads that is given one example without a batch.
UNBATCHED = {"conv1d": "CW", "conv2d": "CHW", "conv3d": "CTHW"}


class LayoutReader:
    """Reads the axis labels of recorded values off the tape, when somebody asks, and remembers them."""

    def __init__(self, values: list[Value], tape: list[Operation]) -> None:
        self._values = values
        self._tape = tape
        self._labels: list[Labels | None] | None = None
        self._overrides: dict[int, Layout] = {}
        self._layouts: dict[int, Layout | None] = {}

    def layout(self, index: int) -> Layout | None:
        """The layout of a value, ``None`` where the labels were lost."""
        if index in self._overrides:
            return self._overrides[index]
        if index not in self._layouts:
            labels = self.labels[index]
            self._layouts[index] = None if labels is None else _as_layout(labels, self._values[index].shape)
        return self._layouts[index]

    @property
    def labels(self) -> list[Labels | None]:
        """The axis labels of every value."""
        if self._labels is None:
            self._labels = self._read()
        return self._labels

    def required(self, site: Site) -> Layout:
        """The layout of a site, or a ``LayoutError`` that says how to tell it."""
        found = self.layout(site.index)
        if found is None:
            raise LayoutError(
                say(
                    "no axis of {name!r} (shape {shape}) is known to be height or width; "
                    "say what its axes are with trace.set_layout(layer, 'NCHW')",
                    name=site.name,
                    shape=site.shape,
                )
            )
        return found

    def override(self, site: Site, layout: Layout) -> None:
        """Take a layout from the user instead of the tape."""
        if len(layout.axes) != len(site.shape):
            raise LayoutError(
                say(
                    "layout {axes} has {count} axes, but {name!r} has shape {shape}",
                    axes=layout.axes,
                    count=len(layout.axes),
                    name=site.name,
                    shape=site.shape,
                )
            )
        self._overrides[site.index] = layout if layout.grid else Layout(layout.axes, size=site.shape)

    def _read(self) -> list[Labels | None]:
        labels: list[Labels | None] = [None] * len(self._values)
        for index, found in self._of_inputs().items():
            labels[index] = found
        for operation in self._tape:
            refs = operation.refs
            for output, index in enumerate(operation.outputs):
                if self._values[index].operation is not operation:
                    continue
                shape = self._values[index].shape
                call = Call(
                    name=operation.name.rstrip("_") if not operation.name.startswith("__") else operation.name,
                    args=operation.args,
                    kwargs=operation.kwargs,
                    labels=[labels[ref.index] for ref in refs],
                    shapes=[self._values[ref.index].shape for ref in refs],
                    shape=shape,
                    output=output,
                )
                told = RULES.get(call.name, elementwise)(call)
                labels[index] = told if told and len(told) == len(shape) and self._fits(told, shape) else None
        return labels

    @staticmethod
    def _fits(labels: Labels, shape: tuple[int, ...]) -> bool:
        return all(size_of(dim) == size or size == 0 for dim, size in zip(labels, shape, strict=True))

    def _of_inputs(self) -> dict[int, Labels]:
        """The labels of inputs: images by their shape; without a batch, as the convolution that reads one takes it."""
        labels: dict[int, Labels] = {}
        inputs = {index for index, value in enumerate(self._values) if _is_input(value)}
        for index in inputs:
            shape = self._values[index].shape
            if len(shape) == 4 and shape[1] in (1, 3, 4):
                labels[index] = _named("NCHW", shape)
        for operation in self._tape:
            axes = UNBATCHED.get(operation.name)
            index = operation.refs[0].index if axes and operation.refs else -1
            if axes and index in inputs and len(self._values[index].shape) == len(axes):
                labels[index] = _named(axes, self._values[index].shape)
        return labels


def _is_input(value: Value) -> bool:
    return value.operation is not None and value.operation.name == "input" and value.dtype.is_floating_point


def _named(axes: str, shape: tuple[int, ...]) -> Labels:
    return tuple(named(name, size) for name, size in zip(axes, shape, strict=True))


@lru_cache(maxsize=4096)  # the same model is recorded again and again
def _as_layout(labels: Labels, shape: tuple[int, ...]) -> Layout | None:
    letters = []
    grid: tuple[int, ...] = ()
    prefix = suffix = 0
    for label, size in zip(labels, shape, strict=True):
        dim = label
        tokens = dim[0] if dim and isinstance(dim[0], Tokens) else None
        if tokens is not None:
            prefix, suffix = tokens.prefix, tokens.suffix
            dim = tokens.grid
        dim = _significant(dim)
        names = "".join(atom.axis for atom in dim)
        if any(isinstance(atom, Atom) and atom.shift for atom in dim):
            letters.append("?")
        elif names in ("HW", "THW", "TH"):
            grid = tuple(atom.size for atom in dim)
            letters.append("L")
        elif len(names) == 1:
            letters.append(names)
        else:
            letters.append(_of_size_one(label) if size == 1 else "?")
    return _layout_of("".join(letters), grid, prefix, suffix, shape)


def _significant(dim: Dim) -> Dim:
    """The pieces of an axis that count: those larger than 1, and a height or width of 1 beside the other side."""
    large = merge(tuple(atom for atom in dim if atom.size > 1))
    if len(large) != 1 or large[0].axis not in SIDES:
        return large
    side = large[0]
    other = next((atom for atom in dim if atom.size == 1 and atom.axis in SIDES and atom.axis != side.axis), None)
    if other is None:
        return large
    return (side, other) if side.axis == "H" else (other, side)


def _of_size_one(label: Dim) -> str:
    """The letter of an axis of size 1: small for a height or width, which is one only beside the other."""
    names = {atom.axis for atom in label}
    return names.pop().lower() if len(names) == 1 else "1"


def _layout_of(letters: str, grid: tuple[int, ...], prefix: int, suffix: int, size: tuple[int, ...]) -> Layout | None:
    """The layout of axes, some of which are known by their size or place only."""
    axes = letters
    for small, other in (("h", "W"), ("w", "H")):
        is_side = other in axes and small.upper() not in axes and axes.count(small) == 1
        axes = axes.replace(small, small.upper() if is_side else "1")
    if "N" not in axes and "1" in axes:
        axes = axes.replace("1", "N", 1)
    if "C" not in axes and axes.count("1") == 1 and "H" in axes:
        axes = axes.replace("1", "C")
    if axes.count("H") == axes.count("W") == 1 and "C" not in axes and axes.count("?") == 1:
        axes = axes.replace("?", "C")
    if any(axes.count(letter) > 1 for letter in "NCTHWL"):
        return None
    return Layout(axes, grid=grid, prefix=prefix, suffix=suffix, size=size)
