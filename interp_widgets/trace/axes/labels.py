"""Which axis of a recorded tensor is batch, channel, height, width: told by the tape, not guessed from shapes.

A convolution's output is batch, channel, height, width. From there the labels travel: permute moves them, reshape
merges
and splits them, concatenation along tokens adds prefix tokens, element-wise operations and norms keep them, a linear
layer
renames the last one. An axis is a sequence of *atoms*, pieces of a named axis: 14 x 14 tokens are the atoms of height
followed by those of width, and Swin's windows split height and put it together again. Where an operation is not
known the labels are lost, and the layout is ``None``: a picture of such a layer is a matrix, and says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from interp_widgets.errors import LayoutError
from interp_widgets.trace.axes.layout import Layout
from interp_widgets.trace.values import Operation, Ref, Site, Value
from interp_widgets.words import say

__all__ = ["Labels", "LayoutReader", "Tokens"]


class Atom(NamedTuple):
    """A piece of a named axis: ``size`` steps of ``unit`` positions each; ``shift`` tells how far it was rolled."""

    axis: str
    unit: int
    size: int
    shift: int = 0


class Tokens(NamedTuple):
    """Tokens on a grid between others; an axis of its own, never split."""

    grid: tuple[Atom, ...]
    prefix: int
    suffix: int
    size: int


Dim = tuple[Any, ...]  # atoms, or one Tokens
Labels = tuple[Dim, ...]


def _full(axis: str, size: int) -> Dim:
    return (Atom(axis, 1, size),) if size > 1 else ()


def _unknown(size: int) -> Dim:
    return (Atom("?", 1, size),) if size > 1 else ()


def _merge(dim: Dim) -> Dim:
    """Join neighbouring pieces of one axis."""
    merged: list[Any] = []
    for atom in dim:
        last = merged[-1] if merged else None
        if (
            isinstance(atom, Atom)
            and isinstance(last, Atom)
            and (last.axis, last.shift) == (atom.axis, atom.shift)
            and atom.axis != "?"
            and last.unit == atom.unit * atom.size
        ):
            merged[-1] = Atom(atom.axis, atom.unit, last.size * atom.size, atom.shift)
        else:
            merged.append(atom)
    return tuple(merged)


def _size(dim: Dim) -> int:
    return math.prod(atom.size for atom in dim)


def _reshape(labels: Labels, shape: Sequence[int]) -> Labels:
    """Labels after a reshape: the atoms in order, cut where the new axes end."""
    waiting = [atom for dim in labels for atom in dim]
    result: list[Dim] = []
    for size in shape:
        taken: list[Any] = []
        left = size
        while left > 1:
            if not waiting:
                return tuple(_unknown(n) for n in shape)
            atom = waiting.pop(0)
            if left % atom.size == 0:
                taken.append(atom)
                left //= atom.size
            elif isinstance(atom, Atom) and atom.size % left == 0:
                inner = atom.size // left
                taken.append(Atom(atom.axis, atom.unit * inner, left, atom.shift))
                waiting.insert(0, Atom(atom.axis, atom.unit, inner, atom.shift))
                left = 1
            else:
                return tuple(_unknown(n) for n in shape)
        result.append(_merge(tuple(taken)))
    return tuple(result)


def _rescaled(dim: Dim, size: int) -> Dim:
    """An axis that was padded, cropped or resampled: the same name with another size."""
    if size == _size(dim):
        return dim
    if len(dim) == 1 and isinstance(dim[0], Atom):
        return (Atom(dim[0].axis, 1, size, dim[0].shift),) if size > 1 else ()
    return _unknown(size)


class Call(NamedTuple):
    """What a rule sees of an operation."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    labels: list[Labels | None]  # of the recorded inputs
    shapes: list[tuple[int, ...]]
    shape: tuple[int, ...]  # of the output asked for
    output: int

    def argument(self, position: int, *names: str, default: Any = None) -> Any:
        for name in names:
            if name in self.kwargs:
                return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default

    @property
    def first(self) -> Labels | None:
        return self.labels[0] if self.labels else None


Rule = Callable[[Call], Labels | None]
RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


