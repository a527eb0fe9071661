"""``Tape``: the recorded operations and values in order, read-only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import nn

from interp_widgets.errors import ClosedError, LayerError, NonFiniteError, OverwrittenError, StaleError
from interp_widgets.trace.arguments import other_path, shown
from interp_widgets.trace.axes.labels import LayoutReader
from interp_widgets.trace.fingerprint import Fingerprint
from interp_widgets.trace.names import SiteName
from interp_widgets.trace.values import Operation, Ref, Site, Value, map_structure, tensors_in
from interp_widgets.words import did_you_mean, say

__all__ = ["Made", "Sites", "Tape"]

Made = Mapping[str, tuple[int, str | None, str]]
"""Of each site's name: its value, its module path, its kind of operation."""


class Sites(Mapping[str, Site]):
    """Every recorded tensor by name, in execution order; each ``Site`` is made when it is asked for."""

    def __init__(self, made: Made, values: list[Value], layouts: LayoutReader) -> None:
        self._made = made
        self._values = values
        self._layouts = layouts
        self._sites: dict[str, Site] = {}

    def __getitem__(self, name: str) -> Site:
        if name not in self._sites:
            index, module, operation = self._made[name]
            value = self._values[index]
            differentiable = value.edge is not None
            self._sites[name] = Site(
                name, module, operation, value.shape, value.dtype, differentiable, index, self._layouts.layout
            )
        return self._sites[name]

    def __contains__(self, name: object) -> bool:
        return name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


