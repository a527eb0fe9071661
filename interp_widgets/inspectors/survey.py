"""``Survey``: the statistics of some layers, gathered from one batch of inputs after another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from interp_widgets.errors import LayerError
from interp_widgets.inspectors.activation_function import activation_function
from interp_widgets.inspectors.loading import as_real
from interp_widgets.inspectors.running import Moments, Sample
from interp_widgets.trace import Site, Trace
from interp_widgets.trace.arguments import as_list, shown
from interp_widgets.trace.names import SiteName
from interp_widgets.trace.targets import TargetLike
from interp_widgets.words import say

__all__ = ["Gradients", "Seen", "Survey"]


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of a layer's values so far."""

    moments: Moments
    sample: Sample


@dataclass(frozen=True)
class Gradients:
    """Sums over a layer's gradients, and how many there were."""

    sizes: float = 0.0
    squares: float = 0.0
    count: int = 0

    def with_values(self, gradient: torch.Tensor) -> Gradients:
        """Those so far and of one more tensor."""
        exact = as_real(gradient).double().abs()
        sizes, squares = float(exact.sum()), float(exact.square().sum())
        return Gradients(self.sizes + sizes, self.squares + squares, self.count + exact.numel())

    @property
    def mean_size(self) -> float:
        """Mean of the absolute values."""
        return self.sizes / self.count if self.count else math.nan


class Survey:
    """Statistics of a trace's layers.

    Args:
        layers: layers or sites; ``None``: what each call of a module returned.
        target: whose gradients are measured; ``None``: none are.
        seed: of what is drawn where a layer has too many values to keep.

    Attributes:
        sites: the layers, in execution order where they were not given.
        functions: the activation functions that they end in.
        seen, gradients: by the site whose values were read; see ``read_at``.
        inputs, batches: how many were taken.

    Raises:
        LayerError: no such layer, or none at all.
        TargetError: no such target.
    """

    def __init__(self, trace: Trace, layers: Iterable[str] | str | None, target: TargetLike, seed: int) -> None:
        names = _returned(trace) if layers is None else as_list(layers)
        sites = [trace.site(name) for name in names]
        if layers is None and not sites:
            raise LayerError(
                say(
                    "this {kind} has no module inside that returns a tensor, so it has no layers: "
                    "put it into a torch.nn.Sequential",
                    kind=type(trace.model).__name__,
                )
            )
        if not sites:
            raise LayerError(
                say("layers must name at least one layer, got {given}; leave it out for all", given=shown(layers))
            )
        if target is not None:
            trace.score(target)  # refuses what is no target
        self.sites: dict[str, Site] = {site.name: site for site in sites}
        self.functions = {name: activation_function(trace, name) for name in self.sites}
        self.seen: dict[str, Seen] = {}
        self.gradients: dict[str, Gradients] = {}
        self.inputs = 0
        self.batches = 0
        self._trace = trace
        self._target = target
        self._seed = seed
        self._numbers = {name: number for number, name in enumerate(self.sites)}
        self._axes = {name: _channel_axis(trace, name) for name in self.sites}
        # A block, and the ReLU that it ends in, return the same tensor: it is read once.
        self._first: dict[int, str] = {}
        for name, site in self.sites.items():
            self._first.setdefault(site.index, name)

    def read_at(self, layer: str) -> str:
        """The site where the values of a layer are read: the first that holds the same tensor."""
        return self._first[self.sites[layer].index]

    def take_recorded(self) -> None:
        """Take the inputs that were recorded, from the recording."""
        found = {name: self._summed_up(name, self._trace.activation(name)) for name in self._first.values()}
        self._take(found, self._trace.examples)
        self._take_gradients(self._trace)

    def take(self, inputs: Mapping[str, torch.Tensor]) -> None:
        """Take a batch, by a pass that is not recorded; for gradients by some recorded passes on parts of it.

        Raises:
            InputError, StaleError: as ``Trace.rerun``.
            LayerError: a layer that no module returns.
            GradientError: autograd was switched off on the way.
        """
        found = self._trace.read(inputs, self._first.values(), self._summed_up)
        count = len(next(iter(inputs.values())))
        self._take(found, count)
        parts = self._trace.batches(count, gradient=True, growing=False) if self._target is not None else ()
        for part in parts:
            rows = slice(part.start, part.stop)
            with self._trace.rerun({name: batch[rows] for name, batch in inputs.items()}) as again:
                self._take_gradients(again)

    def _take(self, found: Mapping[str, Seen], count: int) -> None:
        self.seen.update(found)
        self.inputs += count
        self.batches += 1

    def _summed_up(self, name: str, value: torch.Tensor) -> Seen:
        """What is known of a layer with one more batch of its values."""
        real = as_real(value)
        rng = np.random.default_rng([self._seed, self._numbers[name], self.batches])
        axis = self._axes[name]
        new = Moments.of(real, axis if axis is not None and axis < real.ndim else None, self.functions[name])
        if name not in self.seen:
            return Seen(new, Sample.empty().with_values(real, rng))
        old = self.seen[name]
        return Seen(old.moments.merged(new), old.sample.with_values(real, rng))

    def _take_gradients(self, trace: Trace) -> None:
        if self._target is None:
            return
        names = [name for name in self._first.values() if self.sites[name].differentiable]
        for name, gradient in zip(names, trace.gradients(names, self._target), strict=True):
            self.gradients[name] = self.gradients.get(name, Gradients()).with_values(gradient)

    def shape_of(self, layer: str) -> tuple[int, ...]:
        """The shape of a layer's values, without the axis that counts inputs."""
        shape = self.sites[layer].shape
        return shape[1:] if self._trace.has_rows(layer) else shape


def _returned(trace: Trace) -> list[str]:
    """The main tensors that all calls of modules returned, in execution order."""
    return [name for name, site in trace.sites.items() if site.module is not None and SiteName.parse(name).is_output]


def _channel_axis(trace: Trace, layer: str) -> int | None:
    """The axis that counts channels; ``None`` where the only axis counts inputs."""
    if not trace.site(layer).shape:
        return None
    axis = trace.channel_axis(layer)
    return None if axis == 0 and trace.has_rows(layer) else axis
