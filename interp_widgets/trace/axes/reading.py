"""Which recorded values the output reads position by position, and of which it reads the class token only."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from interp_widgets.trace.axes.dims import Labels, Tokens
from interp_widgets.trace.values import Operation, Ref, Value

__all__ = ["Reading", "readings"]

# Operations whose first argument gives the positions of the output and whose others are read as a whole.
ATTENTION = frozenset({"scaled_dot_product_attention", "matmul", "__matmul__", "bmm", "multi_head_attention_forward"})
# Operations that keep positions apart.
MIXING = frozenset({"mean", "sum", "amax", "max", "cat", "concat", "stack", "einsum", "lstm", "gru"})


class Reading(IntEnum):
    """How much of a value the output depends on."""

    NOTHING = 0
    PREFIX = 1  # the tokens before the grid, such as the class token
    POSITIONS = 2


def readings(
    values: list[Value], tape: list[Operation], labels: list[Labels | None], outputs: Iterable[int]
) -> list[Reading]:
    """For each value, how the ``outputs`` read it: the tape is walked once, backwards."""
    found = [Reading.NOTHING] * len(values)
    for index in outputs:
        found[index] = Reading.POSITIONS
    for operation in reversed(tape):
        made = [index for index in operation.outputs if values[index].operation is operation]
        reading = max((found[index] for index in made), default=Reading.NOTHING)
        if reading is Reading.NOTHING:
            continue
        unread = _behind_prefix(operation, labels[made[0]], values) if reading is Reading.PREFIX else set()
        for position, ref in enumerate(operation.refs):
            if ref.index in unread:
                continue
            found[ref.index] = max(found[ref.index], _of_input(operation, position, ref, reading, labels))
    return found


def _of_input(operation: Operation, position: int, ref: Ref, reading: Reading, labels: list[Labels | None]) -> Reading:
    tokens = _tokens(labels[ref.index])
    if tokens is None:
        return Reading.POSITIONS
    if _picks_prefix(operation, labels[ref.index] or (), tokens[1]):
        return Reading.PREFIX
    if reading is Reading.POSITIONS or operation.name in MIXING:
        return Reading.POSITIONS
    return Reading.PREFIX if operation.name not in ATTENTION or position == 0 else Reading.POSITIONS


def _behind_prefix(operation: Operation, labels: Labels | None, values: list[Value]) -> set[int]:
    """The pieces of a concatenation that lie behind the prefix: patch tokens that are carried along, not read."""
    tokens = _tokens(labels)
    if operation.name not in ("cat", "concat", "concatenate") or tokens is None:
        return set()
    axis, start, behind = tokens[0], 0, set()
    for piece in operation.args[0] if operation.args else operation.kwargs["tensors"]:
        shape = values[piece.index].shape if isinstance(piece, Ref) else piece.shape
        if isinstance(piece, Ref) and start >= tokens[1].prefix:
            behind.add(piece.index)
        start += shape[axis]
    return behind


def _tokens(labels: Labels | None) -> tuple[int, Tokens] | None:
    for axis, dim in enumerate(labels or ()):
        if dim and isinstance(dim[0], Tokens):
            return axis, dim[0]
    return None


def _picks_prefix(operation: Operation, labels: Labels, tokens: Tokens) -> bool:
    """``x[:, 0]``, ``x[:, :1]`` or ``x.select(1, 0)`` on the token axis, within the prefix."""
    axis = next(axis for axis, dim in enumerate(labels) if dim and dim[0] is tokens)
    args = operation.args
    if operation.name == "select" and len(args) == 3:
        return bool(args[1] % len(labels) == axis and 0 <= args[2] < tokens.prefix)
    if operation.name != "__getitem__":
        return False
    keys = args[1] if isinstance(args[1], tuple) else (args[1],)
    if len(keys) <= axis or any(key is None or key is Ellipsis for key in keys[: axis + 1]):
        return False
    key = keys[axis]
    if isinstance(key, slice):
        return key.indices(tokens.size)[1] <= tokens.prefix
    return isinstance(key, int) and 0 <= key < tokens.prefix
