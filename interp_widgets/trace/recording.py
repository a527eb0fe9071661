"""``record``: the one place that runs the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from interp_widgets.errors import InputError, TargetError
from interp_widgets.trace.arguments import as_bytes, as_kwargs, as_names, check_count, plain_module
from interp_widgets.trace.calls import Calls
from interp_widgets.trace.interrupt import Interruptible, interruption
from interp_widgets.trace.recorder import Recorder, main_tensor, raw_name, with_tensor
from interp_widgets.trace.state import Fingerprint, recording_state
from interp_widgets.trace.trace import Recording, Trace
from interp_widgets.trace.values import map_structure, tensors_in

__all__ = ["record"]

SOFTMAX = frozenset({"softmax", "log_softmax", "_softmax", "_log_softmax"})
_NO_EDITS: Mapping[str, torch.Tensor] = MappingProxyType({})
OutputSelector = str | int | Callable[[Any], torch.Tensor] | None


def record(
    model: nn.Module,
    inputs: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    target_output: OutputSelector = None,
    memory_limit: float | str | None = None,
    class_names: Iterable[object] | None = None,
    feature_names: Iterable[object] | None = None,
    evaluation: bool = True,
) -> Trace:
    """Run ``model`` once on ``inputs`` and keep what happened.

    Args:
        model: any ``nn.Module``; ``torch.compile``, ``DataParallel``, Lightning and Ultralytics wrappers are looked
            through. It is left as it was found.
        inputs: a tensor (``model(x)``), a tuple (``model(*inputs)``), a dict (``model(**inputs)``) or a list, given
            whole
            (``model(inputs)``, as torchvision's detectors want it).
        kwargs: further keyword arguments of the model.
        target_output: which tensor of the output holds the class scores: a key, an index, or a function of the
            output. By
            default the tensor itself, the entry ``logits`` or ``out``, or else the first floating-point tensor.
        memory_limit: bytes for cached gradients (128 MiB by default), or a text such as ``"1GB"``; the least recently
            used are dropped.
        class_names: one name per class, so that a target can be given by name: a list or array, or a mapping such as
            ``{0: "cat", 1: "dog"}``.
        feature_names: names of the features of an input ``(N, F)``, for charts.
        evaluation: run in evaluation mode, whatever mode the model is in; ``False`` keeps the mode of every module.

    Raises:
        ModelError: not a module, or one that cannot be recorded.
        InputError: no tensor among the inputs.
        ParameterError: names or a memory limit that cannot be.
        Whatever the model's own forward raises, with a note that names the layer.

    >>> import torch, interp_widgets as iw
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 10)
    ... )
    >>> iw.record(model, torch.zeros(1, 1, 8, 8)).layers
    ['0', '1', '2', '3']
    """
    model = plain_module(model)
    limit, options = as_bytes(memory_limit), as_kwargs(kwargs)
    if not any(True for _ in tensors_in((inputs, options))):
        raise InputError(
            f"inputs must hold at least one tensor, got {type(inputs).__name__}: "
            "give a tensor, a tuple, a dict or a list of tensors"
        )
    names = {"class_names": as_names(class_names), "feature_names": as_names(feature_names, "feature_names")}
    run = Pass(model, options, target_output, evaluation, limit, names)
    trace = run.record(inputs, run.kwargs)
    check_count(trace.class_names, trace)
    return trace


@dataclass(frozen=True)
class Slot:
    """The place of an input in the arguments of the model, by the name of its site."""

    name: str


@dataclass(frozen=True)
class Pass:
    """How a model is run: what is needed to run it again in the same way.

    Args:
        arguments: the model's positional and keyword arguments with a ``Slot`` in place of each tensor; known once it
            has run.
    """

    model: nn.Module
    kwargs: Mapping[str, Any]
    target_output: OutputSelector
    evaluation: bool
    memory_limit: int | None
    names: Mapping[str, Sequence[str] | None]
    arguments: tuple[Any, Any] = ((), {})

    def record(self, inputs: Any, kwargs: Mapping[str, Any], edits: Mapping[str, torch.Tensor] = _NO_EDITS) -> Trace:
        """Run the model, recorded; ``edits`` stand at their sites instead of what is computed there."""
        model = self.model
        marks = _marks(model)
        with recording_state(model, self._devices(inputs), evaluation=self.evaluation):
            recorder = Recorder(model, evaluation=self.evaluation, edits=edits)
            names: list[str] = []
            fed, fed_kwargs = _feed(recorder, inputs, kwargs, names)
            try:
                recorder.hook()
                with recorder:
                    output = _call(model, fed, fed_kwargs)
            except Exception as error:
                where = f"in layer {recorder.failed!r}" if recorder.failed else "in the model's own forward"
                error.add_note(
                    f"interp_widgets: raised {where} while {type(model).__name__} was recorded on {_describe(inputs)}"
                )
                raise
            finally:
                recorder.unhook()
            recorder.number_first_calls()
            output_sites, logits = _outputs(recorder, output, self.target_output)
        plain = map_structure(lambda tensor: tensor.detach(), output)
        recorder.release()
        slots = iter(names)
        arguments = map_structure(lambda _tensor: Slot(next(slots)), (inputs, dict(kwargs)))
        recording = Recording(
            model=model,
            values=recorder.values,
            tape=recorder.tape,
            sites=recorder.sites,
            layers=recorder.layers,
            calls=Calls(recorder.outer, recorder.whole, stateful=_marks(model) != marks),
            inputs=names,
            output=plain,
            output_sites=output_sites,
            logits=logits,
            fingerprint=Fingerprint(model),
            again=replace(self, arguments=arguments),
        )
        return Trace(recording, memory_limit=self.memory_limit, **self.names)

    def rerun(self, inputs: Mapping[str, torch.Tensor], edits: Mapping[str, torch.Tensor]) -> Trace:
        """Record again, with other inputs."""
        args, kwargs = map_structure(lambda slot: inputs[slot.name], self.arguments, Slot)
        return self.record(args, kwargs, edits)

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
        args, kwargs = map_structure(lambda slot: inputs[slot.name], self.arguments, Slot)
        found: dict[str, torch.Tensor] = {}
        unwanted = interruption()
        with (
            recording_state(self.model, self._devices(args), evaluation=self.evaluation),
            torch.no_grad(),
            _watched(self.model, edits, wanted, found),
            _skipped(self.model, known),
            nullcontext() if unwanted is None else Interruptible(unwanted),
        ):
            args, kwargs = map_structure(torch.clone, (args, kwargs))
            output = _call(self.model, args, kwargs)
        for path, tensor in tensors_in(output):
            if path in outputs:
                found[outputs[path]] = tensor
        return found

    @contextmanager
    def lend(self, inputs: Mapping[str, torch.Tensor]) -> Iterator[tuple[nn.Module, Any]]:
        """The model as a pass would find it, and the first of its arguments, for code that runs it by itself."""
        args, _ = map_structure(lambda slot: inputs[slot.name].clone(), self.arguments, Slot)
        unwanted = interruption()
        with (
            recording_state(self.model, self._devices(args), evaluation=self.evaluation),
            nullcontext() if unwanted is None else Interruptible(unwanted),
        ):
            yield self.model, args

    def _devices(self, inputs: Any) -> set[torch.device]:
        held = (*self.model.parameters(), *self.model.buffers())
        return {tensor.device for tensor in held} | {tensor.device for _, tensor in tensors_in(inputs)}


def _marks(model: nn.Module) -> list[tuple[int, int]]:
    """What the modules hold: after a pass it is another list when one of them stored something."""
    held = [value for module in model.modules() for value in vars(module).values()]
    return [(id(value), len(value) if isinstance(value, (list, dict, set)) else 0) for value in held]


@contextmanager
def _watched(
    model: nn.Module, edits: Mapping[str, torch.Tensor], wanted: Mapping[str, str], found: dict[str, torch.Tensor]
) -> Iterator[None]:
    """Exchange and read the outputs of modules while the model runs; their hooks are gone afterwards."""
    edited = {raw_name(site): value for site, value in edits.items()}
    read = {raw_name(site): site for site in wanted}
    paths = {name.partition(":")[0] for name in (*edited, *read)}
    calls: Counter[str] = Counter()
    handles: list[RemovableHandle] = []

    def watch(path: str) -> Callable[[nn.Module, Any, Any], Any]:
        def leave(_module: nn.Module, _args: Any, output: Any) -> Any:
            name = f"{path}:{calls[path]}" if calls[path] else path
            calls[path] += 1
            tensors = list(tensors_in(output))
            main = dict(tensors).get(main_tensor(tensors))
            if main is None:
                return output
            if name in edited:
                output, main = with_tensor(output, main, edited[name].clone()), edited[name]
            if name in read:
                found[read[name]] = main.clone()  # the next operation may write into it
            return output

        return leave

    try:
        handles += [model.get_submodule(path).register_forward_hook(watch(path)) for path in paths]
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _skipped(model: nn.Module, known: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Modules hand out known values instead of running; their ``forward`` is back afterwards."""
    answers: dict[str, dict[int, torch.Tensor]] = {}
    for site, value in known.items():
        path, _, call = raw_name(site).partition(":")
        answers.setdefault(path, {})[int(call or 0)] = value
    before: list[tuple[nn.Module, Any]] = []

    def instead(forward: Callable[..., Any], values: Mapping[int, torch.Tensor]) -> Callable[..., Any]:
        calls = count()

        def answer(*args: Any, **kwargs: Any) -> Any:
            call = next(calls)
            return values[call] if call in values else forward(*args, **kwargs)

        return answer

    try:
        for path, values in answers.items():
            module = model.get_submodule(path)
            before.append((module, vars(module).get("forward")))
            vars(module)["forward"] = instead(module.forward, values)
        yield
    finally:
        for module, forward in before:
            if forward is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = forward


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
            plain = tensor.detach().clone()
            followed = plain.is_floating_point() or plain.is_complex()
            # A clone of the leaf, because a model may write into its input and a leaf must not be written into.
            fed = plain.requires_grad_().clone() if followed else plain
            name = f"{path}{next(paths)}" if several else "input"
            recorder.sites[name] = (recorder.feed(fed), None, "input")
            names.append(name)
            return fed

        return map_structure(copy, structure)

    return feed("input", inputs), {key: feed(f"input[{key!r}]", value) for key, value in kwargs.items()}


