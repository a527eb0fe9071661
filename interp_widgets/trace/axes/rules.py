"""How the labels of axes pass through an operation: one rule per kind of operation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from interp_widgets.trace.axes.dims import (
    Atom,
    Dim,
    Labels,
    joined,
    named,
    rescaled,
    reshape,
    size_of,
    sliced,
    unknown,
)
from interp_widgets.trace.values import Ref

__all__ = ["RULES", "Call", "elementwise"]


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
        """An argument by its names, else by its position."""
        for name in names:
            if name in self.kwargs:
                return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default

    @property
    def first(self) -> Labels | None:
        """The labels of the first recorded input."""
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
    labels = tuple(named(name, size) for name, size in zip(names, call.shape, strict=True))
    # A batch that holds more than the batch (windows, frames) keeps its own label.
    return (kept, *labels[1:]) if kept and names[0] == "N" and size_of(kept) == call.shape[0] else labels


@_rule("linear", "addmm", "baddbmm")
def _linear(call: Call) -> Labels | None:
    return (*call.first[:-1], named("C", call.shape[-1])) if call.first and len(call.first) == len(call.shape) else None


@_rule("matmul", "__matmul__", "bmm", "mm", "__rmatmul__")
def _matmul(call: Call) -> Labels | None:
    if len(call.labels) == 1 or not call.labels[1]:
        return _linear(call)  # times a weight
    a, b = call.labels[:2]
    if not a or not b or len(a) != len(call.shape) or len(b) < 2:
        return None
    return (*a[:-1], b[-1] if size_of(b[-1]) == call.shape[-1] else unknown(call.shape[-1]))


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
    return reshape(call.first, call.shape) if call.first is not None else None


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
        return tuple(dim if size_of(dim) == size else unknown(size) for dim, size in zip(dims, call.shape, strict=True))
    return tuple(rescaled(dim, size) for dim, size in zip(call.first, call.shape, strict=True))


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
            labels[dim] = unknown(size_of(labels[dim]))
    return tuple(labels)


@_rule("cat", "concat", "concatenate", "stack", "hstack", "vstack")
def _cat(call: Call) -> Labels | None:
    if call.name in ("stack", "hstack", "vstack"):
        return None
    pieces = call.argument(0, "tensors")
    dim = call.argument(1, "dim", "axis", default=0) % len(call.shape)
    refs = iter(zip(call.labels, call.shapes, strict=True))
    given = [next(refs) if isinstance(piece, Ref) else (None, tuple(piece.shape)) for piece in pieces]
    parts = [part for part in given if part[1] != (0,)]  # torch leaves out an empty row, as of a cache at its start
    known = [labels for labels, _ in parts if labels and len(labels) == len(call.shape)]
    if not known:
        return None
    best = max(
        known, key=lambda labels: sum(bool(d) and not (isinstance(d[0], Atom) and d[0].axis == "?") for d in labels)
    )
    dims = list(best)
    dims[dim] = joined([(labels[dim] if labels else None, shape[dim]) for labels, shape in parts])
    return tuple(dims)


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
        return tuple(dim if size_of(dim) == size else () for dim, size in zip(call.first, call.shape, strict=True))
    dims = call.argument(1, "dim", "axis", default=())
    dims = {d % len(call.first) for d in ((dims,) if isinstance(dims, int) else dims) if isinstance(d, int)}
    left = tuple(dim for i, dim in enumerate(call.first) if i not in dims)
    return left if len(left) == len(call.shape) else None


@_rule("chunk", "split", "tensor_split", "unsafe_chunk", "unsafe_split", "split_with_sizes")
def _split(call: Call) -> Labels | None:
    if call.first is None or len(call.first) != len(call.shape):
        return None
    return tuple(rescaled(dim, size) for dim, size in zip(call.first, call.shape, strict=True))


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
            result.append(sliced(dim, key, call.shape[len(result)]))
    return tuple(result) if len(result) == len(call.shape) else None


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
        letters[letter] if letter in letters and size_of(letters[letter]) == size else unknown(size)
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


def elementwise(call: Call) -> Labels | None:
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
        fitting = [labels[position] for labels in candidates if size_of(labels[position]) == size]
        if not fitting:
            return None
        known = [dim for dim in fitting if not any(isinstance(atom, Atom) and atom.axis == "?" for atom in dim)]
        named_ones = [dim for dim in known if dim]
        result.append((named_ones or known or fitting)[0])
    return tuple(result)
