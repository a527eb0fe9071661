"""``record``: the one place that runs the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from interp_widgets.errors import InputError, ModelError, TargetError
from interp_widgets.trace.arguments import (
    as_bytes,
    as_kwargs,
    as_names,
    check_count,
    check_features,
    plain_module,
    shown,
)
from interp_widgets.trace.autocast import Autocast
from interp_widgets.trace.axes.batch import BatchAxis, as_batch_axis
from interp_widgets.trace.calls import Calls
from interp_widgets.trace.device import fitted
from interp_widgets.trace.drawing import names_random
from interp_widgets.trace.ending import ending_of
from interp_widgets.trace.fingerprint import Fingerprint
from interp_widgets.trace.in_place import InPlace, in_place
from interp_widgets.trace.interrupt import Interruptible, Undisturbed, interruption
from interp_widgets.trace.outputs import Scores
from interp_widgets.trace.recorder import Recorder
from interp_widgets.trace.shadow import Escaped, Shadow, shadow_of
from interp_widgets.trace.state import RandomState, pass_state
from interp_widgets.trace.subject import Subject
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.trace import Recording, Trace
from interp_widgets.trace.values import Change, map_structure, tensors_in
from interp_widgets.trace.watcher import Keep, Watcher
from interp_widgets.words import say

__all__ = ["Attempt", "attempt", "check_ready", "record"]

_NO_EDITS: Mapping[str, torch.Tensor] = MappingProxyType({})
_NO_CHANGES: Mapping[str, Change] = MappingProxyType({})
OutputSelector = str | int | Callable[[Any], torch.Tensor] | None


def record(  # noqa: PLR0913 - options of the one entry, by keyword
    model: nn.Module,
    inputs: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    target_output: OutputSelector = None,
    memory_limit: float | str | None = None,
    class_names: Iterable[object] | None = None,
    feature_names: Iterable[object] | None = None,
    evaluation: bool = True,
    batch_axis: BatchAxis = "auto",
) -> Trace:
    """Run ``model`` once on ``inputs`` and keep what happened.

    Args:
        model: any ``nn.Module``; ``torch.compile``, ``DataParallel``, Lightning and Ultralytics wrappers are looked
            through. It is left as it was found.
        inputs: a tensor (``model(x)``), a tuple (``model(*inputs)``), a dict (``model(**inputs)``) or a list, given
            whole (``model(inputs)``, as torchvision's detectors want it); brought to the model's device and floating
            type.
        kwargs: further keyword arguments of the model.
        target_output: which tensor of the output holds the class scores: a key, an index, or a function of the
            output. By
            default the tensor itself, the entry ``logits`` or ``out``, or else the first floating-point tensor.
        memory_limit: bytes for cached gradients (128 MiB by default), or a text such as ``"1GB"``; the least recently
            used are dropped.
        class_names: one name per class, so that a target can be given by name: a list or array, or a mapping such as
            ``{0: "cat", 1: "dog"}``.
        feature_names: one for each feature of an input ``(N, F)``, for charts.
        evaluation: run in evaluation mode, whatever mode the model is in; ``False`` keeps the mode of every module.
        batch_axis: which axis of the inputs counts examples. ``0``: the first; inputs with another number of rows
            are shared by all examples. ``None``: there is one example, given without a batch, such as the nodes of a
            graph. ``"auto"`` finds it from inputs and outputs together; ``trace.is_batch`` and its repr say what.

    Raises:
        ModelError: not a module, or one that cannot be recorded.
        InputError: no tensor among the inputs.
        ParameterError: names, a memory limit or a batch axis that cannot be.
        Whatever the model's own forward raises, with a note that names the layer.

    >>> import torch, interp_widgets as iw
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 10)
    ... )
    >>> iw.record(model, torch.zeros(1, 1, 8, 8)).layers
    ['0', '1', '2', '3']
    """
    options = as_kwargs(kwargs)
    model = _checked(model, inputs, options)
    names = {"class_names": as_names(class_names), "feature_names": as_names(feature_names, "feature_names")}
    modes = None if evaluation else {path: module.training for path, module in model.named_modules()}
    limit, axis = as_bytes(memory_limit), as_batch_axis(batch_axis)
    run = Pass(model, options, target_output, modes, limit, names, Stage(model), axis)
    trace = run.record(fitted(inputs, model), fitted(options, model))
    check_count(trace.class_names, trace)
    check_features(trace.feature_names, [trace.sites[name].shape for name in trace.input_sites])
    return trace


def _checked(model: nn.Module, inputs: Any, kwargs: Mapping[str, Any]) -> nn.Module:
    """The module to run, where it and the inputs can be recorded."""
    model = plain_module(model)
    check_ready(model)
    given = [tensor for _, tensor in tensors_in((inputs, kwargs))]
    if not given:
        raise InputError(
            say(
                "inputs must hold at least one tensor, got {kind}: give a tensor, a tuple, a dict or a list of tensors",
                kind=type(inputs).__name__,
            )
        )
    is_without_values = any(tensor.is_meta and type(tensor) is torch.Tensor for tensor in given)
    held = {parameter.is_meta for parameter in model.parameters()}
    if is_without_values and held == {False}:
        raise InputError(say("an input is on the device 'meta', so it has a shape and no values: give it values"))
    return model


def check_ready(model: nn.Module) -> None:
    """Raise ModelError where a module still waits for its first input."""
    if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
        raise ModelError(
            say(
                "this {kind} has lazy modules and has not been run yet, so it has no weights to explain: "
                "call it once on an input first",
                kind=type(model).__name__,
            )
        )


@dataclass(frozen=True)
class Attempt:
    """A pass as far as it came.

    Args:
        tape: what was recorded; of a pass that failed, up to the operation that did.
        calls: the module calls that began.
        trace: the whole recording, ``None`` where the pass failed.
        error: what the model's forward raised, ``None`` where it did not.
        failed: path of the innermost module that raised; empty where it was the model's own code.
    """

    tape: Tape
    calls: Calls
    trace: Trace | None = None
    error: Exception | None = None
    failed: str = ""


def attempt(model: nn.Module, inputs: Any, *, kwargs: Mapping[str, Any] | None = None) -> Attempt:
    """Run ``model`` once as ``record`` does; where its forward raises, keep what was recorded until then.

    Raises:
        ModelError: not a module, or one that cannot be recorded.
        InputError: no tensor among the inputs.
    """
    options = as_kwargs(kwargs)
    model = _checked(model, inputs, options)
    stage = Stage(model, keeps_what_failed=True)
    run = Pass(model, options, None, None, None, {"class_names": None, "feature_names": None}, stage)
    try:
        trace = run.record(fitted(inputs, model), fitted(options, model))
    except Exception as error:
        if stage.unfinished is None:
            raise
        return replace(stage.unfinished, error=error)
    return Attempt(trace.tape, trace.calls, trace)


@dataclass(frozen=True)
class Slot:
    """The place of an input in the arguments of the model, by the name of its site."""

    name: str


@dataclass
class Stage:
    """Where a model is run: over its shadow, or in place where a closure holds on to the model itself.

    Passes of one trace and of its reruns share one.
    """

    model: nn.Module
    shadow: Shadow | InPlace | None = None
    escapes: bool = False
    draws: bool = True  # whether a pass may draw from torch's random generators; not known before the first
    follows: bool = False  # whether its forward asks for gradients, so that every pass needs autograd
    keeps_what_failed: bool = False
    unfinished: Attempt | None = None  # the last recording that failed, where it is kept

    def ready(self) -> Shadow | InPlace:
        """What to run now: what was run before, where the model still holds what it held then."""
        if self.shadow is None or not self.shadow.fits:
            self.shadow = in_place(self.model) if self.escapes else shadow_of(self.model)
        return self.shadow

    def leave_the_shadow(self) -> None:
        """Run in place from now on."""
        self.escapes, self.shadow = True, None


@dataclass(frozen=True)
class Pass:
    """How a model is run: what is needed to run it again in the same way.

    Args:
        modes: which modules are in training mode, by path; ``None``: all run in evaluation mode.
        arguments: the model's positional and keyword arguments with a ``Slot`` in place of each tensor; known once it
            has run.
        autocast: the state it runs in, that of the thread that records it first.
    """

    model: nn.Module
    kwargs: Mapping[str, Any]
    target_output: OutputSelector
    modes: Mapping[str, bool] | None
    memory_limit: int | None
    names: Mapping[str, Sequence[str] | None]
    stage: Stage
    batch_axis: BatchAxis = "auto"
    arguments: tuple[Any, Any] = ((), {})
    autocast: Autocast = field(default_factory=Autocast.now)

    def record(
        self,
        inputs: Any,
        kwargs: Mapping[str, Any],
        edits: Mapping[str, Change] = _NO_CHANGES,
        batch_inputs: frozenset[str] | None = None,
    ) -> Trace:
        """Run the model, recorded.

        Args:
            edits: what makes of the value that is computed at a site the one that stands there.
            batch_inputs: names of the inputs with one row per example, where a pass before this one has told them.
        """
        with Undisturbed() as gate:
            if not self.stage.escapes:
                try:
                    return self._trace(self._record(gate, inputs, kwargs, edits), batch_inputs)
                except Escaped:
                    self.stage.leave_the_shadow()
            return self._trace(self._record(gate, inputs, kwargs, edits), batch_inputs)

    def _trace(self, recording: Recording, batch_inputs: frozenset[str] | None) -> Trace:
        return Trace(
            recording,
            memory_limit=self.memory_limit,
            batch_axis=self.batch_axis,
            batch_inputs=batch_inputs,
            **self.names,
        )

    def _record(
        self, gate: Undisturbed, inputs: Any, kwargs: Mapping[str, Any], edits: Mapping[str, Change]
    ) -> Recording:
        shadow = self.stage.ready()
        fingerprint = Fingerprint(shadow)  # of before the pass: another thread may train the model meanwhile
        recorder = Recorder(shadow, evaluation=self.modes is None, edits=edits)
        random = RandomState(self._devices(shadow, inputs))
        names: list[str] = []
        draws_elsewhere = False
        with pass_state(), self.autocast.on(), shadow.running(recorder, self.modes) as model:
            fed, fed_kwargs = _feed(recorder, inputs, kwargs, names)
            try:
                with recorder:
                    output = gate.call(_call, model, fed, fed_kwargs)
            except Escaped:
                fingerprint.take_back()  # what the closure did to the user's own modules
                raise
            except Exception as error:
                error.add_note(_where(recorder.failed, type(model).__name__, _describe(inputs)))
                if self.stage.keeps_what_failed:
                    recorder.number_first_calls()
                    tape, calls = self._recorded(recorder, shadow, names, fingerprint)
                    self.stage.unfinished = Attempt(tape, calls, failed=recorder.failed)
                raise
            finally:
                draws_elsewhere = random.put_back(
                    drawn=recorder.drawn, draws_elsewhere=lambda: names_random(self.model)
                )
            if recorder.escaped:  # and the model's code has caught the exception that said so
                fingerprint.take_back()
                raise Escaped
            recorder.number_first_calls()
            output_sites, scores = _outputs(recorder, output, self.target_output)
        self.stage.draws = recorder.drawn
        plain = map_structure(lambda tensor: tensor.detach(), output)
        tape, calls = self._recorded(recorder, shadow, names, fingerprint)
        slots = iter(names)
        arguments = map_structure(lambda _tensor: Slot(next(slots)), (inputs, dict(kwargs)))
        return Recording(
            tape=tape,
            calls=calls,
            output=plain,
            output_sites=output_sites,
            scores=scores,
            again=replace(self, arguments=arguments),
            draws_elsewhere=draws_elsewhere,
        )

    def _recorded(
        self, recorder: Recorder, shadow: Shadow | InPlace, inputs: Sequence[str], fingerprint: Fingerprint
    ) -> tuple[Tape, Calls]:
        """What the recorder has written down, without the live tensors."""
        recorder.release()
        tape = Tape(
            self.model,
            recorder.values,
            recorder.tape,
            made=recorder.sites,
            layers=recorder.layers,
            inputs=inputs,
            fingerprint=fingerprint,
            told=recorder.told,
        )
        calls = Calls(recorder.outer, recorder.given, recorder.seconds, recorder.whole, stateful=bool(shadow.stored))
        return tape, calls

    def rerun(
        self, inputs: Mapping[str, torch.Tensor], edits: Mapping[str, Change], batch_inputs: frozenset[str]
    ) -> Trace:
        """Record again, with other inputs; see ``record``."""
        args, kwargs = map_structure(lambda slot: inputs[slot.name], self.arguments, Slot)
        return self.record(args, kwargs, edits, batch_inputs)

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],
        edits: Mapping[str, torch.Tensor],
        wanted: Mapping[str, str],
        outputs: Mapping[str, str],
        known: Mapping[str, torch.Tensor] = _NO_EDITS,
    ) -> dict[str, torch.Tensor]:
        """Run again without autograd and without a recording: the values at some sites.

        Args:
            known: what modules return that need not run, by the names of their sites.
            edits: values that stand at the sites of other modules.
            wanted: module path of each site of a module whose value is asked for, by its name.
            outputs: names of the sites of the returned tensors, by their path in the output.
        """
        watcher, output = self._watched(inputs, lambda: Watcher(edits, wanted, known))
        found = watcher.found
        for path, tensor in tensors_in(output):
            if path in outputs:
                found[outputs[path]] = tensor
        return found

    def read(self, inputs: Mapping[str, torch.Tensor], wanted: Mapping[str, str], keep: Keep) -> dict[str, Any]:
        """Run again without autograd and without a recording: what ``keep`` makes of the values at some sites.

        Args:
            wanted: module path of each site of a module whose value is asked for, by its name.
            keep: is called as soon as a value is there, so that no more of them than needed are there at a time.
        """
        watcher, _ = self._watched(inputs, lambda: Watcher(_NO_EDITS, wanted, _NO_EDITS, keep))
        return watcher.found

    def _watched(self, inputs: Mapping[str, torch.Tensor], made: Callable[[], Watcher]) -> tuple[Watcher, Any]:
        """A watcher that has looked on a pass, and what the model returned.

        Without autograd a pass may fail, or go another way than when it was recorded: torch's transformer layers then
        take a fused kernel instead of their modules. So it is done again with autograd, as are all from then on.
        """
        given = map_structure(lambda slot: inputs[slot.name], self.arguments, Slot)
        watcher = made()
        try:
            output = self._output(given, watcher, follow=self.stage.follows)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            if self.stage.follows:
                raise
        else:
            if self.stage.follows or not watcher.was_passed_over:
                return watcher, output
        watcher = made()
        output = self._output(given, watcher, follow=True)
        self.stage.follows = True
        return watcher, output

    def _output(self, given: tuple[Any, Any], watcher: Watcher, *, follow: bool) -> Any:
        """What the model returns, computed without autograd unless its forward needs it to ``follow``."""
        with self._running(given[0], watcher) as (gate, model), torch.set_grad_enabled(follow):
            args, kwargs = map_structure(lambda tensor: _fed(tensor) if follow else tensor.clone(), given)
            output = gate.call(_call, model, args, kwargs)
            return map_structure(torch.Tensor.detach, output)

    @contextmanager
    def lend(self, inputs: Mapping[str, torch.Tensor], *, itself: bool) -> Iterator[tuple[nn.Module, Any]]:
        """The model as a pass would find it, and the first of its arguments, for code that runs it by itself.

        Args:
            itself: the user's own model, for code that holds on to it, and not its shadow.
        """
        args, _ = map_structure(lambda slot: inputs[slot.name].clone(), self.arguments, Slot)
        lender = replace(self, stage=Stage(self.model, escapes=True)) if itself else self
        with lender._running(args, None, draws=True) as (gate, model):
            gate.open()
            try:
                yield model, args
            finally:
                gate.shut()

    @contextmanager
    def _running(
        self, inputs: Any, watcher: Watcher | None, *, draws: bool = False
    ) -> Iterator[tuple[Undisturbed, nn.Module]]:
        unwanted = interruption()
        with Undisturbed() as gate:
            subject = self.stage.ready()
            random = RandomState(self._devices(subject, inputs))
            with (
                pass_state(),
                self.autocast.on(),
                subject.running(watcher, self.modes) as model,
                nullcontext() if unwanted is None else Interruptible(unwanted),
            ):
                try:
                    yield gate, model
                finally:
                    random.put_back(
                        drawn=draws or self.stage.draws, draws_elsewhere=lambda: draws or names_random(self.model)
                    )

    @staticmethod
    def _devices(subject: Subject, inputs: Any) -> set[torch.device]:
        return subject.devices | {tensor.device for _, tensor in tensors_in(inputs)}


def _where(layer: str, model: str, inputs: str) -> str:
    """The note on an error of the model's own, with the layer that raised it, empty for the model's own code."""
    if layer:
        return say(
            "interp_widgets: raised in layer {layer!r} while {model} was recorded on {inputs}",
            layer=layer,
            model=model,
            inputs=inputs,
        )
    return say(
        "interp_widgets: raised in the model's own forward while {model} was recorded on {inputs}",
        model=model,
        inputs=inputs,
    )


def _call(model: nn.Module, inputs: Any, kwargs: dict[str, Any]) -> Any:
    if isinstance(inputs, tuple):
        return model(*inputs, **kwargs)
    if isinstance(inputs, dict):
        return model(**inputs, **kwargs)
    return model(inputs, **kwargs)


def _feed(recorder: Recorder, inputs: Any, kwargs: Mapping[str, Any], names: list[str]) -> tuple[Any, dict[str, Any]]:
    """The inputs as the model gets them: copies that autograd follows, each a site."""
    several = sum(1 for _ in tensors_in((inputs, dict(kwargs)))) > 1

    def feed(path: str, structure: Any) -> Any:
        paths = iter([key for key, _ in tensors_in(structure)])

        def copy(tensor: torch.Tensor) -> torch.Tensor:
            fed = _fed(tensor)
            name = f"{path}{next(paths)}" if several else "input"
            recorder.sites[name] = (recorder.feed(fed), None, "input")
            names.append(name)
            return fed

        return map_structure(copy, structure)

    return feed("input", inputs), {key: feed(f"input[{key!r}]", value) for key, value in kwargs.items()}


def _fed(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of an input that autograd follows."""
    plain = tensor.detach().clone()
    followed = plain.is_floating_point() or plain.is_complex()
    # A clone of the leaf, because a model may write into its input and a leaf must not be written into.
    return plain.requires_grad_().clone() if followed else plain