class Tape:
    """What a pass did.

    Attributes:
        model: the user's model.
        values: each version of each tensor, by index.
        operations: the torch calls in the order in which they ran; ``Ref`` stands for a value in their arguments.
        sites: the named values.
        layouts: which axis of a value is what.
        inputs: names of the inputs' sites.
        feature_names: what the numbers of an input ``(N, F)`` are called.
        told: the values whose numbers Python has seen, such as those of ``if x.sum() > 0``.
    """

    feature_names: tuple[str, ...] = ()

    def __init__(
        self,
        model: nn.Module,
        values: list[Value],
        operations: list[Operation],
        *,
        made: Made,
        layers: Mapping[str, str],
        inputs: Iterable[str],
        fingerprint: Fingerprint,
        told: Iterable[int] = (),
    ) -> None:
        self.model = model
        self.values = values
        self.operations = operations
        self.layouts = LayoutReader(values, operations)
        self.sites = Sites(made, values, self.layouts)
        self.inputs = tuple(inputs)
        self.told = frozenset(told)
        self.closed = False
        self._layers = layers
        self._fingerprint = fingerprint

    # Names

    @property
    def layers(self) -> list[str]:
        """Module paths that produced a tensor, in the order in which their (last) call ended."""
        return list(self._layers)

    def site(self, layer: Any) -> Site:
        """The site that a layer or site name stands for; see ``Trace.site``."""
        if not isinstance(layer, str):
            example = next(iter(self._layers), "input")
            raise LayerError(
                say(
                    "layer must be a module path such as {example!r}, got {given} ({kind})",
                    example=example,
                    given=shown(layer),
                    kind=type(layer).__name__,
                )
            )
        if layer in self._layers:
            return self.sites[self._layers[layer]]
        if layer in self.sites:
            return self.sites[layer]
        first = str(SiteName.parse(layer).counted)
        if first in self.sites:
            return self.sites[first]
        other = other_path(self.model, layer)
        if other is not None:
            return self.site(other)
        raise LayerError(self._unknown_layer(layer))

    def _unknown_layer(self, layer: str) -> str:
        names = self.layers
        listed = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        if layer in dict(self.model.named_modules()):
            return say(
                "layer {layer!r} is in the model but did not run, or returned no tensor, in this pass. "
                "Recorded: {listed} ({count} in all: trace.layers)",
                layer=layer,
                listed=listed,
                count=len(names),
            )
        hint = did_you_mean(layer, names)
        if hint:
            return say(
                "layer {layer!r} was not recorded{hint} Recorded: {listed} ({count} in all: trace.layers)",
                layer=layer,
                hint=hint,
                listed=listed,
                count=len(names),
            )
        return say(
            "layer {layer!r} was not recorded. Recorded: {listed} ({count} in all: trace.layers)",
            layer=layer,
            listed=listed,
            count=len(names),
        )

    @cached_property
    def names(self) -> dict[int, str]:
        """The name of each value that has one, by its index."""
        return {self.sites[name].index: name for name in self.sites}

    def made_by(self, operation: Operation) -> list[tuple[int, int]]:
        """Position and value of each output that an operation made; others it only handed through."""
        return [
            (position, index)
            for position, index in enumerate(operation.outputs)
            if self.values[index].operation is operation and self.values[index].output == position
        ]

    # Values

    def value(self, index: int, name: str = "") -> torch.Tensor:
        """A recorded tensor, detached; one that was overwritten is computed again, and kept.

        Raises:
            OverwrittenError: its memory was written into after the recording.
            StaleError: it must be computed again, and the model has changed.
        """
        self.check_open()
        value = self.values[index]
        if value.tensor is None:
            return self._recompute(value, name or say("value {index}", index=index))
        if value.version >= 0 and value.tensor._version != value.version:
            raise OverwrittenError(
                say(
                    "the recorded value of {name!r} was overwritten after the recording, "
                    "its memory was written in place: it cannot be trusted, record again",
                    name=name,
                )
            )
        return value.tensor

    def _recompute(self, value: Value, name: str) -> torch.Tensor:
        """Repeat the operation whose result was overwritten; its inputs are there, or are computed again in turn."""
        operation = value.operation
        if operation is None:
            raise OverwrittenError(
                say("the value of {name!r} was overwritten and cannot be computed again: record again", name=name)
            )
        self.check_fresh(say("the value of {name!r}", name=name), read=self._read_by(operation))
        args, kwargs = map_structure(lambda ref: self.value(ref.index, name), (operation.args, operation.kwargs), Ref)
        with torch.inference_mode(mode=False), torch.no_grad():
            found = operation.again(args, kwargs)[value.output].detach()
        value.version, value.tensor = found._version, found
        return found

    # Health

    @property
    def stale(self) -> bool:
        """Whether the model has changed since the recording, as far as that is seen at a glance."""
        return self._fingerprint.changed() is not None

    def check_fresh(self, what: str, read: Iterable[str] = ()) -> None:
        """Refuse an answer that would mix the recording with a changed model.

        Args:
            what: the answer, for the sentence.
            read: names of the tensors whose memory is looked through as well.

        Raises:
            StaleError: something has changed; the first is named.
        """
        changed = self._fingerprint.changed() or self._fingerprint.written(read)
        if changed is not None:
            raise StaleError(
                say(
                    "{what} cannot be taken from this trace: {changed!r} has changed since the recording; record again",
                    what=what,
                    changed=changed,
                )
            )

    @property
    def memory(self) -> list[str]:
        """Names of all tensors of the model that a new pass reads."""
        return self._fingerprint.names

    def parameters_behind(self, index: int) -> list[str]:
        """Names of the parameters that some operation has read after a value was there."""
        start = self.made_at(index)
        return [name for name, last in self._last_read.items() if last > start]

    def cut_between(self, start: int, ends: Iterable[int]) -> str | None:
        """The first value on the way from one value to others that was computed while autograd was off.

        Returns:
            Its name; ``None`` where there is no way, or none through such a value.
        """
        reached = {start}
        cut_at: dict[int, int] = {}  # of each value behind such a one, which that was
        for operation in self.operations:
            read = [ref.index for ref in operation.refs if ref.index in reached]
            origin = next((cut_at[index] for index in read if index in cut_at), None)
            for _, index in self.made_by(operation) if read else ():
                reached.add(index)
                if origin is not None or self.values[index].no_grad:
                    cut_at[index] = index if origin is None else origin
        first = next((cut_at[index] for index in ends if index in cut_at), None)
        if first is None:
            return None
        made_by = self.values[first].operation
        return self.names.get(first, "" if made_by is None else made_by.name)

    def inputs_behind(self, index: int) -> list[str]:
        """Names of the inputs that a value was computed from."""
        behind = {index}
        for operation in reversed(self.operations):
            if not behind.isdisjoint(operation.outputs):
                behind.update(ref.index for ref in operation.refs)
        return [name for name in self.inputs if self.sites[name].index in behind]

    def made_at(self, index: int) -> int:
        """The place among the operations of the one that made a value, -1 for what was given."""
        return self._places.get(index, -1)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {index: place for place, operation in enumerate(self.operations) for _, index in self.made_by(operation)}

    @cached_property
    def _last_read(self) -> dict[str, int]:
        return {name: place for place, operation in enumerate(self.operations) for name in self._read_by(operation)}

    def _read_by(self, operation: Operation) -> list[str]:
        given = (tensor for _, tensor in tensors_in((operation.args, operation.kwargs)))
        return [name for name in map(self._fingerprint.name_of, given) if name]

    def check_open(self) -> None:
        """Refuse what is asked after ``close``.

        Raises:
            ClosedError: it is closed.
        """
        if self.closed:
            raise ClosedError(say("this trace is closed: record again"))

    def first_nonfinite(self) -> str | None:
        """The first layer whose output holds a NaN or an infinity, ``None`` if there is none."""
        for site in self.sites.values():
            is_layer = site.module is not None or site.name in self.inputs
            numbers = site.dtype.is_floating_point or site.dtype.is_complex
            if is_layer and numbers and not bool(torch.isfinite(self.value(site.index, site.name)).all()):
                return site.name
        return None

    def check_finite(self, tensor: torch.Tensor, what: str) -> None:
        """Refuse a result that is not finite, naming the first layer where it went wrong.

        Raises:
            NonFiniteError: it holds a NaN or an infinity.
        """
        if not bool(torch.isfinite(tensor).all()):
            raise NonFiniteError(say("{what} is not finite{origin}", what=what, origin=self.nonfinite_origin()))

    def nonfinite_origin(self) -> str:
        """Where a NaN or an infinity comes from, as the end of a sentence."""
        first = self.first_nonfinite()
        if first is None:
            return ""
        features = self._nonfinite_features(first)
        if features:
            return say(
                ": NaN or infinity first appears at {first!r}, in {features}: fill in what is missing there",
                first=first,
                features=", ".join(map(repr, features)),
            )
        return say(": NaN or infinity first appears at {first!r}", first=first)

    def _nonfinite_features(self, name: str) -> list[str]:
        """Which columns of an input ``(N, F)`` with names hold a NaN or an infinity."""
        value = self.value(self.sites[name].index, name)
        if name not in self.inputs or value.ndim != 2 or value.shape[1] != len(self.feature_names):
            return []
        wrong = (~torch.isfinite(value)).any(dim=0).tolist()
        return [feature for feature, is_wrong in zip(self.feature_names, wrong, strict=True) if is_wrong]

    def storages(self, tensors: Iterable[torch.Tensor] = ()) -> dict[int, int]:
        """Bytes of each piece of memory that the recorded values, and some other tensors, lie in."""
        held = [value.tensor for value in self.values if value.tensor is not None]
        return {
            tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
            for tensor in (*held, *tensors)
            if tensor.layout == torch.strided
        }

    def close(self) -> None:
        """Let go of the values and of the autograd graph."""
        self.closed = True
        for value in self.values:
            value.tensor = value.edge = value.operation = None
        self.operations.clear()
