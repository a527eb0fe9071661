"""``diff``: what differs between the weights of two models, by tensor and by filter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.errors import InputError
from interp_widgets.inspectors.table import Column, Table, figure_text, shape_text
from interp_widgets.inspectors.tensors import NamedTensor, blocks, state_of, tensor_named
from interp_widgets.words import say

__all__ = ["Change", "WeightDiff", "diff"]

Where = Literal["both", "only a", "only b", "other shape"]
Pair = tuple[NamedTensor | None, NamedTensor | None]
MOST_NOTES = 20
WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Change:
    """How one tensor differs between a and b. A number that does not exist is ``None``.

    Numbers are those of the places where both are finite, or equal; ``nonfinite`` counts the others.

    Args:
        path: its name.
        where: in which of the two it is: ``"both"``, ``"only a"``, ``"only b"``, or both with another shape.
        shape: of a; of b where it is only there. ``None`` as long as it is lazy.
        other_shape: of b, where it has another shape.
        change: norm of b - a.
        relative: that over the norm of a; infinite where a is zero and b is not.
        largest: the largest absolute difference of one value.
        filter: the filter (output channel, row) in which that is; the first of several.
        cosine: of a and b as vectors, -1..1; of complex numbers the real part; ``None`` where one is zero.
        nonfinite: places where one is NaN or infinite and the other is not the same.
        reason: why numbers are missing; empty where none is.
    """

    path: str
    where: Where
    shape: tuple[int, ...] | None
    other_shape: tuple[int, ...] | None = None
    change: float | None = None
    relative: float | None = None
    largest: float | None = None
    filter: int | None = None
    cosine: float | None = None
    nonfinite: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class WeightDiff(Table[Change]):
    """What ``diff`` found: first what cannot be compared, then all others, the largest relative change first.

    Args:
        pairs: the tensors of a and b, by name; not copied.
    """

    pairs: Mapping[str, Pair] = field(repr=False, compare=False)

    def columns(self) -> Sequence[Column[Change]]:
        return (
            Column(say("name"), lambda row: row.path, is_number=False),
            Column(say("in"), _where_text, is_number=False),
            Column(say("shape"), _shapes_text),
            Column(say("relative change"), lambda row: figure_text(row.relative)),
            Column(say("change"), lambda row: figure_text(row.change)),
            Column(say("largest"), lambda row: figure_text(row.largest)),
            Column(say("in filter"), lambda row: "" if row.filter is None else str(row.filter)),
            Column(say("cosine"), lambda row: "" if row.cosine is None else f"{row.cosine:.6f}"),
            Column(say("NaN, Inf"), lambda row: figure_text(row.nonfinite)),
        )

    def notes(self) -> Sequence[str]:
        """How many are equal, changed, not in both; and what is odd about single ones."""
        wheres = Counter(row.where for row in self.rows)
        changed = sum(bool(row.change) or bool(row.nonfinite) for row in self.rows)
        equal = sum(row.change == 0 and not row.nonfinite for row in self.rows)
        notes = [
            say(
                "{both:,} tensors in both: {changed:,} changed, {equal:,} equal",
                both=wheres["both"],
                changed=changed,
                equal=equal,
            )
        ]
        if len(self.rows) > wheres["both"]:
            notes.append(
                say(
                    "{a:,} only in a, {b:,} only in b, {shape:,} of another shape",
                    a=wheres["only a"],
                    b=wheres["only b"],
                    shape=wheres["other shape"],
                )
            )
        odd = [say("{path}: {reason}", path=row.path, reason=row.reason) for row in self.rows if row.reason]
        odd += [
            say(
                "{path}: {count:,} values are NaN or infinite in one of the two",
                path=row.path,
                count=row.nonfinite,
            )
            for row in self.rows
            if row.nonfinite
        ]
        notes += odd[:MOST_NOTES]
        if len(odd) > MOST_NOTES:
            notes.append(say("{count:,} more remarks: the rows hold them", count=len(odd) - MOST_NOTES))
        return notes

    def filters(self, name: str) -> NDArray[np.float64]:
        """The relative change of each filter of a tensor, ``(out,)``: norm of b - a over the norm of a.

        It is 0 where both are zero, infinite where only a is, and counts finite values only, as the rows do.

        Args:
            name: of a tensor, or of the layer whose weight it is.

        Raises:
            LayerError: there is no such tensor.
            InputError: it is not in both, has another shape, no axis, or no values.
        """
        known = {path: a or b for path, (a, b) in self.pairs.items()}
        path = tensor_named(name, {path: each for path, each in known.items() if each is not None})
        a, b = self.pairs[path]
        reason = _obstacle(a, b)
        if a is None or b is None or reason:
            raise InputError(say("{path} has no change by filter: {reason}", path=path, reason=reason))
        if a.tensor.ndim == 0:
            raise InputError(say("{path} has no filters: it is a single number", path=path))
        relative = [_ratio((right - left).norm(dim=1), left.norm(dim=1)) for left, right, _ in _side_by_side(a, b)]
        return np.concatenate([part.numpy() for part in relative]) if relative else np.zeros(len(a.tensor))


def diff(a: Any, b: Any) -> WeightDiff:
    """How the parameters and buffers of two models differ, tensor by tensor; they are compared in double precision.

    Args:
        a, b: models, state dicts, or paths of ``.safetensors``, ``.pt`` or ``.pth`` files; of a ``.pt`` only tensors
            are read (``weights_only=True``), as anything else in one may run code.

    Raises:
        ModelError: one is none of these.
        InputError: a file that cannot be read, or a mapping without tensors.

    >>> layer = torch.nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    ...     _ = layer.weight.mul_(1.5)
    >>> [(row.path, round(row.relative, 4)) for row in diff(before, layer).rows]
    [('weight', 0.5), ('bias', 0.0)]
    """
    left, right = state_of(a, "a"), state_of(b, "b")
    if left.keys().isdisjoint(right):
        left, right = _unwrapped(left), _unwrapped(right)
    pairs = {name: (left.get(name), right.get(name)) for name in {**left, **right}}
    with torch.no_grad():
        rows = [_change(name, *pair) for name, pair in pairs.items()]
    rows.sort(key=lambda row: -math.inf if row.relative is None else -row.relative)
    return WeightDiff(tuple(rows), pairs)


def _unwrapped(state: dict[str, NamedTensor]) -> dict[str, NamedTensor]:
    """Tensors by the names they have in the model itself, without those of ``DataParallel`` and ``torch.compile``."""
    for wrapper in WRAPPERS:
        if state and all(name.startswith(wrapper) for name in state):
            return _unwrapped({name.removeprefix(wrapper): named for name, named in state.items()})
    return state


def _where_text(row: Change) -> str:
    words = {"both": say("both"), "only a": say("only a"), "only b": say("only b"), "other shape": say("other shape")}
    return words[row.where]


def _shapes_text(row: Change) -> str:
    shapes = [row.shape] if row.other_shape is None else [row.shape, row.other_shape]
    return " / ".join(shape_text(shape, "?") for shape in shapes)


def _change(path: str, a: NamedTensor | None, b: NamedTensor | None) -> Change:
    if a is None:
        return Change(path, "only b", b.shape if b else None)
    if b is None:
        return Change(path, "only a", a.shape)
    if a.shape is not None and b.shape is not None and a.shape != b.shape:
        return Change(path, "other shape", a.shape, b.shape)
    reason = _obstacle(a, b)
    if reason:
        return Change(path, "both", a.shape, reason=reason)
    return _compared(path, a, b)


def _obstacle(a: NamedTensor | None, b: NamedTensor | None) -> str:
    """Why two tensors cannot be compared value by value; empty where they can."""
    if a is None or b is None:
        return say("it is in one of the two only")
    if a.obstacle or b.obstacle:
        return a.obstacle or b.obstacle
    return "" if a.shape == b.shape else say("its shape is another in b")


def _compared(path: str, a: NamedTensor, b: NamedTensor) -> Change:
    """The numbers of two tensors of one shape."""
    sums = torch.zeros(4, dtype=torch.float64)  # squares of b - a, of a, of b; products of a and b
    largest = 0.0
    peak: int | None = None
    nonfinite = 0
    start = 0
    for left, right, unlike in _side_by_side(a, b):
        sizes = (right - left).abs()
        products = (left.conj() * right).real
        sums += torch.stack([sizes.square().sum(), _squares(left), _squares(right), products.sum()])
        nonfinite += int(unlike.sum())
        if sizes.max() > largest:
            largest = float(sizes.max())
            peak = start + int(sizes.amax(dim=1).argmax())
        start += len(left)
    change, norm, other = sums[:3].sqrt()
    is_directed = bool(norm > 0 and other > 0)
    return Change(
        path,
        "both",
        a.shape,
        change=float(change),
        relative=float(_ratio(change, norm)),
        largest=largest,
        filter=peak,
        cosine=float((sums[3] / (norm * other)).clamp(-1, 1)) if is_directed else None,
        nonfinite=nonfinite,
    )


def _side_by_side(a: NamedTensor, b: NamedTensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Blocks of a and b, ``(filters, rest)`` in double precision, and where they cannot be compared.

    There, and where both are the same infinity or both NaN, both are set to zero.
    """
    groups = a.groups or b.groups  # a file does not say which of its weights are those of transposed convolutions
    tensors = [replace(each, groups=groups).by_filter() for each in (a, b)]
    for left, right in zip(*map(blocks, tensors), strict=True):
        is_same = (left == right) | (left.isnan() & right.isnan())
        is_finite = left.isfinite() & right.isfinite()
        unlike = ~(is_same | is_finite)
        filters = len(left)
        yield (
            torch.where(is_finite, left, 0).reshape(filters, -1),
            torch.where(is_finite, right, 0).reshape(filters, -1),
            unlike.reshape(filters, -1),
        )


def _squares(values: torch.Tensor) -> torch.Tensor:
    return values.abs().square().sum()


def _ratio(change: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """Change over norm; 0 of nothing, infinity of something over zero."""
    return torch.where(change > 0, change / norm, 0.0)