def _outputs(recorder: Recorder, output: Any, selector: OutputSelector) -> tuple[dict[str, str], Scores | None]:
    """Sites of the returned tensors by path, and where the class scores are."""
    known = {index: name for name, (index, _, _) in recorder.sites.items()}

    def named(index: int, name: str) -> str:
        if index not in known:
            known[index] = name
            recorder.sites[name] = (index, None, "output")
        return known[index]

    sites = {path: named(recorder.value_of(tensor), f"output{path}") for path, tensor in tensors_in(output)}
    chosen = _select(output, selector)
    if chosen is None:
        return sites, None
    said = recorder.value_of(chosen)
    ending = ending_of(recorder.values, said)
    return sites, Scores(named(ending.index, "logits"), named(said, "said"), ending)


def _select(output: Any, selector: OutputSelector) -> torch.Tensor | None:
    chosen: Any
    if callable(selector):
        chosen = selector(output)
    elif selector is not None:
        try:
            chosen = (
                getattr(output, selector)
                if isinstance(selector, str) and hasattr(output, selector)
                else output[selector]
            )
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise TargetError(
                say(
                    "target_output={selector!r} does not select from the model's output: {output}",
                    selector=selector,
                    output=_describe(output),
                )
            ) from error
    elif isinstance(output, torch.Tensor):
        chosen = output
    else:
        named = {key: output[key] for key in ("logits", "out") if isinstance(output, dict) and key in output}
        named |= {key: getattr(output, key) for key in ("logits", "out") if hasattr(output, key)}
        if isinstance(output, list) and all(isinstance(item, dict) for item in output):
            return None  # detections: boxes and scores, no tensor of class scores
        floats = [tensor for _, tensor in tensors_in(output) if tensor.is_floating_point() or tensor.is_complex()]
        floats.sort(key=lambda tensor: tensor.ndim == 0)  # a loss beside the scores
        chosen = next(iter(named.values()), floats[0] if floats else None)
    if selector is not None and not isinstance(chosen, torch.Tensor):
        raise TargetError(say("target_output must select a tensor, got {kind}", kind=type(chosen).__name__))
    return chosen if isinstance(chosen, torch.Tensor) else None


def _describe(structure: Any) -> str:
    if isinstance(structure, torch.Tensor):
        return shown(structure)
    kind = type(structure).__name__
    parts = [f"{path} {tuple(tensor.shape)}" for path, tensor in tensors_in(structure)]
    if not parts:
        return say("{kind} with no tensor", kind=kind)
    listed = ", ".join(parts[:6]) + (", ..." if len(parts) > 6 else "")
    return say("{kind} with {parts}", kind=kind, parts=listed)
