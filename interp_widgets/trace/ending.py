"""How a model's numbers end: the softmax or sigmoid that makes probabilities of class scores, found on the tape.

A score is explained before the squashing, because the gradient of a probability vanishes when the model is sure. So
the tape is walked back from the output, over operations that only move numbers, to the last softmax or sigmoid. The
moves behind it are repeated on the *positions* of the numbers: that tells which class score each output was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import torch

from interp_widgets.trace.values import Operation, Ref, Value, map_structure
from interp_widgets.words import say

__all__ = ["Ending", "Scale", "ending_of"]

SOFTMAX = frozenset(("softmax", "log_softmax"))
SIGMOID = frozenset(("sigmoid", "hardsigmoid", "log_sigmoid", "expit"))
LOGARITHMS = frozenset(("log_softmax", "log_sigmoid"))
# Each number stays in its place; a change of type, a copy.
KEEPS = frozenset(
    "to float double half bfloat16 type type_as contiguous clone detach alias positive requires_grad dropout".split()  # noqa: SIM905 - reads better as words
)
# Numbers change their places, or some are left out.
MOVES = frozenset(
    """
    view reshape flatten unflatten ravel squeeze unsqueeze permute transpose swapaxes swapdims movedim moveaxis t
    getitem select narrow chunk split unbind unsafe_chunk unsafe_split tensor_split flip index_select
    """.split()  # noqa: SIM905 - as above
)
DIVISIONS = frozenset(("div", "truediv", "true_divide", "divide"))
SUBTRACTIONS = frozenset(("sub", "subtract"))
LARGEST = frozenset(("max", "amax"))


class Scale(Enum):
    """What the numbers that a model gives out are."""

    SOFTMAX = "softmax"  # one class of several; also assumed of plain class scores
    LABELS = "labels"  # each class by itself
    YES_OR_NO = "yes or no"  # one class, or not
    VALUE = "value"  # one number, of which nothing says that it is a class

    @property
    def words(self) -> str:
        """The scale as a person reads it."""
        return {
            Scale.SOFTMAX: say("softmax"),
            Scale.LABELS: say("sigmoid: several labels at once"),
            Scale.YES_OR_NO: say("sigmoid: yes or no"),
            Scale.VALUE: say("one value"),
        }[self]


@dataclass(frozen=True, eq=False)
class Ending:
    """Where the class scores are, and what was done to them afterwards.

    Args:
        index: the value that holds the class scores.
        squash: the operation that made probabilities of them; empty where none did.
        axis: the axis of the class scores that counts classes.
        picks: which numbers of an input's class scores the model gave out, by their place in that input's row (in the
            whole, for scores without a batch); ``None``: all of them, in their order.
        rows: whether the scores have one row per input, so that they keep it where the output lost it.
    """

    index: int
    squash: str = ""
    axis: int = 1
    picks: torch.Tensor | None = None
    rows: bool = False

    @property
    def is_logarithm(self) -> bool:
        """Whether the model gave out logarithms of probabilities."""
        return self.squash in LOGARITHMS

    def scores(self, value: torch.Tensor) -> torch.Tensor:
        """The class scores that the model's numbers were made of, from all that stand at the site."""
        if self.picks is None:
            return value
        if not self.rows:
            return value.reshape(-1)[self.picks.to(value.device)]
        chosen = value.flatten(1)[:, self.picks.flatten().to(value.device)]  # (N, K ...)
        return chosen.reshape(len(value), *self.picks.shape)


class Squashed(NamedTuple):
    """A value that was squashed, by what, along which axis."""

    source: int
    name: str
    axis: int


def ending_of(values: Sequence[Value], output: int) -> Ending:
    """The ending of the recorded value that the model gave out as its class scores or probabilities."""
    moves, start = _back_over_moves(values, output)
    squashed = _squashed(values, start)
    if squashed is None:
        if len(values[output].shape) > 1:
            return Ending(output)
        squashed = Squashed(start, "", 1)  # a row per input, that was squeezed away
    elif len(values[squashed.source].shape) < 2:  # squeezed before it was squashed
        before, start = _back_over_moves(values, squashed.source)
        moves = before + moves
        squashed = squashed._replace(source=start)
    index, name, axis = squashed
    ndim = len(values[index].shape)
    if not moves:
        return Ending(index, name, axis, rows=ndim > 1)
    places = _moved_places(values, index, moves)
    if ndim < 2:
        return Ending(index, name, picks=places)
    return _of_rows(squashed, values[index].shape, places) or Ending(output, name)


def _of_rows(squashed: Squashed, shape: Sequence[int], places: torch.Tensor) -> Ending | None:
    """The ending of an output that holds numbers of each row at the same places; ``None`` where rows were mixed.

    Args:
        places: where each number of the output was among those of the class scores, whose shape is ``shape``.
    """
    rows = shape[0]
    size = torch.Size(shape[1:]).numel()
    has_rows = places.ndim > 0 and places.shape[0] == rows
    if not (has_rows or rows == 1) or 0 in (rows, size, places.numel()):
        return None
    by_row = places.reshape(rows, -1) - size * torch.arange(rows)[:, None]  # (N, numbers of a row)
    own = by_row[0]
    if bool((by_row != own).any()) or bool(((own < 0) | (own >= size)).any()):
        return None
    own = own.reshape(places.shape[1:] if has_rows else places.shape)
    if own.shape == tuple(shape[1:]) and bool((own.flatten() == torch.arange(size)).all()):
        return Ending(squashed.source, squashed.name, squashed.axis, rows=True)
    step = torch.Size(shape[squashed.axis + 1 :]).numel()  # from one class to the next
    return Ending(squashed.source, squashed.name, _axis_with_step(own, step), picks=own, rows=True)


