"""Do recorded operations again: with the values of a pass, or with others in the place of some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from interp_widgets.errors import GradientError
from interp_widgets.trace.torch_calls import draws
from interp_widgets.trace.trace import Trace
from interp_widgets.trace.values import Operation, Ref, map_structure
from interp_widgets.words import say

__all__ = ["Points", "Replay", "check_same_tape"]

Points = Mapping[int, torch.Tensor]
"""Values that stand in the place of recorded ones, by index."""

# Gradients stop at these, differences do not.
TRANSPARENT = frozenset(("detach", "data"))
VIEWS = frozenset(
    """
    __getitem__ view view_as reshape reshape_as flatten unflatten ravel permute transpose swapaxes swapdims t T mT
    movedim moveaxis squeeze unsqueeze select narrow chunk split split_with_sizes tensor_split unbind diagonal unfold
    as_strided expand expand_as contiguous
    """.split()  # noqa: SIM905 - a list of thirty names reads better as words
)


class Replay:
    """The values of one pass, and its operations at other values.

    A value that was let go of is computed again, and kept until it is forgotten; the trace stays as it was.
    """

    def __init__(self, trace: Trace) -> None:
        self._tape = trace.tape
        self._values = trace.tape.values
        self._again: dict[int, torch.Tensor] = {}

    def __getitem__(self, index: int) -> torch.Tensor:
        value = self._values[index]
        if value.tensor is not None or value.operation is None:
            return self._tape.value(index)
        if index not in self._again:
            with torch.no_grad():
                self._again[index] = self.run(value.operation)[value.output]
        return self._again[index]

    def forget(self, index: int) -> None:
        """Free a value that was computed again."""
        self._again.pop(index, None)

    def run(self, operation: Operation, points: Points | None = None) -> list[torch.Tensor]:
        """The outputs of an operation; one that writes gets a copy to write into."""
        points = points or {}

        def value(ref: Ref) -> torch.Tensor:
            return points[ref.index] if ref.index in points else self[ref.index]

        args, kwargs = map_structure(value, (operation.args, operation.kwargs), Ref)
        if operation.name.strip("_") in TRANSPARENT:
            return [args[0]]
        if draws(operation.name, args, kwargs):
            raise GradientError(
                say(
                    "{operation} drew random numbers in this recording and would draw others now, "
                    "so the recording cannot be walked back: record with evaluation=True, "
                    "or choose a method that runs the model anew, such as Integrated Gradients",
                    operation=operation.name,
                )
            )
        return operation.again(args, kwargs)

    # Memory that was written through another tensor

    def alias_sources(self, operation: Operation) -> list[int]:
        """The values of which ``run_alias`` makes what an ``alias`` stands for; none where that is not known.

        The tape has the tensor's old value and the value that was written. The first source is what both are views of,
        in its latest version; the second is the value written.
        """
        old, *written = (ref.index for ref in operation.args)
        if not written:
            return [old]
        seen, spot = self._views_of(old), self._views_of(self._target(written[0]))
        root = next((index for index in seen if index in spot), None)
        if root is None:
            return []
        versions = [root]
        for chain in (seen, spot):
            for index in reversed(chain[: chain.index(root)]):
                if self._is_view(index):
                    break
                versions.append(index)
        return [max(versions), *written]

    def run_alias(self, operation: Operation, points: Points) -> list[torch.Tensor]:
        """What a tensor holds after a write through another one."""
        latest, *written = self.alias_sources(operation)
        base = points[latest] if latest in points else self[latest]
        if not written:
            return [base]
        seen, spot = self._views_of(operation.args[0].index), self._views_of(self._target(written[0]))
        root = next(index for index in seen if index in spot)
        base = base.clone()
        there = points[written[0]] if written[0] in points else self[written[0]]
        self._viewed(spot[: spot.index(root)], base).copy_(there)
        return [self._viewed(seen[: seen.index(root)], base)]

    def _target(self, written: int) -> int:
        """The value before a write of the tensor that was written into."""
        operation = self._values[written].operation
        return _first(operation) if operation is not None and operation.writes else written

    def _is_view(self, index: int) -> bool:
        operation = self._values[index].operation
        return operation is not None and not operation.writes and operation.name in VIEWS

    def _views_of(self, index: int) -> list[int]:
        """A value, what it is a view or a later version of, what that is one of, and so on."""
        chain = [index]
        while True:
            operation = self._values[chain[-1]].operation
            if operation is None or not (operation.writes or operation.name == "alias" or self._is_view(chain[-1])):
                return chain
            chain.append(_first(operation))

    def _viewed(self, chain: Sequence[int], base: torch.Tensor) -> torch.Tensor:
        """The same views of another tensor, the last one first."""
        for index in reversed(chain):
            operation = self._values[index].operation
            if operation is not None and self._is_view(index):
                base = self.run(operation, {_first(operation): base})[self._values[index].output]
        return base


def _first(operation: Operation) -> int:
    """The value of the first argument."""
    return operation.refs[0].index


def check_same_tape(trace: Trace, reference: Trace) -> None:
    """Refuse two passes that did not do the same operations with the same constants.

    Raises:
        GradientError: they did not; the message names the first place where they differ.
    """
    for place, (own, other) in enumerate(zip(trace.tape.operations, reference.tape.operations, strict=False)):
        if not _same(own, other):
            raise GradientError(_difference(trace, place, own, other))
    here, there = trace.tape, reference.tape
    if (len(here.operations), len(here.values)) != (len(there.operations), len(there.values)):
        raise GradientError(
            say(
                "the model does not take the same way for the reference as for the input: "
                "{here} operations for the input, {there} for the reference. "
                "Choose another baseline, or a method that compares no two passes, such as Integrated Gradients",
                here=len(here.operations),
                there=len(there.operations),
            )
        )


def _difference(trace: Trace, place: int, own: Operation, other: Operation) -> str:
    """What the two passes did in one place."""
    names = [repr(trace.tape.names[index]) for index in own.outputs if index in trace.tape.names]
    where = names[0] if names else say("operation {place}", place=place)
    if own.name == other.name:
        return say(
            "the model does not take the same way for the reference as for the input: "
            "at {where} it does {operation}, and {operation} with other arguments for the reference. "
            "Choose another baseline, or a method that compares no two passes, such as Integrated Gradients",
            where=where,
            operation=own.name,
        )
    return say(
        "the model does not take the same way for the reference as for the input: "
        "at {where} it does {operation}, and {other} for the reference. "
        "Choose another baseline, or a method that compares no two passes, such as Integrated Gradients",
        where=where,
        operation=own.name,
        other=other.name,
    )


def _same(own: Operation, other: Operation) -> bool:
    return (
        (own.name, own.writes, own.outputs) == (other.name, other.writes, other.outputs)
        and own.function == other.function
        and _alike((own.args, own.kwargs), (other.args, other.kwargs))
    )


def _alike(own: Any, other: Any) -> bool:
    """Whether two arguments are the same: what was recorded is a ``Ref``, the rest must not differ."""
    if type(own) is not type(other):
        return False
    if isinstance(own, Ref):
        return bool(own.index == other.index)
    if isinstance(own, torch.Tensor):
        return own is other or torch.equal(own, other)
    if isinstance(own, (tuple, list)):
        return len(own) == len(other) and all(map(_alike, own, other))
    if isinstance(own, dict):
        return own.keys() == other.keys() and all(_alike(own[key], other[key]) for key in own)
    return own is other or bool(own == other)
