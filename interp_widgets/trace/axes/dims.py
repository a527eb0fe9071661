"""An axis as a sequence of *atoms*, pieces of named axes, and what reshaping does to them.

14 x 14 tokens are the atoms of height followed by those of width; Swin's windows split height and put it together
again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = [
    "SIDES",
    "Atom",
    "Dim",
    "Labels",
    "Tokens",
    "is_grid",
    "joined",
    "merge",
    "named",
    "rescaled",
    "reshape",
    "size_of",
    "sliced",
    "unknown",
]


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


SIDES = ("H", "W")
Dim = tuple[Any, ...]  # atoms, or one Tokens
Labels = tuple[Dim, ...]


def named(axis: str, size: int) -> Dim:
    """A whole axis of a name, such as ``H``; of size 1 without atoms, but for height and width, which keep theirs.

    A map of one column is a map still: its width of 1 must be told from other axes of size 1.
    """
    return (Atom(axis, 1, size),) if size > 1 or axis in SIDES else ()


def unknown(size: int) -> Dim:
    """An axis nothing is known of but its size."""
    return (Atom("?", 1, size),) if size > 1 else ()


def merge(dim: Dim) -> Dim:
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


def size_of(dim: Dim) -> int:
    """How many positions an axis has."""
    return math.prod(atom.size for atom in dim)


def reshape(labels: Labels, shape: Sequence[int]) -> Labels:
    """Labels after a reshape: the atoms in order, cut where the new axes end.

    The numbers do not tell where a side of size 1 goes: to an axis of size 1 that follows, else to the other side.
    """
    waiting = [atom for dim in labels for atom in dim]
    result: list[Dim] = []
    for size, following in zip(shape, (*shape[1:], 0), strict=True):
        taken: list[Any] = []
        if size == 1 and waiting and waiting[0].size == 1:
            taken.append(waiting.pop(0))
        left = size
        while left > 1:
            if not waiting:
                return tuple(unknown(n) for n in shape)
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
                return tuple(unknown(n) for n in shape)
        if following != 1 and waiting and waiting[0].size == 1 and taken and _is_side(taken[-1]):
            taken.append(waiting.pop(0))
        result.append(merge(tuple(taken)))
    return tuple(result)


def _is_side(atom: Any) -> bool:
    return isinstance(atom, Atom) and atom.axis in SIDES


def rescaled(dim: Dim, size: int) -> Dim:
    """An axis that was padded, cropped or resampled: the same name with another size."""
    if size == size_of(dim):
        return dim
    if len(dim) == 1 and isinstance(dim[0], Atom):
        return tuple(atom._replace(shift=dim[0].shift) for atom in named(dim[0].axis, size))
    return unknown(size)


def joined(parts: list[tuple[Dim | None, int]]) -> Dim:
    """The axis along which pieces were joined: channels stay channels, a token grid gets a prefix and a suffix."""
    total = sum(size for _, size in parts)
    grids = [position for position, (dim, _) in enumerate(parts) if dim and is_grid(dim)]
    if len(grids) == 1:
        where = grids[0]
        before, after = (sum(size for _, size in some) for some in (parts[:where], parts[where + 1 :]))
        dim = parts[where][0] or ()
        if isinstance(dim[0], Tokens):
            return (Tokens(dim[0].grid, dim[0].prefix + before, dim[0].suffix + after, total),)
        return (Tokens(dim, before, after, total),)
    if all(dim and len(dim) == 1 and isinstance(dim[0], Atom) and dim[0].axis == "C" for dim, _ in parts if dim):
        return named("C", total)
    return unknown(total)


def is_grid(dim: Dim) -> bool:
    """Whether an axis runs over the cells of a grid, as tokens do."""
    return isinstance(dim[0], Tokens) or (len(dim) > 1 and all(isinstance(a, Atom) and a.axis in "THW" for a in dim))


def sliced(dim: Dim, key: slice, size: int) -> Dim:
    """An axis after ``[start:stop:step]``: prefix tokens may be cut off a grid, nothing else of it."""
    if size == size_of(dim):
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
        return unknown(size)
    return rescaled(dim, size)