@_rule(
    *(
        f"{name}{n}d"
        for n in (1, 2, 3)
        for name in ("conv", "conv_transpose", "max_pool", "avg_pool", "lp_pool", "fractional_max_pool")
    ),
    *(f"adaptive_{kind}_pool{n}d" for n in (1, 2, 3) for kind in ("avg", "max")),
    *(
        "batch_norm",
        "group_norm",
        "instance_norm",
        "interpolate",
        "upsample",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
    ),
    *("max_pool2d_with_indices", "boolean_dispatch", "local_response_norm", "upsample_bilinear", "upsample_nearest"),
)
def _convolution(call: Call) -> Labels | None:
    kept = call.first[0] if call.first and len(call.first) == len(call.shape) else None
    batched = {1: 3, 2: 4, 3: 5}.get(
        int(digits[-1]) if (digits := re.findall(r"\d", call.name)) else 0, len(call.shape)
    )
    spatial = {3: "W", 4: "HW", 5: "THW"}.get(batched)
    if spatial is None:
        return call.first if call.shapes and call.shapes[0] == call.shape else None
    names = "C" + spatial if len(call.shape) == batched - 1 else "NC" + spatial
    if len(names) != len(call.shape):
        return None
    labels = tuple(_full(name, size) for name, size in zip(names, call.shape, strict=True))
    # A batch that holds more than the batch (windows, frames) keeps its own label.
    return (kept, *labels[1:]) if kept and names[0] == "N" and _size(kept) == call.shape[0] else labels


@_rule("linear", "addmm", "baddbmm")
def _linear(call: Call) -> Labels | None:
    return (*call.first[:-1], _full("C", call.shape[-1])) if call.first and len(call.first) == len(call.shape) else None


@_rule("matmul", "__matmul__", "bmm", "mm", "__rmatmul__")
def _matmul(call: Call) -> Labels | None:
    if len(call.labels) == 1 or not call.labels[1]:
        return _linear(call)  # times a weight
    a, b = call.labels[:2]
    if not a or not b or len(a) != len(call.shape) or len(b) < 2:
        return None
    return (*a[:-1], b[-1] if _size(b[-1]) == call.shape[-1] else _unknown(call.shape[-1]))


@_rule("scaled_dot_product_attention")
def _attention(call: Call) -> Labels | None:
    if len(call.labels) < 3 or not call.labels[0] or not call.labels[2]:
        return None
    return (*call.labels[0][:-1], call.labels[2][-1])


@_rule("multi_head_attention_forward")
def _multi_head_attention(call: Call) -> Labels | None:
    return _linear(call) if call.output == 0 else None


@_rule(
    "reshape", "view", "flatten", "unflatten", "view_as", "reshape_as", "squeeze", "unsqueeze", "_unsafe_view", "ravel"
)
def _reshaped(call: Call) -> Labels | None:
    return _reshape(call.first, call.shape) if call.first is not None else None


@_rule("permute")
def _permute(call: Call) -> Labels | None:
    order = call.argument(1, "dims")
    order = list(order) if isinstance(order, (tuple, list)) else list(call.args[1:])
    return tuple(call.first[i] for i in order) if call.first else None


@_rule("transpose", "swapaxes", "swapdims", "t", "T", "mT", "adjoint", "H", "mH")
def _transpose(call: Call) -> Labels | None:
    if not call.first:
        return None
    dims = list(call.first)
    a, b = (
        (call.argument(1, "dim0", "axis0"), call.argument(2, "dim1", "axis1"))
        if len(call.args) + len(call.kwargs) > 1
        else (-1, -2)
    )
    if len(dims) > 1:
        dims[a], dims[b] = dims[b], dims[a]
    return tuple(dims)


@_rule("movedim", "moveaxis")
def _movedim(call: Call) -> Labels | None:
    if not call.first:
        return None
    order = torch.empty(tuple(range(2, 2 + len(call.first))), device="meta").movedim(
        call.argument(1, "source"), call.argument(2, "destination")
    )
    return tuple(call.first[size - 2] for size in order.shape)


@_rule("expand", "expand_as", "broadcast_to", "repeat", "tile", "pad", "constant_pad_nd", "narrow", "__pad__")
def _resized(call: Call) -> Labels | None:
    if call.first is None or len(call.first) > len(call.shape):
        return None
    if call.name in ("expand", "expand_as", "broadcast_to", "repeat", "tile"):
        missing = len(call.shape) - len(call.first)
        dims = ((),) * missing + call.first
        return tuple(dim if _size(dim) == size else _unknown(size) for dim, size in zip(dims, call.shape, strict=True))
    return tuple(_rescaled(dim, size) for dim, size in zip(call.first, call.shape, strict=True))


@_rule("roll")
def _roll(call: Call) -> Labels | None:
    shifts, dims = call.argument(1, "shifts"), call.argument(2, "dims")
    if not call.first or dims is None:
        return None
    labels = list(call.first)
    pairs = zip(shifts, dims, strict=True) if isinstance(dims, (tuple, list)) else [(shifts, dims)]
    for shift, dim in pairs:
        if len(labels[dim]) == 1 and isinstance(labels[dim][0], Atom):
            atom = labels[dim][0]
            labels[dim] = (atom._replace(shift=(atom.shift + int(shift)) % atom.size),)
        elif labels[dim]:
            labels[dim] = _unknown(_size(labels[dim]))
    return tuple(labels)