def _outputs(recorder: Recorder, output: Any, selector: OutputSelector) -> tuple[dict[str, str], str | None]:
    """Sites of the returned tensors by path, and the site of the class scores."""
    known = {index: name for name, (index, _, _) in recorder.sites.items()}
    sites: dict[str, str] = {}
    for path, tensor in tensors_in(output):
        index = recorder.value_of(tensor)
        if index not in known:
            known[index] = f"output{path}"
            recorder.sites[f"output{path}"] = (index, None, "output")
        sites[path] = known[index]
    chosen = _select(output, selector)
    if chosen is None:
        return sites, None
    index = _before_softmax(recorder, recorder.value_of(chosen))
    if index not in known:
        known[index] = "logits"
        recorder.sites["logits"] = (index, None, "output")
    return sites, known[index]


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
                f"target_output={selector!r} does not select from the model's output: {_describe(output)}"
            ) from error
    elif isinstance(output, torch.Tensor):
        chosen = output
    else:
        named = {key: output[key] for key in ("logits", "out") if isinstance(output, dict) and key in output}
        named |= {key: getattr(output, key) for key in ("logits", "out") if hasattr(output, key)}
        if isinstance(output, list) and all(isinstance(item, dict) for item in output):
            return None  # detections: boxes and scores, no tensor of class scores
        floats = [tensor for _, tensor in tensors_in(output) if tensor.is_floating_point() or tensor.is_complex()]
        chosen = next(iter(named.values()), floats[0] if floats else None)
    if selector is not None and not isinstance(chosen, torch.Tensor):
        raise TargetError(f"target_output must select a tensor, got {type(chosen).__name__}")
    return chosen if isinstance(chosen, torch.Tensor) and chosen.ndim > 0 else None


def _before_softmax(recorder: Recorder, index: int) -> int:
    """The value before a final softmax or log-softmax: its gradient does not vanish when the model is sure."""
    operation = recorder.values[index].operation
    if operation is not None and operation.name in SOFTMAX and operation.args:
        source = operation.args[0]
        if hasattr(source, "index") and recorder.values[source.index].shape == recorder.values[index].shape:
            return int(source.index)
    return index


def _describe(structure: Any) -> str:
    if isinstance(structure, torch.Tensor):
        return f"a {str(structure.dtype).removeprefix('torch.')} tensor of shape {tuple(structure.shape)}"
    parts = [f"{path} {tuple(tensor.shape)}" for path, tensor in tensors_in(structure)]
    return f"{type(structure).__name__} with " + (
        ", ".join(parts[:6]) + (", ..." if len(parts) > 6 else "") if parts else "no tensor"
    )
