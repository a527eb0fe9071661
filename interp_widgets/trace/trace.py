"""One recorded forward pass, and the questions it answers: activations, gradients, scores."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, NoReturn, Protocol, Self

import torch
from torch import nn

from interp_widgets.errors import (
    ClosedError,
    GradientError,
    InputError,
    LayerError,
    NonFiniteError,
    OverwrittenError,
    StaleError,
    TargetError,
    did_you_mean,
)
from interp_widgets.trace.arguments import (
    as_list,
    check_batches,
    check_example,
    check_tensor,
    other_path,
    refuse_copy,
    shown,
)
from interp_widgets.trace.axes import default_layer
from interp_widgets.trace.axes.labels import LayoutReader
from interp_widgets.trace.axes.layout import Layout
from interp_widgets.trace.axes.reading import Reading, readings
from interp_widgets.trace.calls import Calls
from interp_widgets.trace.fingerprint import Fingerprint
from interp_widgets.trace.memory import batch_bytes
from interp_widgets.trace.target import Target, TargetLike, Values, as_target
from interp_widgets.trace.values import Edge, Operation, Ref, Site, Value, map_structure

__all__ = ["Recording", "Trace"]

DEFAULT_MEMORY_LIMIT = 128 * 2**20
# On few cores more at once is not faster, and cancelling waits for it. With gradients all values of a pass are kept.
MOST_AT_ONCE, MOST_WITH_GRADIENT = 8, 4
KEPT = 0.25  # share of a pass's values that are there at a time when nobody wants gradients


@dataclass(frozen=True)
class Recording:
    """What a pass left behind: what ``recording.record`` hands to its ``Trace``.

    ``sites`` tells of each name the value, the module path and the kind of operation; ``layers`` the site of each
    module path's last call; ``calls`` which module ran in which; ``output_sites`` the site of each returned tensor, by
    its path in the output.
    """

    model: nn.Module
    values: list[Value]
    tape: list[Operation]
    sites: dict[str, tuple[int, str | None, str]]
    layers: dict[str, str]
    calls: Calls
    inputs: list[str]
    output: Any
    output_sites: dict[str, str]
    logits: str | None
    fingerprint: Fingerprint
    again: Again


class Again(Protocol):
    """Runs the model again as it was run; see ``recording.Pass``."""

    def rerun(self, inputs: Mapping[str, torch.Tensor], edits: Mapping[str, torch.Tensor]) -> Trace:
        """Record again, with other inputs."""

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],
        edits: Mapping[str, torch.Tensor],
        wanted: Mapping[str, str],
        outputs: Mapping[str, str],
        known: Mapping[str, torch.Tensor] = ...,
    ) -> dict[str, torch.Tensor]:
        """Run again without autograd and without a recording."""

    def lend(self, inputs: Mapping[str, torch.Tensor]) -> AbstractContextManager[tuple[nn.Module, Any]]:
        """The model and its arguments, for code that runs it by itself."""


class Probe(NamedTuple):
    """Scores ``(B,)`` at other values, and their gradients ``(B, ...)`` there; empty when they were not asked for."""

    scores: torch.Tensor
    gradients: torch.Tensor


class Trace:
    """One recorded forward pass of a model; made by ``record``.

    Everything is answered from the recording: an activation is a look-up, a gradient one backward pass to the layer
    asked for (then cached under ``memory_limit``). Usable as a context manager; ``close`` frees the memory.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        memory_limit: int | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.model = recording.model
        self.input_sites = tuple(recording.inputs)
        self.class_names = tuple(class_names) if class_names is not None else None
        self.feature_names = tuple(feature_names) if feature_names is not None else None
        self.memory_limit = DEFAULT_MEMORY_LIMIT if memory_limit is None else memory_limit
        self.backward_passes = 0
        self._values = recording.values
        self._tape = recording.tape
        self._layer_sites = recording.layers
        self._calls = recording.calls
        self._in_full: set[str] = set()  # sites where a pass takes no short cut, because one failed
        self._output = recording.output
        self._output_values = recording.output_sites
        self._logits = recording.logits
        self._fingerprint = recording.fingerprint
        self._again = recording.again
        self._lock = threading.RLock()  # of the caches
        self._passing = threading.RLock()  # of the autograd graph
        # The gradients come with their version counters, so that one that was written into is noticed.
        self._gradients: OrderedDict[tuple[Target, int], tuple[torch.Tensor, int]] = OrderedDict()
        self._gradient_bytes = 0
        self._seeds: OrderedDict[Target, tuple[torch.Tensor, list[tuple[Edge, torch.Tensor]]]] = OrderedDict()
        self._closed = False
        self._layouts = LayoutReader(recording.values, recording.tape)
        self._readings: list[Reading] | None = None
        self._sites = {name: self._made(name, *found) for name, found in recording.sites.items()}

    def _made(self, name: str, index: int, module: str | None, operation: str) -> Site:
        value = self._values[index]
        differentiable = value.edge is not None
        return Site(name, module, operation, value.shape, value.dtype, differentiable, index, self._layouts.layout)

    # What was recorded

    @property
    def sites(self) -> Mapping[str, Site]:
        """Every recorded tensor by name, in execution order."""
        return MappingProxyType(self._sites)

    @property
    def layers(self) -> list[str]:
        """Module paths that produced a tensor, in the order in which their (last) call ended."""
        return list(self._layer_sites)

    @property
    def output(self) -> Any:
        """What the model returned, its tensors detached."""
        self._check_open()
        return self._output

    def site(self, layer: str) -> Site:
        """The site that a layer or site name stands for: a module's last call, ``"layer:0"`` for its first.

        Raises:
            LayerError: no such layer was recorded.
        """
        if not isinstance(layer, str):
            raise LayerError(
                f"layer must be a module path such as {self._example_layer()!r}, "
                f"got {shown(layer)} ({type(layer).__name__})"
            )
        if layer in self._layer_sites:
            return self._sites[self._layer_sites[layer]]
        if layer in self._sites:
            return self._sites[layer]
        if layer.endswith(":0") and layer[:-2] in self._sites:
            return self._sites[layer[:-2]]
        other = other_path(self.model, layer)
        if other is not None:
            return self.site(other)
        raise LayerError(self._unknown_layer(layer))

    def _example_layer(self) -> str:
        return next(iter(self._layer_sites), "input")

    def _unknown_layer(self, layer: str) -> str:
        names = self.layers
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        listing = f"Recorded: {shown} ({len(names)} in all: trace.layers)"
        if layer in dict(self.model.named_modules()):
            return f"layer {layer!r} is in the model but did not run, or returned no tensor, in this pass. {listing}"
        return f"layer {layer!r} was not recorded{did_you_mean(layer, names) or '.'} {listing}"

    def activation(self, layer: str) -> torch.Tensor:
        """The value at a layer or site as the module returned it, before any later in-place write; detached.

        Raises:
            LayerError: no such layer was recorded.
            OverwrittenError: the value was overwritten in a way that was not seen, for example by a compiled extension.
        """
        return self._value(self.site(layer).index, layer)

    def _value(self, index: int, name: str) -> torch.Tensor:
        self._check_open()
        value = self._values[index]
        if value.tensor is None:
            with self._lock:
                return self._recompute(value, name)
        if value.version >= 0 and value.tensor._version != value.version:
            raise OverwrittenError(
                f"the recorded value of {name!r} was overwritten after the recording, "
                "its memory was written in place: it cannot be trusted, record again"
            )
        return value.tensor

    def _recompute(self, value: Value, name: str) -> torch.Tensor:
        """Repeat the operation whose result was overwritten; its inputs are there, or are computed again in turn."""
        if value.tensor is not None:
            return value.tensor
        self._check_fresh(f"the value of {name!r}")
        operation = value.operation
        if operation is None:
            raise OverwrittenError(f"the value of {name!r} was overwritten and cannot be computed again: record again")
        args, kwargs = map_structure(lambda ref: self._value(ref.index, name), (operation.args, operation.kwargs), Ref)
        if operation.writes:
            args = (args[0].clone(), *args[1:])
        with torch.inference_mode(mode=False), torch.no_grad():
            result = operation.function(*args, **kwargs)
        if operation.writes:
            result = args[0]
        elif isinstance(result, (tuple, list)):
            result = result[value.output]
        value.tensor = result.detach()
        value.version = value.tensor._version
        return value.tensor

    # Scores

    @property
    def logits_site(self) -> str:
        """Name of the site that holds the class scores, before a final softmax.

        Raises:
            TargetError: the output has no tensor of class scores.
        """
        if self._logits is None:
            raise TargetError(
                "the model's output has no tensor of class scores, so a class cannot be the target: "
                "give target_output= to record, or a function of the output as target"
            )
        return self._logits

    @property
    def has_classes(self) -> bool:
        """Whether the output has a tensor of class scores."""
        return self._logits is not None

    @property
    def class_count(self) -> int:
        """Number of classes of the output that is explained."""
        shape = self.site(self.logits_site).shape
        return shape[1] if len(shape) > 1 else (shape[0] if shape else 1)

    @property
    def logits(self) -> torch.Tensor:
        """The class scores before a final softmax, ``(N, K)`` or ``(N, K, ...)``; detached."""
        return self.activation(self.logits_site)

    @property
    def probabilities(self) -> torch.Tensor:
        """Softmax of the class scores, averaged over positions, ``(N, K)`` in 0..1; sigmoid for a single class."""
        logits = self.logits.float()
        if logits.ndim <= 1:
            logits = logits.reshape(1, -1)
        if logits.shape[1] == 1:
            return logits.sigmoid().reshape(logits.shape[0], 1, -1).mean(dim=2)
        return logits.softmax(dim=1).reshape(*logits.shape[:2], -1).mean(dim=2)

    @property
    def prediction(self) -> int:
        """The class with the highest probability for the first input."""
        return int(self.probabilities[0].argmax())

    def score(self, target: TargetLike = None) -> torch.Tensor:
        """The scalar being explained, ``()``, detached; ``None`` means the predicted class.

        Raises:
            TargetError: no such target.
            NonFiniteError: the score is NaN or infinite; the message names the first layer where that appears.
        """
        return self._seed(as_target(target, self))[0]

    def _seed(self, target: Target) -> tuple[torch.Tensor, list[tuple[Edge, torch.Tensor]]]:
        """The score and its gradient at the recorded values it is a function of."""
        self._check_open()
        with self._lock:
            if target in self._seeds:
                return self._seeds[target]
            leaves: dict[str, torch.Tensor] = {}

            def leaf(name: str) -> torch.Tensor:
                if name not in leaves:
                    value = self.activation(name).detach()
                    leaves[name] = value.requires_grad_(value.is_floating_point() or value.is_complex())
                return leaves[name]

            with torch.inference_mode(mode=False), torch.enable_grad():
                score = target.score(Values(self, leaf))
                self._check_score(score, target)
                used = [(name, tensor) for name, tensor in leaves.items() if tensor.requires_grad]
                gradients: tuple[torch.Tensor | None, ...] = ()
                if used and score.requires_grad:
                    gradients = torch.autograd.grad(score, [tensor for _, tensor in used], allow_unused=True)
            seeds = []
            for (name, _), gradient in zip(used, gradients, strict=False):
                edge = self._values[self.site(name).index].edge
                if gradient is not None and edge is not None:
                    seeds.append((edge, gradient))
            self._seeds[target] = (score.detach(), seeds)
            while len(self._seeds) > 256:
                self._seeds.popitem(last=False)
            return self._seeds[target]

    def _check_score(self, score: torch.Tensor, target: Target) -> None:
        if score.is_complex():
            raise TargetError(f"the score of {target} is complex; a target must be real: explain its absolute value")
        if not math.isfinite(score.item()):
            raise NonFiniteError(f"the score of {target} is {score.item()}{self._nonfinite_origin()}")

    # Gradients

    def gradient(self, layer: str, target: TargetLike = None) -> torch.Tensor:
        """The derivative of the target's score with respect to the value at a layer or site; same shape, detached,
        cached.

        Zero where the score does not depend on the value.

        Raises:
            LayerError, TargetError: no such layer or target.
            GradientError: no gradient exists there (computed under ``torch.no_grad()``, not a floating-point value).
            StaleError: a parameter changed since the recording.
        """
        return self.gradients([layer], target)[0]

    def gradients(self, layers: Iterable[str], target: TargetLike = None) -> list[torch.Tensor]:
        """The gradients at several layers from one backward pass; see ``gradient``."""
        sites = [self.site(layer) for layer in as_list(layers)]
        goal = as_target(target, self)
        self._seed(goal)
        held = self._held(goal, sites)
        if len(held) < len({site.index for site in sites}):
            with self._passing:  # one backward pass at a time; a look-up from another thread does not wait for it
                held |= self._held(goal, sites)
                missing = {site.index: site for site in sites if site.index not in held}
                found = self._backward(goal, list(missing.values())) if missing else {}
                held |= found
                with self._lock:
                    for index, gradient in found.items():
                        self._keep((goal, index), gradient)
                    self._evict()
        return [held[site.index] for site in sites]

    def _held(self, target: Target, sites: list[Site]) -> dict[int, torch.Tensor]:
        """The cached gradients among those asked for, unless somebody wrote into them; they count as used."""
        with self._lock:
            held = {}
            for key in {(target, site.index) for site in sites} & self._gradients.keys():
                gradient, version = self._gradients[key]
                if gradient._version == version:
                    self._gradients.move_to_end(key)
                    held[key[1]] = gradient
            return held

    def has_gradient(self, layer: str, target: TargetLike = None) -> bool:
        """Whether that gradient is cached, so that asking for it costs nothing."""
        return (as_target(target, self), self.site(layer).index) in self._gradients

    def _backward(self, target: Target, sites: list[Site]) -> dict[int, torch.Tensor]:
        self._check_fresh("a gradient")
        edges = [self._edge(site) for site in sites]
        seeds = self._seed(target)[1]
        if not seeds:
            raise GradientError(
                f"the score of {target} has no gradient: the model's output was computed without autograd "
                "(torch.no_grad(), detach() or an integer operation inside its forward)"
            )
        nodes = list(OrderedDict.fromkeys(edge.node for edge in edges))
        try:
            with torch.inference_mode(mode=False), torch.enable_grad():
                found = torch.autograd.grad(
                    [edge.node for edge, _ in seeds],
                    nodes,
                    grad_outputs=[gradient for _, gradient in seeds],
                    retain_graph=True,
                    allow_unused=True,
                )
        except RuntimeError as error:
            raise GradientError(
                f"autograd cannot go back from the score of {target} through this {type(self.model).__name__}: {error}"
            ) from error
        self.backward_passes += 1
        by_node = dict(zip(nodes, found, strict=True))
        return {
            site.index: self._shaped(site, edge, by_node[edge.node]) for site, edge in zip(sites, edges, strict=True)
        }

    def _shaped(self, site: Site, edge: Edge, found: torch.Tensor | None) -> torch.Tensor:
        if found is None:
            return torch.zeros_like(self._value(site.index, site.name))
        return edge.gradient(found.detach())

    def _edge(self, site: Site) -> Edge:
        value = self._values[site.index]
        if value.edge is not None:
            return value.edge
        if not (value.dtype.is_floating_point or value.dtype.is_complex):
            reason = (
                f"its values are {str(value.dtype).removeprefix('torch.')}; only floating-point values have a gradient"
            )
        elif value.no_grad:
            reason = "it was computed under torch.no_grad() inside the model's forward"
        else:
            reason = "autograd does not follow it back to the input (a constant, or behind detach())"
        raise GradientError(f"no gradient at {site.name!r}: {reason}")

    def _keep(self, key: tuple[Target, int], gradient: torch.Tensor) -> None:
        if key in self._gradients:  # somebody wrote into it
            self._gradient_bytes -= self._gradients[key][0].nbytes
        self._gradients[key] = gradient, gradient._version
        self._gradient_bytes += gradient.nbytes

    def _evict(self) -> None:
        while self._gradient_bytes > self.memory_limit and len(self._gradients) > 1:
            self._gradient_bytes -= self._gradients.popitem(last=False)[1][0].nbytes

    # Other values

    def rerun(self, values: Mapping[str, torch.Tensor], *, example: int = 0) -> Trace:
        """Record the same model with other values at some inputs, layers or sites.

        Args:
            values: by name, a batch for each: ``(B, *shape without its batch axis)``. Inputs that are not named are
                those recorded, repeated ``B`` times.
            example: which input of the recorded batch.

        Raises:
            LayerError: no such layer or site.
            InputError: a batch of another shape; not as many values for one site as for another.
            StaleError: a parameter changed since the recording.
        """
        inputs, edits = self._fed(values, example)
        return self._again.rerun(inputs, edits)

    def probe(
        self,
        layer: str,
        values: torch.Tensor,
        target: TargetLike = None,
        *,
        example: int = 0,
        gradient: bool = False,
    ) -> Probe:
        """The target's score for each of a batch of values at an input, layer or site, and its gradient there.

        Args:
            values: ``(B, *shape without its batch axis)``.
            example: which input of the recorded batch.

        Raises:
            LayerError, TargetError, InputError, StaleError: as ``rerun`` and ``score``.
            GradientError: no gradient exists there.
        """
        goal = as_target(target, self)
        name = self.site(layer).name
        check_batches({name: values})
        if len(values) > 1 and not self._takes_batches(goal):
            parts = [self.probe(name, value[None], goal, example=example, gradient=gradient) for value in values]
            gradients = torch.cat([part.gradients for part in parts]) if gradient else values.new_zeros(0)
            return Probe(torch.cat([part.scores for part in parts]), gradients)
        if not gradient:
            return Probe(self._scores(name, values, goal, example), values.new_zeros(0))
        if name not in self._in_full:
            try:
                return self._with_gradients(name, self._arranged(name, values), goal, example)
            except (RuntimeError, Warning):  # a warning where warnings are errors
                self._in_full.add(name)
        return self._with_gradients(name, values, goal, example)

    def _with_gradients(self, name: str, values: torch.Tensor, target: Target, example: int) -> Probe:
        with self.rerun({name: values}, example=example) as other:
            scores = target.each(Values(other, other.activation))
            return Probe(scores.detach(), other.gradient(name, target).reshape(values.shape).contiguous())

    def _arranged(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """A batch of images with its channels last in memory, which convolutions on a CPU are faster with.

        A model that takes a ``view`` of what a convolution returns may refuse it.
        """
        images = name in self.input_sites and values.ndim == 4 and values.shape[1] > 1 and len(values) > 1
        return values.contiguous(memory_format=torch.channels_last) if images and not values.is_cuda else values

    def _scores(self, name: str, values: torch.Tensor, target: Target, example: int) -> torch.Tensor:
        """The scores alone: without a recording where what the target asks for can be read off the modules."""
        needed: set[str] = set()

        def note(site: str) -> torch.Tensor:
            needed.add(self.site(site).name)
            return self.activation(site)

        target.each(Values(self, note))
        outputs = {path: site for path, site in self._output_values.items() if site in needed}
        wanted = {site: self._sites[site].module for site in needed - set(outputs.values())}
        if not all(module and "[" not in site for site, module in wanted.items()):
            with self.rerun({name: values}, example=example) as other:
                return target.each(Values(other, other.activation)).detach()
        if name not in self.input_sites and not (self._sites[name].module and "[" not in name):
            with self.rerun({name: values}, example=example) as other:
                return target.each(Values(other, other.activation)).detach()
        asked = {site: module or "" for site, module in wanted.items()}
        if name not in self._in_full:
            try:
                return self._quick_scores(name, self._arranged(name, values), target, example, (asked, outputs))
            except (RuntimeError, Warning):  # a warning where warnings are errors
                self._in_full.add(name)
        inputs, edits = self._fed({name: values}, example)
        found = self._again.forward(inputs, edits, asked, outputs)
        return target.each(Values(self, lambda site: found[self.site(site).name])).detach()

    def _quick_scores(
        self,
        name: str,
        values: torch.Tensor,
        target: Target,
        example: int,
        wanted: tuple[Mapping[str, str], Mapping[str, str]],
    ) -> torch.Tensor:
        """The scores from a pass that begins behind the layer.

        Raises:
            RuntimeError: the model writes into what modules hand out, or views it in a way that this order forbids.
        """
        asked, outputs = wanted
        inputs, edits = self._fed({name: values}, example)
        known = self._known(edits, asked, example)
        rest = {site: value for site, value in edits.items() if site not in known}
        found = self._again.forward(inputs, rest, asked, outputs, known)
        if len(values) > 1 and any(value._version for site, value in known.items() if site not in edits):
            raise RuntimeError("one memory for all values was written into")
        return target.each(Values(self, lambda site: found[self.site(site).name])).detach()

    def _known(self, edits: Mapping[str, torch.Tensor], asked: Iterable[str], example: int) -> dict[str, torch.Tensor]:
        """What the modules return that ran before the edit, and the edit itself: they need not run again."""
        if not (edits and self.is_batch):
            return {}
        (layer, edit), *_ = edits.items()
        before = list(self._sites)[: list(self._sites).index(layer) + 1]
        calls = self._calls.replaceable(self.model, asked)
        axes = {name: self._batch_axis(name) for name in before if name in calls}
        known: dict[str, torch.Tensor] = {}
        for name in self._calls.outermost(name for name, axis in axes.items() if axis >= 0 or name == layer):
            if name == layer:
                known[name] = edit.clone()  # the next operation may write into it
                continue
            value = self.activation(name).narrow(axes[name], example, 1).clone()
            sizes = [len(edit) if place == axes[name] else size for place, size in enumerate(value.shape)]
            known[name] = value.expand(sizes)
        return known

    def _batch_axis(self, name: str) -> int:
        """The axis of a site that counts the inputs, -1 where that is not known."""
        site = self._sites[name]
        axis = site.layout.axes.find("N") if site.layout is not None else -1
        return axis if axis >= 0 and site.shape[axis] == self.examples else -1

    @contextmanager
    def lent(self, example: int = 0) -> Iterator[tuple[nn.Module, Any]]:
        """The model and one recorded input ``(1, ...)``, for code that must run it by itself.

        Meanwhile the model is in evaluation mode and its parameters are frozen; afterwards all is put back.

        Raises:
            StaleError: a parameter changed since the recording.
        """
        self._check_fresh("another pass")
        inputs = {name: self._repeated(name, 1, example) for name in self.input_sites}
        with self._again.lend(inputs) as found:
            yield found

    def _fed(
        self, values: Mapping[str, torch.Tensor], example: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """All inputs, and the values at other sites, for a pass over a batch."""
        self._check_fresh("another pass")
        named = {self.site(layer).name: value for layer, value in check_batches(values).items()}
        example = check_example(example, self.examples)
        counts = {len(value) for value in named.values()}
        if len(counts) != 1:
            raise InputError(f"values must be batches of one length, got lengths {sorted(counts)}")
        for name, value in named.items():
            shape = self._sites[name].shape[1 if self.is_batch else 0 :]
            if value.shape[1:] != shape:
                wanted = ", ".join(("B", *map(str, shape)))
                raise InputError(f"values for {name!r} must have shape ({wanted}), got {tuple(value.shape)}")
            named[name] = value.to(self._sites[name].dtype)
        if not self.is_batch:
            if counts != {1}:
                raise InputError("this model's inputs have no batch axis: give a batch of one value")
            named = {name: value[0] for name, value in named.items()}
        edits = {name: value for name, value in named.items() if name not in self.input_sites}
        inputs = {
            name: named[name] if name in named else self._repeated(name, counts.copy().pop(), example)
            for name in self.input_sites
        }
        return inputs, edits

    def _repeated(self, name: str, count: int, example: int) -> torch.Tensor:
        value = self.activation(name)
        return value[example : example + 1].expand(count, *value.shape[1:]) if self.is_batch else value

    @property
    def examples(self) -> int:
        """How many inputs were recorded as one batch."""
        return self._sites[self.input_sites[0]].shape[0] if self.is_batch else 1

    @property
    def is_batch(self) -> bool:
        """Whether the first axis of inputs and scores counts independent inputs."""
        shapes = [self._sites[name].shape for name in self.input_sites]
        shapes += [self.site(self.logits_site).shape] if self.has_classes else []
        return all(len(shape) > 1 and shape[0] == shapes[0][0] for shape in shapes)

    def _takes_batches(self, target: Target) -> bool:
        return self.is_batch and target.adds_up

    def batches(
        self, count: int, *, gradient: bool = False, layer: str | None = None, growing: bool = True
    ) -> Iterator[range]:
        """``range(count)`` in parts that fit into memory.

        Args:
            gradient: whether gradients are asked for, which keep all values of a pass.
            layer: where other values are put, when the pass before it need not be done again.
            growing: small ones first, so that an estimate is there at once.
        """
        whole = max(1, self.nbytes // self.examples) * (2 if gradient else KEPT)
        share = 1.0 if layer is None else self._share_behind(layer)
        limit = MOST_WITH_GRADIENT if gradient else MOST_AT_ONCE
        most = max(1, int(min(limit, batch_bytes() / whole) / share))
        start, size = 0, 1 if growing else most
        while start < count:
            stop = min(count, start + size)
            yield range(start, stop)
            start, size = stop, min(most, 2 * size)

    def _share_behind(self, layer: str) -> float:
        """The share of the recorded numbers that belongs to a layer and to what comes after it."""
        first = self.site(layer).index
        sizes = [math.prod(value.shape) for value in self._values]
        return max(1 / 32, sum(sizes[first:]) / max(1, sum(sizes)))

    # Layout

    def layout(self, layer: str) -> Layout:
        """Which axis of a layer is what.

        Raises:
            LayoutError: the tape lost the axes on the way; ``set_layout`` tells them.
        """
        return self._layouts.required(self.site(layer))

    def set_layout(self, layer: str, layout: Layout | str) -> None:
        """Say which axis is what, such as ``"NCHW"``, ``"NHWC"`` or ``Layout.tokens(grid=(14, 14), prefix=1)``."""
        given = layout if isinstance(layout, Layout) else Layout.parse(layout)
        self._layouts.override(self.site(layer), given)

    def maps(self, layer: str, tensor: torch.Tensor | None = None) -> torch.Tensor:
        """The activation of a layer (or a tensor of its shape, such as its gradient) as maps, ``(N, C, H, W)``.

        Raises:
            LayoutError: the layer has no spatial layout.
        """
        return self.layout(layer).maps(
            self.activation(layer) if tensor is None else check_tensor(tensor, "tensor"), layer
        )

    def is_spatial(self, layer: str) -> bool:
        """Whether a layer can be drawn as maps of more than one position."""
        layout = self.site(layer).layout
        return layout is not None and layout.is_spatial

    def channel_axis(self, layer: str) -> int:
        """The axis that counts a site's channels (features, units)."""
        site = self.site(layer)
        if site.layout is not None and site.layout.channel is not None:
            return site.layout.channel
        return min(1, len(site.shape) - 1) if len(site.shape) != 3 else 2

    def channels(self, layer: str) -> int:
        """Number of channels (features, units) of a site."""
        shape = self.site(layer).shape
        return shape[self.channel_axis(layer)] if shape else 1

    def reads_positions(self, layer: str) -> bool:
        """Whether the output depends on a layer's positions; not so behind the last attention of a ViT."""
        if self._readings is None:
            outputs = (self._logits,) if self._logits is not None else self.output_sites
            indices = [self.site(name).index for name in outputs]
            self._readings = readings(self._values, self._tape, self._layouts.labels, indices)
        return self._readings[self.site(layer).index] is Reading.POSITIONS

    def default_layer(self) -> str:
        """The last layer whose map tells where: the last spatial feature map whose positions the output depends on.

        Raises:
            LayoutError: no recorded layer has a spatial layout.
        """
        return default_layer.choose(self)

    # Health

    def first_nonfinite(self) -> str | None:
        """The first layer whose output holds a NaN or an infinity, ``None`` if there is none."""
        for site in self._sites.values():
            is_layer = site.module is not None or site.name in self.input_sites
            numbers = site.dtype.is_floating_point or site.dtype.is_complex
            if is_layer and numbers and not bool(torch.isfinite(self._value(site.index, site.name)).all()):
                return site.name
        return None

    def _nonfinite_origin(self) -> str:
        first = self.first_nonfinite()
        return f": NaN or infinity first appears at {first!r}" if first else ""

    def check_finite(self, tensor: torch.Tensor, what: str) -> None:
        """Refuse a result that is not finite, naming the first layer where it went wrong."""
        if not bool(torch.isfinite(tensor).all()):
            raise NonFiniteError(f"{what} is not finite{self._nonfinite_origin()}")

    @property
    def stale(self) -> bool:
        """Whether a parameter or buffer has changed since the recording."""
        return self._fingerprint.changed() is not None

    def _check_fresh(self, what: str) -> None:
        changed = self._fingerprint.changed()
        if changed is not None:
            raise StaleError(
                f"{what} cannot be taken from this trace: {changed!r} has changed since the recording; record again"
            )

    @property
    def nbytes(self) -> int:
        """Bytes of the recorded values and cached gradients; memory that several of them share is counted once."""
        if self._closed:
            return 0
        tensors = [value.tensor for value in self._values if value.tensor is not None]
        storages = {
            tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
            for tensor in (*tensors, *(gradient for gradient, _ in self._gradients.values()))
            if tensor.layout == torch.strided
        }
        return sum(storages.values())

    # Output

    @property
    def output_sites(self) -> tuple[str, ...]:
        """Names of the sites of the tensors that the model returned."""
        return tuple(self._output_values.values())

    def map_output(self, value: Callable[[str], torch.Tensor]) -> Any:
        """What the model returned, with ``value(site)`` in place of each of its tensors."""
        names = iter(self._output_values.values())
        return map_structure(lambda _tensor: value(next(names)), self.output)

    # Life

    def close(self) -> None:
        """Free the recorded values, gradients and the autograd graph. Closing twice is harmless."""
        with self._lock:
            self._closed = True
            self._gradients.clear()
            self._gradient_bytes = 0
            self._seeds.clear()
            for value in self._values:
                value.tensor = value.edge = value.operation = None
            self._tape.clear()
            self._output = None

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this trace is closed: record again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise refuse_copy("trace")

    def __repr__(self) -> str:
        if self._closed:
            return "<Trace: closed>"
        counts = f"{len(self._layer_sites)} layers, {len(self._sites)} sites, {self.nbytes / 2**20:.1f} MiB"
        return f"<Trace of {type(self.model).__name__}: {counts}>"