@_rule("cat", "concat", "concatenate", "stack", "hstack", "vstack")
def _cat(call: Call) -> Labels | None:
    if call.name in ("stack", "hstack", "vstack"):
        return None
    pieces = call.argument(0, "tensors")
    dim = call.argument(1, "dim", "axis", default=0) % len(call.shape)
    refs = iter(zip(call.labels, call.shapes, strict=True))
    parts = [next(refs) if isinstance(piece, Ref) else (None, tuple(piece.shape)) for piece in pieces]
    known = [labels for labels, _ in parts if labels and len(labels) == len(call.shape)]
    if not known:
        return None
    best = max(
        known, key=lambda labels: sum(bool(d) and not (isinstance(d[0], Atom) and d[0].axis == "?") for d in labels)
    )
    dims = list(best)
    dims[dim] = _joined([(labels[dim] if labels else None, shape[dim]) for labels, shape in parts])
    return tuple(dims)


def _joined(parts: list[tuple[Dim | None, int]]) -> Dim:
    """The axis along which pieces were joined: channels stay channels, a token grid gets a prefix and a suffix."""
    total = sum(size for _, size in parts)
    grids = [position for position, (dim, _) in enumerate(parts) if dim and _is_grid(dim)]
    if len(grids) == 1:
        where = grids[0]
        before, after = (sum(size for _, size in some) for some in (parts[:where], parts[where + 1 :]))
        dim = parts[where][0] or ()
        if isinstance(dim[0], Tokens):
            return (Tokens(dim[0].grid, dim[0].prefix + before, dim[0].suffix + after, total),)
        return (Tokens(dim, before, after, total),)
    if all(dim and len(dim) == 1 and isinstance(dim[0], Atom) and dim[0].axis == "C" for dim, _ in parts if dim):
        return _full("C", total)
    return _unknown(total)


def _is_grid(dim: Dim) -> bool:
    return isinstance(dim[0], Tokens) or (len(dim) > 1 and all(isinstance(a, Atom) and a.axis in "THW" for a in dim))


@_rule(
    "mean",
    "sum",
    "amax",
    "amin",
    "max",
    "min",
    "norm",
    "std",
    "var",
    "prod",
    "logsumexp",
    "argmax",
    "argmin",
    "all",
    "any",
    "select",
)
def _reduced(call: Call) -> Labels | None:
    if call.first is None:
        return None
    if len(call.shape) == len(call.first):
        return tuple(dim if _size(dim) == size else () for dim, size in zip(call.first, call.shape, strict=True))
    dims = call.argument(1, "dim", "axis", default=())
    dims = {d % len(call.first) for d in ((dims,) if isinstance(dims, int) else dims) if isinstance(d, int)}
    left = tuple(dim for i, dim in enumerate(call.first) if i not in dims)
    return left if len(left) == len(call.shape) else None


@_rule("chunk", "split", "tensor_split", "unsafe_chunk", "unsafe_split", "split_with_sizes")
def _split(call: Call) -> Labels | None:
    if call.first is None or len(call.first) != len(call.shape):
        return None
    return tuple(_rescaled(dim, size) for dim, size in zip(call.first, call.shape, strict=True))


@_rule("unbind")
def _unbind(call: Call) -> Labels | None:
    if call.first is None:
        return None
    where = call.argument(1, "dim", default=0) % len(call.first)
    return tuple(dim for i, dim in enumerate(call.first) if i != where)


@_rule("__getitem__")
def _getitem(call: Call) -> Labels | None:
    if call.first is None:
        return None
    keys = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    if any(
        not (key is None or key is Ellipsis or isinstance(key, (int, slice))) or isinstance(key, bool) for key in keys
    ):
        return None
    taken = sum(isinstance(key, (int, slice)) for key in keys)
    spread = len(call.first) - taken
    expanded: list[Any] = []
    for key in keys if Ellipsis in keys else (*keys, Ellipsis):
        expanded.extend([slice(None)] * spread if key is Ellipsis else [key])
    result: list[Dim] = []
    source = iter(call.first)
    for key in expanded:
        if key is None:
            result.append(())
            continue
        dim = next(source)
        if isinstance(key, slice):
            result.append(_sliced(dim, key, call.shape[len(result)]))
    return tuple(result) if len(result) == len(call.shape) else None


def _sliced(dim: Dim, key: slice, size: int) -> Dim:
    if size == _size(dim):
        return dim
    if (
        dim
        and isinstance(dim[0], Tokens)
        and all(part is None or isinstance(part, int) for part in (key.start, key.stop, key.step))
    ):
        tokens = dim[0]
        start, stop, step = key.indices(tokens.size)
        grid = tokens.size - tokens.prefix - tokens.suffix
        if step == 1 and start <= tokens.prefix and stop >= tokens.prefix + grid:
            prefix, suffix = tokens.prefix - start, stop - tokens.prefix - grid
            return tokens.grid if not prefix and not suffix else (Tokens(tokens.grid, prefix, suffix, stop - start),)
        return _unknown(size)
    return _rescaled(dim, size)


