"""``Passes``: the recorded model again, with other values at its inputs, layers or sites."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import nn

from interp_widgets.errors import InputError, LayerError
from interp_widgets.trace.arguments import check_batches, check_example, check_whole
from interp_widgets.trace.axes.axes import Axes
from interp_widgets.trace.calls import Calls
from interp_widgets.trace.memory import batch_bytes, free_cached
from interp_widgets.trace.names import SiteName
from interp_widgets.trace.outputs import Outputs
from interp_widgets.trace.suffix import Replayed, Suffix
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.target import Recorded, Target, Values
from interp_widgets.trace.values import Change
from interp_widgets.trace.watcher import Keep
from interp_widgets.words import say

__all__ = ["Again", "Passes", "Probe", "Probes"]

# On few cores more at once is not faster, and cancelling waits for it. With gradients all values of a pass are kept.
MOST_AT_ONCE, MOST_WITH_GRADIENT = 8, 4
MOST_ON_DEVICE = 512  # a graphics card is busy long before
KEPT = 0.25  # share of a pass's values that are there at a time when nobody wants gradients
QUANTISED = frozenset((torch.quint8, torch.qint8, torch.qint32))


class Rerun(Recorded, Protocol):
    """What is asked of another recording of the same model: a ``Trace``."""

    def activation(self, layer: str) -> torch.Tensor:
        """The value at a site."""

    def gradients(self, layers: Iterable[str], target: Target) -> list[torch.Tensor]:
        """The derivatives of the target's score there."""

    def __enter__(self) -> Self:
        """Until the block ends it is open."""

    def __exit__(self, *error: object) -> None:
        """Close it."""


class Again(Protocol):
    """Runs the model again as it was run; see ``recording.Pass``."""

    def rerun(
        self, inputs: Mapping[str, torch.Tensor], edits: Mapping[str, Change], batch_inputs: frozenset[str]
    ) -> Any:
        """Record again, with other inputs, of which some have one row per example."""

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],
        edits: Mapping[str, torch.Tensor],
        wanted: Mapping[str, str],
        outputs: Mapping[str, str],
        known: Mapping[str, torch.Tensor] = ...,
    ) -> dict[str, torch.Tensor]:
        """Run again without autograd and without a recording."""

    def read(self, inputs: Mapping[str, torch.Tensor], wanted: Mapping[str, str], keep: Keep) -> dict[str, Any]:
        """Run again in the same way, and keep what ``keep`` makes of the values at some sites."""

    def lend(
        self, inputs: Mapping[str, torch.Tensor], *, itself: bool
    ) -> AbstractContextManager[tuple[nn.Module, Any]]:
        """The model and its arguments, for code that runs it by itself."""


class Probe(NamedTuple):
    """Scores ``(B,)`` at other values, and their gradients ``(B, ...)`` there; empty when they were not asked for."""

    scores: torch.Tensor
    gradients: torch.Tensor


class Probes(NamedTuple):
    """Scores ``(B,)`` at other values of some sites, and the gradients ``(B, ...)`` at each that were asked for."""

    scores: torch.Tensor
    gradients: Mapping[str, torch.Tensor]


class Wanted(NamedTuple):
    """What a pass that is not recorded reads: module paths and paths in the output, of the sites asked for."""

    modules: Mapping[str, str]
    outputs: Mapping[str, str]


