"""``Suffix``: the recorded operations that depend on some changed values, done again without the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch

from interp_widgets.trace.calls import Calls
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.torch_calls import draws
from interp_widgets.trace.values import Change, Operation, Ref, map_structure

__all__ = ["Replayed", "Suffix"]

Replayed = Callable[[str], torch.Tensor]
"""The value at a layer or site in a pass with changes; detached."""

Step = Operation | str
"""An operation to do again, or the site whose value is changed."""


class Suffix:
    """Does again what depends on changed values, where the tape tells what that is.

    It does not where Python may go another way (it has seen a number that depends on a change), where the random
    generators are drawn from, where memory is written that goes by several names, or where a value comes from code that
    torch does not show, such as a custom ``autograd.Function``.

    Args:
        calls: which module ran in which.
    """

    def __init__(self, tape: Tape, calls: Calls) -> None:
        self._tape = tape
        self._calls = calls
        self._plans: dict[frozenset[str], list[Step] | None] = {}

    def run(self, changes: Mapping[str, Change]) -> Replayed | None:
        """The values with changes at some sites; ``None`` where the tape cannot tell."""
        sites = frozenset(changes)
        if sites not in self._plans:
            self._plans[sites] = self._plan(sites)
        plan = self._plans[sites]
        if plan is None:
            return None
        changed = _Changed(self._tape)
        try:
            with torch.inference_mode(mode=False), torch.no_grad():
                for step in plan:
                    if isinstance(step, str):
                        changed.change(step, changes[step])
                    elif not changed.repeat(step):
                        return None
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # the operations do not fit together any more, so the model would do others
            return None
        return changed.value

    def _plan(self, sites: Iterable[str]) -> list[Step] | None:
        """What is done again, in order; ``None`` where the tape does not tell all of it."""
        ends = self._ends(sites)
        first = ends.pop(-1, [])
        steps: list[Step] = [*first]
        reached = {self._tape.sites[name].index for name in first}
        for place, operation in enumerate(self._tape.operations):
            if not reached.isdisjoint(ref.index for ref in operation.refs):
                if not self._can_be_repeated(operation, reached):
                    return None
                steps.append(operation)
                reached.update(operation.outputs)
            for name in ends.get(place, ()):
                steps.append(name)
                reached.add(self._tape.sites[name].index)
        return steps if reached.isdisjoint(self._tape.told) else None

    def _ends(self, sites: Iterable[str]) -> dict[int, list[str]]:
        """By the place of the operation after which it happens, -1 for before all: the changes, in execution order."""
        order = {name: place for place, name in enumerate(self._tape.sites)}
        ends: dict[int, list[str]] = {}
        for name in sorted(sites, key=order.__getitem__):
            site = self._tape.sites[name]
            place = self._tape.made_at(site.index) if site.module is None else self._last_in(name)
            ends.setdefault(place, []).append(name)
        return ends

    def _last_in(self, call: str) -> int:
        """The place of the last operation in a module call: what comes after it has been given what it returned."""
        places = [
            place
            for place, operation in enumerate(self._tape.operations)
            if operation.scope == call or call in self._calls.around(operation.scope)
        ]
        return max(places, default=self._tape.made_at(self._tape.sites[call].index))

    def _can_be_repeated(self, operation: Operation, reached: set[int]) -> bool:
        """Whether an operation can be done again with other values: not an opaque module, random, or by other names."""
        is_opaque = isinstance(operation.function, torch.nn.Module)
        is_alias = operation.name == "alias"
        if is_opaque or is_alias or draws(operation.name, operation.args, operation.kwargs):
            return False
        others = (ref.index for ref in operation.refs if ref.index not in reached)
        return all(self._tape.values[index].operation is not None or self._is_constant(index) for index in others)

    def _is_constant(self, index: int) -> bool:
        """Whether a value that no operation made is a buffer of the model."""
        value = self._tape.values[index]
        return any(
            value.tensor is not None and value.shape == buffer.shape and torch.equal(value.tensor, buffer)
            for buffer in self._tape.model.buffers()
            if buffer.dtype == value.dtype and buffer.device == value.device
        )


class _Changed:
    """The values of a pass with changes, as far as they are computed.

    A value may stand at several sites, one in the other: the last module of a block returns what the block returns.
    Changed at the block, it is another one there than at the module.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._order = {name: place for place, name in enumerate(tape.sites)}
        # of each value, by its index: from which site on it is which tensor
        self._versions: dict[int, list[tuple[int, torch.Tensor]]] = {}

    def change(self, name: str, change: Change) -> None:
        """Let another value stand at a site from here on."""
        index = self._tape.sites[name].index
        versions = self._versions.setdefault(index, [])
        versions.append((self._order[name], change(self._latest(index))))

    def repeat(self, operation: Operation) -> bool:
        """Do an operation again; whether its outputs have the shapes that the model's code has seen."""
        args, kwargs = map_structure(lambda ref: self._latest(ref.index), (operation.args, operation.kwargs), Ref)
        outputs = operation.again(args, kwargs)
        for position, index in self._tape.made_by(operation):
            if outputs[position].shape != self._tape.values[index].shape:
                return False
            self._versions[index] = [(-1, outputs[position])]
        return True

    def value(self, layer: str) -> torch.Tensor:
        """The value at a layer or site."""
        site = self._tape.site(layer)
        versions = self._versions.get(site.index, ())
        found = [tensor for since, tensor in versions if since <= self._order[site.name]]
        return found[-1] if found else self._tape.value(site.index, site.name)

    def _latest(self, index: int) -> torch.Tensor:
        versions = self._versions.get(index)
        return versions[-1][1] if versions else self._tape.value(index)
