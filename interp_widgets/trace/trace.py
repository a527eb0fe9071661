"""``Trace``: one recorded forward pass, and the questions it answers: activations, gradients, scores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn, Self

import torch
from torch import nn

from interp_widgets.trace.arguments import as_list, check_batches, refuse_copy
from interp_widgets.trace.axes.axes import Axes
from interp_widgets.trace.axes.batch import BatchAxis
from interp_widgets.trace.axes.layout import Layout
from interp_widgets.trace.calls import Calls
from interp_widgets.trace.ending import Scale
from interp_widgets.trace.gradients import Gradients
from interp_widgets.trace.outputs import Outputs, Scores
from interp_widgets.trace.passes import Again, Passes, Probe, Probes
from interp_widgets.trace.suffix import Replayed
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.target import Values
from interp_widgets.trace.targets import TargetLike, as_target
from interp_widgets.trace.values import Change, Site

__all__ = ["Recording", "Trace"]

DEFAULT_MEMORY_LIMIT = 128 * 2**20


@dataclass(frozen=True)
class Recording:
    """What a pass left behind: what ``recording.record`` hands to its ``Trace``.

    ``calls`` tells which module ran in which; ``output_sites`` the site of each returned tensor, by its path in the
    output; ``scores`` where the class scores are; ``draws_elsewhere`` whether the pass has drawn random numbers from
    numpy's or Python's generators.
    """

    tape: Tape
    calls: Calls
    output: Any
    output_sites: dict[str, str]
    scores: Scores | None
    again: Again
    draws_elsewhere: bool


class Trace:
    """One recorded forward pass of a model; made by ``record``.

    Everything is answered from the recording: an activation is a look-up, a gradient one backward pass to the layer
    asked for (then cached under ``memory_limit``). Usable as a context manager; ``close`` frees the memory.

    Attributes:
        model: the recorded model.
        tape: the recorded operations and values.
        calls: the module calls: which ran in which, what they were given, how long they took.
        class_names: one per class, ``None`` where nobody gave them.
        feature_names: one per feature of an input ``(N, F)``.
        draws_elsewhere: whether the pass has drawn random numbers from numpy's or Python's generators; those of torch
            are operations on the tape.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        memory_limit: int | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        batch_axis: BatchAxis = "auto",
        batch_inputs: frozenset[str] | None = None,
    ) -> None:
        self.tape = recording.tape
        self.calls = recording.calls
        self.model: nn.Module = recording.tape.model
        self.class_names = tuple(class_names) if class_names is not None else None
        self.feature_names = tuple(feature_names) if feature_names is not None else None
        self.tape.feature_names = self.feature_names or ()
        self.draws_elsewhere = recording.draws_elsewhere
        results = recording.output_sites.values() if recording.scores is None else [recording.scores.site]
        self._axes = Axes(recording.tape, results, batch_axis, batch_inputs)
        self._outputs = Outputs(
            recording.tape,
            self._axes,
            output=recording.output,
            sites=recording.output_sites,
            scores=recording.scores,
            class_names=self.class_names,
        )
        limit = DEFAULT_MEMORY_LIMIT if memory_limit is None else memory_limit
        self._gradients = Gradients(recording.tape, self._outputs, limit)
        self._passes = Passes(recording.tape, self._axes, self._outputs, recording.calls, recording.again)
        self._closing = threading.Lock()

    # What was recorded

    @property
    def sites(self) -> Mapping[str, Site]:
        """Every recorded tensor by name, in execution order."""
        return MappingProxyType(self.tape.sites)

    @property
    def layers(self) -> list[str]:
        """Module paths that produced a tensor, in the order in which their (last) call ended."""
        return self.tape.layers

    @property
    def input_sites(self) -> tuple[str, ...]:
        """Names of the inputs' sites."""
        return self.tape.inputs

    @property
    def output_sites(self) -> tuple[str, ...]:
        """Names of the sites of the tensors that the model returned."""
        return tuple(self._outputs.sites.values())

    @property
    def output(self) -> Any:
        """What the model returned, its tensors detached."""
        return self._outputs.output

    def site(self, layer: str) -> Site:
        """The site that a layer or site name stands for: a module's last call, ``"layer:0"`` for its first.

        Raises:
            LayerError: no such layer was recorded.
        """
        return self.tape.site(layer)

    def activation(self, layer: str) -> torch.Tensor:
        """The value at a layer or site as the module returned it, before any later in-place write; detached.

        Raises:
            LayerError: no such layer was recorded.
            OverwrittenError: the value was overwritten in a way that was not seen, for example by a compiled extension.
        """
        return self.tape.value(self.site(layer).index, layer)

    # Scores

    @property
    def logits_site(self) -> str:
        """Name of the site that holds the class scores, before a final softmax or sigmoid.

        Raises:
            TargetError: the output has no tensor of class scores.
        """
        return self._outputs.logits_site

    @property
    def has_classes(self) -> bool:
        """Whether the output has a tensor of class scores."""
        return self._outputs.has_classes

    @property
    def class_count(self) -> int:
        """Number of classes of the output that is explained."""
        return self._outputs.class_count

    @property
    def logits(self) -> torch.Tensor:
        """The class scores before a final softmax or sigmoid, ``(N, K)`` or ``(N, K, ...)``; detached.

        ``(K,)`` without a batch, ``(N, 1)`` of a model that gives one value per input.
        """
        return self._outputs.logits

    def class_scores(self, value: torch.Tensor) -> torch.Tensor:
        """The class scores as ``logits`` gives them, from what stands at their site in another pass."""
        return self._outputs.class_scores(value)

    @property
    def scale(self) -> Scale:
        """What the model's numbers are: a softmax, several labels at once, yes or no, one value."""
        return self._outputs.scale

    @property
    def score_names(self) -> tuple[str, ...] | None:
        """What the class scores are called: the classes' names, "one value" where nothing says that it is a class.

        ``None`` where nobody gave names: they are called by their numbers.
        """
        return self._outputs.score_names

    @property
    def probabilities(self) -> torch.Tensor:
        """Probability of each class, averaged over positions, ``(N, K)`` in 0..1.

        As the model said it where it ends in a softmax or sigmoid (or their logarithms); of plain class scores their
        softmax, of a single one its sigmoid (which means nothing where ``scale`` is ``Scale.VALUE``).
        """
        return self._outputs.probabilities

    def says_no(self, example: int = 0) -> bool:
        """Whether a model that says yes or no says no to one of its inputs."""
        return self._outputs.says_no(example)

    @property
    def prediction(self) -> int:
        """The class with the highest probability for the first input."""
        return self._outputs.prediction

    def score(self, target: TargetLike = None) -> torch.Tensor:
        """The scalar being explained, ``()``, detached; ``None`` means the predicted class.

        Raises:
            TargetError: no such target.
            NonFiniteError: the score is NaN or infinite; the message names the first layer where that appears.
        """
        return self._gradients.seed(as_target(target, self._outputs))[0]

    def map_output(self, value: Callable[[str], torch.Tensor]) -> Any:
        """What the model returned, with ``value(site)`` in place of each of its tensors."""
        return self._outputs.map_output(value)

    # Gradients

    @property
    def gradients_of(self) -> Gradients:
        """The gradients of this recording, for walks over its graph by other rules."""
        return self._gradients

    @property
    def memory_limit(self) -> int:
        """Bytes of gradients that are remembered."""
        return self._gradients.memory_limit

    @property
    def backward_passes(self) -> int:
        """How many backward passes were taken so far."""
        return self._gradients.backward_passes

    def gradient(self, layer: str, target: TargetLike = None) -> torch.Tensor:
        """The derivative of the target's score at a layer or site; its shape, detached, cached.

        Zero where the score does not depend on the value.

        Raises:
            LayerError, TargetError: no such layer or target.
            GradientError: no gradient exists there (computed under ``torch.no_grad()``, not a floating-point value).
            StaleError: the model changed since the recording.
        """
        return self.gradients([layer], target)[0]

    def gradients(self, layers: Iterable[str], target: TargetLike = None) -> list[torch.Tensor]:
        """The gradients at several layers from one backward pass; see ``gradient``."""
        sites = [self.site(layer) for layer in as_list(layers)]
        return self._gradients.at(sites, as_target(target, self._outputs))

    def has_gradient(self, layer: str, target: TargetLike = None) -> bool:
        """Whether that gradient is cached, so that asking for it costs nothing."""
        return self._gradients.has(self.site(layer), as_target(target, self._outputs))

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
            StaleError: the model changed since the recording.
        """
        other: Trace = self._passes.rerun(values, example)
        return other

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
        name = self.site(layer).name
        found = self.probe_all({name: values}, target, example=example, gradient=gradient)
        return Probe(found.scores, found.gradients.get(name, found.scores.new_zeros(0)))

    def probe_all(
        self,
        values: Mapping[str, torch.Tensor],
        target: TargetLike = None,
        *,
        example: int = 0,
        gradient: bool = False,
    ) -> Probes:
        """As ``probe``, with other values at several inputs, layers or sites at once, a batch for each."""
        named = {self.site(layer).name: batch for layer, batch in check_batches(values).items()}
        return self._passes.probe(named, as_target(target, self._outputs), example=example, gradient=gradient)

    def replay(self, changes: Mapping[str, Change]) -> Replayed:
        """What the recorded pass says where the values at some layers are changed on the way, for all its inputs.

        Several changes act in execution order, the later ones on what the earlier ones have led to. A layer is its last
        call, as everywhere; ``"layer:0"`` is its first.

        Only the operations that depend on the changes are done again, where that is proven: the first time that
        some layers are changed, the model itself runs, and once more with these layers halved, which the operations
        must reproduce bit for bit. Where they do not, or Python has seen a number that depends on a change, or a value
        depends on random numbers or on code that torch does not show, the model itself runs each time.

        Args:
            changes: what makes of the value at a layer or input the one that takes its place; of the same shape.

        Returns:
            The value at a layer or site in the changed pass.

        Raises:
            LayerError: no such layer, or a value that cannot be changed.
            StaleError: the model changed since the recording.
        """
        return self._passes.replay(changes)

    def check_changeable(self, layer: str) -> None:
        """Refuse a value that ``replay`` cannot change.

        Raises:
            LayerError: no such layer, or a value that is written into a tensor of other names too.
        """
        self._passes.check_changeable(self.site(layer).name)

    def probabilities_from(self, value: Replayed) -> torch.Tensor:
        """The probabilities as ``probabilities`` gives them, from the values of another pass."""
        return self._outputs.probabilities_from(value)

    def score_from(self, value: Replayed, target: TargetLike = None) -> torch.Tensor:
        """The score as ``score`` gives it, ``()``, from the values of another pass; ``None``: the recorded prediction.

        Raises:
            TargetError: no such target.
        """
        return as_target(target, self._outputs).score(Values(self._outputs, value)).detach()

    def read(
        self, inputs: Mapping[str, torch.Tensor], layers: Iterable[str], keep: Callable[[str, torch.Tensor], Any]
    ) -> dict[str, Any]:
        """What ``keep(site, value)`` makes of layers' values for other inputs, by the names of the layers' sites.

        The model runs without autograd and without a recording. ``keep`` is called as soon as a module has returned,
        with a value ``(B, ...)`` that it must neither keep nor change. A module that does not run is left out.

        Args:
            inputs: a batch ``(B, *shape without its batch axis)`` for each input named; others are those recorded.

        Raises:
            LayerError: no such layer, or one that no module returns.
            InputError, StaleError: as ``rerun``.
        """
        return self._passes.read(inputs, layers, keep)

    def lent(self, example: int = 0, *, itself: bool = False) -> AbstractContextManager[tuple[nn.Module, Any]]:
        """The model and one recorded input ``(1, ...)``, for code that must run it by itself.

        What is lent is a copy with frozen parameters in evaluation mode; what is done to it leaves the model alone.

        Args:
            example: which input of the recorded batch.
            itself: lend the model itself, for code that holds on to it. Until it is given back it is in evaluation mode
                and frozen, also for other threads.

        Raises:
            StaleError: the model changed since the recording.
        """
        return self._passes.lent(example, itself=itself)

    @property
    def examples(self) -> int:
        """How many inputs were recorded as one batch."""
        return self._axes.examples

    @property
    def is_batch(self) -> bool:
        """Whether the first axis of inputs and scores counts independent inputs; see ``record``'s ``batch_axis``."""
        return self._axes.is_batch

    def has_rows(self, layer: str) -> bool:
        """Whether the first axis of a layer or input counts the examples; not so of an input shared by all of them."""
        return self._axes.has_rows(layer)

    def batches(
        self, count: int, *, gradient: bool = False, layer: str | None = None, growing: bool = True
    ) -> Iterator[range]:
        """``range(count)`` in parts that fit into memory.

        Args:
            gradient: whether gradients are asked for, which keep all values of a pass.
            layer: where other values are put, when the pass before it need not be done again.
            growing: small ones first, so that an estimate is there at once.
        """
        return self._passes.batches(count, lambda: self.nbytes, gradient=gradient, layer=layer, growing=growing)

    def fewer_at_once(self, count: int) -> None:
        """Note that ``count`` values at once did not fit into memory: from now on ``batches`` gives half of them.

        ``probe`` does so by itself; this is for code that reruns the trace with many values. What torch keeps of the
        device's memory for later is given back.
        """
        self._passes.fewer_at_once(count)

    # Layout

    def layout(self, layer: str) -> Layout:
        """Which axis of a layer is what.

        Raises:
            LayoutError: the tape lost the axes on the way; ``set_layout`` tells them.
        """
        return self._axes.layout(layer)

    def set_layout(self, layer: str, layout: Layout | str) -> None:
        """Say which axis is what, such as ``"NCHW"``, ``"NHWC"`` or ``Layout.tokens(grid=(14, 14), prefix=1)``."""
        self._axes.set_layout(layer, layout)

    def maps(self, layer: str, tensor: torch.Tensor | None = None) -> torch.Tensor:
        """The activation of a layer (or a tensor of its shape, such as its gradient) as maps, ``(N, C, H, W)``.

        Raises:
            LayoutError: the layer has no spatial layout.
        """
        return self._axes.maps(layer, tensor)

    def is_spatial(self, layer: str) -> bool:
        """Whether a layer can be drawn as maps of more than one position."""
        return self._axes.is_spatial(layer)

    def channel_axis(self, layer: str) -> int:
        """The axis that counts a site's channels (features, units)."""
        return self._axes.channel_axis(layer)

    def channels(self, layer: str) -> int:
        """Number of channels (features, units) of a site."""
        return self._axes.channels(layer)

    def reads_positions(self, layer: str) -> bool:
        """Whether the output depends on a layer's positions; not so behind the last attention of a ViT."""
        return self._axes.reads_positions(layer)

    def default_layer(self) -> str:
        """The last layer whose map tells where: the last spatial feature map whose positions the output depends on.

        Raises:
            LayoutError: no recorded layer has a spatial layout.
        """
        self.tape.check_open()
        return self._axes.default_layer

    # Health and life

    def first_nonfinite(self) -> str | None:
        """The first layer whose output holds a NaN or an infinity, ``None`` if there is none."""
        return self.tape.first_nonfinite()

    def check_finite(self, tensor: torch.Tensor, what: str) -> None:
        """Refuse a result that is not finite, naming the first layer where it went wrong."""
        self.tape.check_finite(tensor, what)

    @property
    def stale(self) -> bool:
        """Whether the model has changed since the recording: a weight, a buffer, a hook, an attribute such as a stride.

        Writes that torch does not count (through ``.data`` or numpy) are looked for when a new pass is taken.
        """
        return self.tape.stale

    @property
    def nbytes(self) -> int:
        """Bytes of the recorded values and cached gradients; memory that several of them share is counted once."""
        return 0 if self.closed else sum(self.tape.storages(self._gradients.kept).values())

    def close(self) -> None:
        """Free the recorded values, gradients and the autograd graph. Closing twice is harmless."""
        with self._closing:
            self.tape.close()
            self._gradients.close()
            self._outputs.close()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self.tape.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise refuse_copy()

    def __repr__(self) -> str:
        if self.closed:
            return "<Trace: closed>"
        counts = f"{len(self.layers)} layers, {len(self.sites)} sites, {self.nbytes / 2**20:.1f} MiB"
        batch = f"a batch of {self.examples}" if self.is_batch else "one example, no batch axis"
        return f"<Trace of {type(self.model).__name__}: {counts}, {batch}>"