def _axis_with_step(own: torch.Tensor, step: int) -> int:
    """The axis of the scores, with that of the inputs in front, along which places go up by one step."""
    along = (axis for axis in range(own.ndim) if own.shape[axis] > 1 and bool((own.diff(dim=axis) == step).all()))
    return next(along, 0) + 1


def _back_over_moves(values: Sequence[Value], index: int) -> tuple[list[int], int]:
    """The values that were moved to make one, in the order they were made, and the value that all began with."""
    moved: list[int] = []
    while True:
        operation = values[index].operation
        if operation is None or operation.writes or len(operation.refs) != 1 or not _moves(operation):
            return moved[::-1], index
        moved.append(index)
        index = operation.refs[0].index


def _moves(operation: Operation) -> bool:
    name = _plain(operation)
    return name in KEEPS or name in MOVES


def _moved_places(values: Sequence[Value], start: int, moves: list[int]) -> torch.Tensor:
    """Where each number of the last of the moved values was in the value that they began with."""
    shape = torch.Size(values[start].shape)
    places: Any = torch.arange(shape.numel()).reshape(shape)
    for index in moves:
        operation = values[index].operation
        if operation is None or _plain(operation) in KEEPS:
            continue
        args, kwargs = map_structure(partial(_instead, places), (operation.args, operation.kwargs), Ref)
        places = operation.function(*args, **kwargs)
        if isinstance(places, (tuple, list)):
            places = places[values[index].output]
    found: torch.Tensor = places
    return found


def _instead(places: torch.Tensor, _value: Ref) -> torch.Tensor:
    return places


def _squashed(values: Sequence[Value], index: int) -> Squashed | None:
    """What was squashed to make a value; ``None`` where it was made in another way."""
    operation = values[index].operation
    if operation is None or not operation.refs:
        return None
    name, source = _plain(operation), operation.refs[0].index
    if values[source].shape != values[index].shape:
        return None
    if name in SIGMOID:
        return Squashed(source, name, 1)
    if name in SOFTMAX:
        return Squashed(source, name, _axis(operation, len(values[source].shape)))
    if name == "exp":  # of a logarithm of probabilities
        within = _squashed(values, source)
        is_logarithm = within is not None and within.name in LOGARITHMS
        return within._replace(name=within.name.removeprefix("log_")) if within is not None and is_logarithm else None
    return _softmax_by_hand(values, operation) if name in DIVISIONS else None


def _softmax_by_hand(values: Sequence[Value], operation: Operation) -> Squashed | None:
    """``exp(z) / exp(z).sum(dim)``, also with the largest ``z`` taken off first."""
    if len(operation.refs) != 2:
        return None
    top, bottom = (ref.index for ref in operation.refs)
    _, bottom = _back_over_moves(values, bottom)
    total, powers = values[bottom].operation, values[top].operation
    if total is None or powers is None or _plain(total) != "sum" or _plain(powers) != "exp":
        return None
    if not _alike(values, total.refs[0].index, top):
        return None
    axis = _axis(total, len(values[top].shape))
    scores = powers.refs[0].index
    shift = values[scores].operation
    if shift is not None and _plain(shift) in SUBTRACTIONS and len(shift.refs) == 2:
        _, peak = _back_over_moves(values, shift.refs[1].index)
        largest = values[peak].operation
        unshifted = shift.refs[0].index
        if largest is not None and _plain(largest) in LARGEST and _alike(values, largest.refs[0].index, unshifted):
            scores = unshifted
    return Squashed(scores, "softmax", axis)


def _alike(values: Sequence[Value], first: int, second: int) -> bool:
    """Whether two values are the same, or were made in the same way from the same values."""
    if first == second:
        return True
    one, other = values[first].operation, values[second].operation
    if one is None or other is None or one.name != other.name or not one.refs:
        return False
    return _same(values, (one.args, one.kwargs), (other.args, other.kwargs))


def _same(values: Sequence[Value], one: Any, other: Any) -> bool:
    """Whether two arguments are the same; recorded values may have been made twice."""
    if isinstance(one, Ref) and isinstance(other, Ref):
        return _alike(values, one.index, other.index)
    if type(one) is not type(other):
        return False
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(_same(values, *pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(values, one[key], other[key]) for key in one)
    return one is other or (not isinstance(one, torch.Tensor) and bool(one == other))


def _axis(operation: Operation, ndim: int) -> int:
    """The axis that an operation goes along; the one of classes where it does not say."""
    given = operation.kwargs.get("dim", operation.args[1] if len(operation.args) > 1 else None)
    if isinstance(given, (tuple, list)) and len(given) == 1:
        given = given[0]
    return given % ndim if isinstance(given, int) and ndim else min(1, max(0, ndim - 1))


def _plain(operation: Operation) -> str:
    """The name of an operation without what tells variants apart, such as ``__truediv__`` or ``special_softmax``."""
    return operation.name.strip("_").removeprefix("special_")