class Passes:
    """Further passes of one recording's model.

    Args:
        calls: which module ran in which.
        again: how the model is run.
    """

    def __init__(self, tape: Tape, axes: Axes, outputs: Outputs, calls: Calls, again: Again) -> None:
        self._tape = tape
        self._axes = axes
        self._outputs = outputs
        self._calls = calls
        self._again = again
        self._suffix = Suffix(tape, calls)
        self._replays_rightly = {frozenset[str](): True}  # of sites that were changed together
        self._in_full: set[str] = set()  # sites where a pass takes no short cut, because one failed
        self._most: int | None = None  # values at once, once more of them did not fit into memory

    def rerun(self, values: Mapping[str, torch.Tensor], example: int) -> Any:
        """Record with other values; see ``Trace.rerun``."""
        inputs, edits = self._fed(values, example)
        changes = {name: partial(_instead, value) for name, value in edits.items()}
        return self._again.rerun(inputs, changes, self._axes.batch.inputs)

    def replay(self, changes: Mapping[str, Change]) -> Replayed:
        """What the pass says where some values are changed; see ``Trace.replay``."""
        named = {self._tape.site(layer).name: change for layer, change in changes.items()}
        for name in named:
            self.check_changeable(name)
        first = min((self._tape.sites[name].index for name in named), default=len(self._tape.values) - 1)
        self._tape.check_fresh(say("a replay"), read=self._tape.parameters_behind(first))
        sites = frozenset(named)
        if sites not in self._replays_rightly:
            self._replays_rightly[sites] = self._is_replayed_rightly(sites)
        replayed = self._suffix.run(named) if self._replays_rightly[sites] else None
        return self._in_whole(named) if replayed is None else replayed

    def _is_replayed_rightly(self, sites: Iterable[str]) -> bool:
        """Whether the tape gives bit for bit what the model says when everything at these sites is halved."""
        halved = dict.fromkeys(sites, _half)
        replayed = self._suffix.run(halved)
        if replayed is None:
            return False
        whole = self._in_whole(halved)
        return all(torch.equal(replayed(name), whole(name)) for name in self._outputs.sites.values())

    def _in_whole(self, changes: Mapping[str, Change]) -> Replayed:
        """The recorded pass done again, with the changes made on the way."""
        self._tape.check_fresh(say("another pass"), read=self._tape.memory)
        inputs = {name: self._tape.value(self._tape.sites[name].index, name) for name in self._tape.inputs}
        for name in [name for name in changes if name in inputs]:
            inputs[name] = changes[name](inputs[name])
        inner = {name: change for name, change in changes.items() if name not in inputs}
        found: Callable[[str], torch.Tensor] = self._again.rerun(inputs, inner, self._axes.batch.inputs).activation
        return found

    def check_changeable(self, name: str) -> None:
        """Refuse what no pass could change.

        Raises:
            LayerError: an operation that writes into a tensor, or one of several that an operation returns.
        """
        site = self._tape.sites[name]
        operation = self._tape.values[site.index].operation
        is_returned = site.module is not None or name in self._tape.inputs
        is_written = operation is not None and operation.writes
        if not is_returned and (operation is None or is_written or len(operation.outputs) > 1):
            raise LayerError(
                say(
                    "the value of {name!r} cannot be changed: it is written into a tensor that has other names too; "
                    "choose the module that returns it",
                    name=name,
                )
            )

    @contextmanager
    def lent(self, example: int, *, itself: bool) -> Iterator[tuple[nn.Module, Any]]:
        """The model and one recorded input, for code that runs it by itself; see ``Trace.lent``."""
        self._tape.check_fresh(say("another pass"), read=self._tape.memory)
        example = check_example(example, self._axes.examples)
        inputs = {name: self._repeated(name, 1, example) for name in self._tape.inputs}
        with self._again.lend(inputs, itself=itself) as found:
            yield found

    def read(self, inputs: Mapping[str, torch.Tensor], layers: Iterable[str], keep: Keep) -> dict[str, Any]:
        """What ``keep`` makes of layers' values for other inputs; see ``Trace.read``."""
        wanted: dict[str, str] = {}
        for layer in layers:
            site = self._tape.site(layer)
            if site.module is None or not SiteName.parse(site.name).is_output:
                raise LayerError(
                    say(
                        "{layer!r} is no output of a module: other inputs run without a recording, "
                        "and only what modules return can be read then",
                        layer=layer,
                    )
                )
            wanted[site.name] = site.module
        fed, _ = self._fed(inputs, 0)
        return self._again.read(fed, wanted, keep)

    # Scores and gradients at other values

    def probe(self, values: Mapping[str, torch.Tensor], target: Target, *, example: int, gradient: bool) -> Probes:
        """Scores and gradients at other values of some sites, a batch for each; see ``Trace.probe``.

        Values that do not fit into memory together are taken in halves, and no more at once from then on.
        """
        count = _count(check_batches(values))
        by_row = self._tells_apart(target) and all(self._axes.has_rows(name) for name in values)
        if count > 1 and not by_row:
            return self._in_parts(values, 1, target, example, gradient=gradient)
        try:
            found = self._at_once(values, target, example, gradient=gradient)
        except torch.OutOfMemoryError:
            if count == 1:
                raise
        else:
            if len(found.scores) == count or count == 1:
                return found
            return self._in_parts(values, 1, target, example, gradient=gradient)
        return self._in_parts(values, self.fewer_at_once(count), target, example, gradient=gradient)

    def _tells_apart(self, target: Target) -> bool:
        """Whether a target has a score for each input of a batch; another one may read the first input only."""
        if not (self._axes.is_batch and target.adds_up):
            return False
        scores = target.each(Values(self._outputs, self._recorded))
        return len(scores) == self._axes.examples

    def _recorded(self, site: str) -> torch.Tensor:
        found = self._tape.site(site)
        return self._tape.value(found.index, found.name)

    def _in_parts(
        self, values: Mapping[str, torch.Tensor], size: int, target: Target, example: int, *, gradient: bool
    ) -> Probes:
        pieces = zip(*(torch.split(batch, size) for batch in values.values()), strict=True)
        probes = [
            self.probe(dict(zip(values, piece, strict=True)), target, example=example, gradient=gradient)
            for piece in pieces
        ]
        gradients = {name: torch.cat([probe.gradients[name] for probe in probes]) for name in probes[0].gradients}
        return Probes(torch.cat([probe.scores for probe in probes]), gradients)

    def _at_once(self, values: Mapping[str, torch.Tensor], target: Target, example: int, *, gradient: bool) -> Probes:
        if not gradient:
            return Probes(self._scores(values, target, example), {})
        arranged = self._arranged(values)
        if arranged is not None and self._in_full.isdisjoint(values):
            try:
                return self._with_gradients(arranged, target, example)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, Warning):  # a warning where warnings are errors
                self._in_full.update(values)
        return self._with_gradients(values, target, example)

    def _with_gradients(self, values: Mapping[str, torch.Tensor], target: Target, example: int) -> Probes:
        other: Rerun
        with self.rerun(values, example) as other:
            scores = target.of_examples(Values(other, other.activation)).detach()
            found = zip(values, other.gradients(values, target), strict=True)
            return Probes(scores, {name: each.reshape(values[name].shape).contiguous() for name, each in found})

    def _arranged(self, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
        """Batches of images with their channels last in memory, which convolutions on a CPU are faster with.

        A model that takes a ``view`` of what a convolution returns may refuse it. ``None``: there are no images.
        """
        images = {
            name: batch.contiguous(memory_format=torch.channels_last)
            for name, batch in values.items()
            if name in self._tape.inputs and batch.ndim == 4 and batch.shape[1] > 1 and len(batch) > 1
            if self._device(name).type == "cpu"
        }
        return {**values, **images} if images else None

    def _device(self, name: str) -> torch.device:
        return self._tape.values[self._tape.sites[name].index].device

    def _scores(self, values: Mapping[str, torch.Tensor], target: Target, example: int) -> torch.Tensor:
        """The scores alone: without a recording where what the target asks for can be read off the modules."""
        wanted = self._wanted(target)
        if wanted is None or not all(self._is_exchanged(name) for name in values):
            other: Rerun
            with self.rerun(values, example) as other:
                return target.of_examples(Values(other, other.activation)).detach()
        if self._in_full.isdisjoint(values):
            try:
                return self._quick_scores(self._arranged(values) or values, target, example, wanted)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, Warning):  # a warning where warnings are errors
                self._in_full.update(values)
        inputs, edits = self._fed(values, example)
        return self._read(target, self._again.forward(inputs, edits, *wanted))

    def _is_exchanged(self, name: str) -> bool:
        """Whether a value can be put in place where a module returns it, or where the model is called."""
        if name in self._tape.inputs:
            return True
        return self._tape.sites[name].module is not None and SiteName.parse(name).is_output

    def _wanted(self, target: Target) -> Wanted | None:
        """What must be read to tell a target's score; ``None`` where no module or output gives it out."""
        needed: set[str] = set()

        def note(site: str) -> torch.Tensor:
            needed.add(self._tape.site(site).name)
            return self._recorded(site)

        target.of_examples(Values(self._outputs, note))
        outputs = {path: site for path, site in self._outputs.sites.items() if site in needed}
        modules = {}
        for site in needed - set(outputs.values()):
            module = self._tape.sites[site].module
            if module is None or not SiteName.parse(site).is_output:
                return None
            modules[site] = module
        return Wanted(modules, outputs)

    def _read(self, target: Target, found: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return target.of_examples(Values(self._outputs, lambda site: found[self._tape.site(site).name])).detach()

    def _quick_scores(
        self, values: Mapping[str, torch.Tensor], target: Target, example: int, wanted: Wanted
    ) -> torch.Tensor:
        """The scores from a pass that begins behind the layer.

        Raises:
            RuntimeError: the model writes into what modules hand out, or views it in a way that this order forbids.
        """
        inputs, edits = self._fed(values, example)
        known = self._known(edits, wanted.modules, example) if len(values) == 1 else {}
        rest = {site: value for site, value in edits.items() if site not in known}
        found = self._again.forward(inputs, rest, *wanted, known)
        if _count(values) > 1 and any(value._version for site, value in known.items() if site not in edits):
            raise RuntimeError("one memory for all values was written into")
        return self._read(target, found)

    def _known(self, edits: Mapping[str, torch.Tensor], asked: Iterable[str], example: int) -> dict[str, torch.Tensor]:
        """Recorded outputs of modules that ran before the edit, and the edit itself: these modules are skipped."""
        if not (edits and self._axes.is_batch):
            return {}
        (layer, edit), *_ = edits.items()
        names = list(self._tape.sites)
        before = names[: names.index(layer) + 1]
        calls = self._calls.replaceable(self._tape.model, asked)
        axes = {name: self._axes.batch_axis(name) for name in before if name in calls}
        known: dict[str, torch.Tensor] = {}
        for name in self._calls.outermost(name for name, axis in axes.items() if axis >= 0 or name == layer):
            if name == layer:
                known[name] = edit.clone()  # the next operation may write into it
                continue
            value = self._tape.value(self._tape.sites[name].index, name).narrow(axes[name], example, 1).clone()
            sizes = [len(edit) if place == axes[name] else size for place, size in enumerate(value.shape)]
            known[name] = value.expand(sizes)
        return known

    # What a pass is given

    def _fed(
        self, values: Mapping[str, torch.Tensor], example: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """All inputs, and the values at other sites, for a pass over a batch."""
        self._tape.check_fresh(say("another pass"), read=self._tape.memory)
        named = {self._tape.site(layer).name: value for layer, value in check_batches(values).items()}
        example = check_example(example, self._axes.examples)
        count = _count(named)
        for name, value in named.items():
            named[name] = self._fitting(name, value)
            if not self._axes.has_rows(name):
                if count != 1:
                    raise InputError(say("{name!r} has no batch axis: give a batch of one value", name=name))
                named[name] = named[name][0]
        inputs = {name: named.pop(name) if name in named else None for name in self._tape.inputs}
        filled = {
            name: self._repeated(name, count, example) if value is None else value for name, value in inputs.items()
        }
        return filled, named

    def _fitting(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """A batch of values for a site, on its device and of its type."""
        site = self._tape.sites[name]
        shape = site.shape[1 if self._axes.has_rows(name) else 0 :]
        if value.shape[1:] != shape:
            wanted = ", ".join(("B", *map(str, shape)))
            raise InputError(
                say(
                    "values for {name!r} must have shape ({wanted}), got {given}",
                    name=name,
                    wanted=wanted,
                    given=tuple(value.shape),
                )
            )
        if value.is_complex() and not site.dtype.is_complex:
            raise InputError(say("values for {name!r} must be real numbers, got {kind}", name=name, kind=value.dtype))
        if site.dtype in QUANTISED and not value.is_quantized:
            return _quantised_as(self._tape.value(site.index, name), value.to(self._device(name)))
        return value.to(device=self._device(name), dtype=site.dtype)

    def _repeated(self, name: str, count: int, example: int) -> torch.Tensor:
        value = self._tape.value(self._tape.sites[name].index, name)
        return value[example : example + 1].expand(count, *value.shape[1:]) if self._axes.has_rows(name) else value

    # How much at once

    def batches(
        self, count: int, nbytes: Callable[[], int], *, gradient: bool, layer: str | None, growing: bool
    ) -> Iterator[range]:
        """``range(count)`` in parts that fit into memory; see ``Trace.batches``.

        Args:
            nbytes: of the recorded values.
        """
        count = check_whole(count, "count", 0)
        device = self._device(self._tape.inputs[0])
        whole = max(1, nbytes() // self._axes.examples) * (2 if gradient else KEPT)
        share = 1.0 if layer is None else self._share_behind(layer)
        on_cpu = MOST_WITH_GRADIENT if gradient else MOST_AT_ONCE
        limit = on_cpu if device.type == "cpu" else MOST_ON_DEVICE
        most = max(1, int(min(limit, batch_bytes(device) / whole) / share))
        start, size = 0, 1 if growing else most
        while start < count:
            if self._most is not None:  # a pass before this one did not fit
                most = min(most, self._most)
            stop = min(count, start + min(size, most))
            yield range(start, stop)
            start, size = stop, min(most, 2 * size)

    def fewer_at_once(self, count: int) -> int:
        """How many values to take at once, now that so many did not fit into memory; see ``Trace.fewer_at_once``."""
        self._most = max(1, check_whole(count, "count", 1) // 2)
        free_cached(self._device(self._tape.inputs[0]))
        return self._most

    def _share_behind(self, layer: str) -> float:
        """The share of the recorded numbers that belongs to a layer and to what comes after it."""
        first = self._tape.site(layer).index
        sizes = [math.prod(value.shape) for value in self._tape.values]
        return max(1 / 32, sum(sizes[first:]) / max(1, sum(sizes)))


def _quantised_as(recorded: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A value in the steps of a recorded one, as the operations behind it take it."""
    return torch.quantize_per_tensor(value.float(), recorded.q_scale(), recorded.q_zero_point(), recorded.dtype)


def _half(computed: torch.Tensor) -> torch.Tensor:
    return computed * 0.5


def _instead(value: torch.Tensor, _computed: torch.Tensor) -> torch.Tensor:
    """A value that does not depend on what was computed."""
    return value


def _count(values: Mapping[str, torch.Tensor]) -> int:
    """How many values there are at each site.

    Raises:
        InputError: not as many at one as at another.
    """
    counts = {len(value) for value in values.values()}
    if len(counts) != 1:
        raise InputError(say("values must be batches of one length, got lengths {lengths}", lengths=sorted(counts)))
    return counts.pop()
