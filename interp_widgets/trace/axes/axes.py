"""``Axes``: which axis of a recorded tensor is what, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import torch
from torch import nn

from interp_widgets.trace.arguments import check_tensor
from interp_widgets.trace.axes import default_layer
from interp_widgets.trace.axes.batch import Batch, BatchAxis, batch_of
from interp_widgets.trace.axes.layout import Layout
from interp_widgets.trace.axes.reading import Reading, readings
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.values import Site

__all__ = ["Axes"]


class Axes:
    """Layouts of a tape's sites, channels, the batch axis, the default layer.

    Args:
        results: sites of what the model gives out: the class scores, or all of it where there are none.
        batch_axis: what the user says of it.
        batch_inputs: inputs with a row per example, where an earlier pass of the model has told them.
    """

    def __init__(
        self,
        tape: Tape,
        results: Iterable[str],
        batch_axis: BatchAxis = "auto",
        batch_inputs: frozenset[str] | None = None,
    ) -> None:
        self._tape = tape
        self._results = tuple(results)
        self._batch_axis = batch_axis
        self._batch_inputs = batch_inputs
        self._default_layer = ""  # as long as it was not looked for with the present layouts

    # What ``default_layer.Layers`` asks

    @property
    def model(self) -> nn.Module:
        """The recorded model."""
        return self._tape.model

    @property
    def layers(self) -> list[str]:
        """Module paths in execution order."""
        return self._tape.layers

    def site(self, layer: str) -> Site:
        """The site that a layer stands for."""
        return self._tape.site(layer)

    def is_spatial(self, layer: str) -> bool:
        """Whether a layer can be drawn as maps of more than one position."""
        layout = self.site(layer).layout
        return layout is not None and layout.is_spatial

    def reads_positions(self, layer: str) -> bool:
        """Whether the output depends on a layer's positions."""
        return self._readings[self.site(layer).index] is Reading.POSITIONS

    @cached_property
    def _readings(self) -> list[Reading]:
        tape = self._tape
        results = [self.site(name).index for name in self._results]
        return readings(tape.values, tape.operations, tape.layouts.labels, results)

    @property
    def default_layer(self) -> str:
        """The last layer whose map tells where; see ``Trace.default_layer``."""
        found = self._default_layer or default_layer.choose(self)
        self._default_layer = found
        return found

    # Layouts

    def layout(self, layer: str) -> Layout:
        """Which axis of a layer is what; see ``Trace.layout``."""
        return self._tape.layouts.required(self.site(layer))

    def set_layout(self, layer: str, layout: Layout | str) -> None:
        """Say which axis is what."""
        given = layout if isinstance(layout, Layout) else Layout.parse(layout)
        self._tape.layouts.override(self.site(layer), given)
        self._default_layer = ""

    def maps(self, layer: str, tensor: torch.Tensor | None = None) -> torch.Tensor:
        """A layer's activation, or a tensor of its shape, as ``(N, C, H, W)``; see ``Trace.maps``."""
        layout, site = self.layout(layer), self.site(layer)
        shown = self._tape.value(site.index, site.name) if tensor is None else check_tensor(tensor, "tensor")
        return layout.maps(shown, layer)

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

    # The batch

    @cached_property
    def batch(self) -> Batch:
        """Which inputs have one row per example, and how many examples there are."""
        if self._batch_inputs is None:
            return batch_of(self._tape, self._results, self._batch_axis)
        rows = [self._tape.sites[name].shape[0] for name in self._batch_inputs]
        return Batch(self._batch_inputs, rows[0] if rows else 1)

    @property
    def is_batch(self) -> bool:
        """Whether the inputs have one row per example."""
        return bool(self.batch.inputs)

    @property
    def examples(self) -> int:
        """How many inputs were recorded as one batch."""
        return self.batch.examples

    def has_rows(self, layer: str) -> bool:
        """Whether the first axis of a layer or input counts the examples."""
        site = self.site(layer)
        if site.name in self._tape.inputs:
            return site.name in self.batch.inputs
        return self.is_batch and site.shape[:1] == (self.examples,) and self.batch_axis(site.name) <= 0

    def batch_axis(self, name: str) -> int:
        """The axis of a site that counts the inputs, -1 where that is not known."""
        site = self._tape.sites[name]
        axis = site.layout.axes.find("N") if site.layout is not None else -1
        return axis if axis >= 0 and site.shape[axis] == self.examples else -1