@_rule("einsum")
def _einsum(call: Call) -> Labels | None:
    equation = call.args[0] if call.args and isinstance(call.args[0], str) else ""
    if "->" not in equation or "." in equation:
        return None
    sources, result = equation.replace(" ", "").split("->")
    letters: dict[str, Dim] = {}
    for source, labels in zip(sources.split(","), call.labels, strict=False):
        letters |= dict(zip(source, labels, strict=False)) if labels and len(labels) == len(source) else {}
    return tuple(
        letters[letter] if letter in letters and _size(letters[letter]) == size else _unknown(size)
        for letter, size in zip(result, call.shape, strict=True)
    )


@_rule(
    "flip",
    "fliplr",
    "flipud",
    "rot90",
    "sort",
    "argsort",
    "topk",
    "gather",
    "index_select",
    "take_along_dim",
    "grid_sample",
    "cumsum",
)
@_rule(
    "embedding",
    "one_hot",
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "unfold",
    "fold",
    "cdist",
    "outer",
    "multinomial",
    "where_index",
)
def _lost(call: Call) -> Labels | None:  # noqa: ARG001 - a rule takes the call
    return None


@_rule("alias")
def _alias(call: Call) -> Labels | None:
    return call.first


def _elementwise(call: Call) -> Labels | None:
    """Any other operation: an output of the shape that broadcasting gives has the inputs' labels."""
    ndim = len(call.shape)
    candidates = [
        labels
        for labels, shape in zip(call.labels, call.shapes, strict=True)
        if labels is not None and len(shape) == ndim
    ]
    if not candidates or not call.shapes:
        return None
    if any(len(shape) > ndim for shape in call.shapes):
        return None
    result = []
    for position, size in enumerate(call.shape):
        fitting = [labels[position] for labels in candidates if _size(labels[position]) == size]
        known = [dim for dim in fitting if not any(isinstance(atom, Atom) and atom.axis == "?" for atom in dim)]
        if not fitting:
            return None
        result.append((known or fitting)[0])
    return tuple(result)


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
        labels: list[Labels | None] = [self._of_input(value) for value in self._values]
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
                found = RULES.get(call.name, _elementwise)(call)
                labels[index] = found if found and len(found) == len(shape) and self._fits(found, shape) else None
        return labels

    @staticmethod
    def _fits(labels: Labels, shape: tuple[int, ...]) -> bool:
        return all(_size(dim) == size or size == 0 for dim, size in zip(labels, shape, strict=True))

    @staticmethod
    def _of_input(value: Value) -> Labels | None:
        """An image batch is batch, channel, height, width; any other input has no labels."""
        if (
            value.operation is not None
            and value.operation.name == "input"
            and len(value.shape) == 4
            and value.shape[1] in (1, 3, 4)
            and value.dtype.is_floating_point
        ):
            return tuple(_full(name, size) for name, size in zip("NCHW", value.shape, strict=True))
        return None


@lru_cache(maxsize=4096)  # the same model is recorded again and again
def _as_layout(labels: Labels, shape: tuple[int, ...]) -> Layout | None:
    letters = []
    grid: tuple[int, ...] = ()
    prefix = suffix = 0
    for label, size in zip(labels, shape, strict=True):
        dim = _merge(label)
        tokens = dim[0] if dim and isinstance(dim[0], Tokens) else None
        if tokens is not None:
            prefix, suffix = tokens.prefix, tokens.suffix
            dim = _merge(tokens.grid)
        names = "".join(atom.axis for atom in dim)
        if any(isinstance(atom, Atom) and atom.shift for atom in dim):
            letters.append("?")
        elif names in ("HW", "THW", "TH"):
            grid = tuple(atom.size for atom in dim)
            letters.append("L")
        elif len(names) == 1:
            letters.append(names)
        else:
            letters.append("1" if size == 1 else "?")
    axes = "".join(letters)
    if "N" not in axes and "1" in axes:
        axes = axes.replace("1", "N", 1)
    if "C" not in axes and axes.count("1") == 1 and "H" in axes:
        axes = axes.replace("1", "C")
    if axes.count("H") == axes.count("W") == 1 and "C" not in axes and axes.count("?") == 1:
        axes = axes.replace("?", "C")
    if any(axes.count(letter) > 1 for letter in "NCTHWL"):
        return None
    return Layout(axes, grid=grid, prefix=prefix, suffix=suffix, size=shape)
