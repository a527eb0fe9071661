"""``Question``: what an explainer is asked, and the few things it may ask back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from interp_widgets.errors import InputError, LayoutError
from interp_widgets.explainers.baselines import Baseline, baselines_of
from interp_widgets.trace import Target, Trace
from interp_widgets.trace.passes import Probe
from interp_widgets.words import say

__all__ = ["Question", "pick", "precise"]


@dataclass(frozen=True)
class Question:
    """Which score of which recorded input is explained, and where.

    Every tensor it gives is that of the one input, without its batch axis, in single precision at least.

    Args:
        trace: the recorded pass.
        target: the score that is explained.
        layer: where it is explained: a module path, a site or an input.
        example: which input of the recorded batch.
    """

    trace: Trace
    target: Target
    layer: str
    example: int = 0

    def at(self, layer: str) -> Question:
        """The same question at another layer."""
        return replace(self, layer=layer)

    @property
    def is_input(self) -> bool:
        """Whether an input is explained, not a layer."""
        return self.trace.site(self.layer).name in self.trace.input_sites

    def image(self, method: str) -> torch.Tensor:
        """The value, ``(C, H, W)``, for a method that explains images only.

        Raises:
            LayoutError: it has no height and width.
        """
        if self.value.ndim != 3 or not self.is_spatial:
            sentence = say(
                "{method} explains images: {layer!r} with shape {shape} is none",
                method=method,
                layer=self.layer,
                shape=tuple(self.value.shape),
            )
            raise LayoutError(sentence)
        return self.value

    @property
    def is_spatial(self) -> bool:
        """Whether the layer can be drawn as maps."""
        return self.trace.is_spatial(self.layer)

    # What was recorded

    @property
    def value(self) -> torch.Tensor:
        """What was recorded at the layer."""
        return self.own(self.trace.activation(self.layer))

    @property
    def gradient(self) -> torch.Tensor:
        """The derivative of the score with respect to the value at the layer, in its shape."""
        return self.own(self.trace.gradient(self.layer, self.target))

    @property
    def maps(self) -> torch.Tensor:
        """The activation of the layer, ``(C, H', W')``.

        Raises:
            LayoutError: the layer has no spatial layout.
        """
        return pick(self.trace.maps(self.layer), self.example)

    @property
    def gradient_maps(self) -> torch.Tensor:
        """The gradient at the layer, ``(C, H', W')``."""
        return self.maps_of(self.trace.gradient(self.layer, self.target))

    @property
    def has_rows(self) -> bool:
        """Whether the first axis of the layer counts the examples."""
        return self.trace.has_rows(self.layer)

    def own(self, batch: torch.Tensor) -> torch.Tensor:
        """The part that belongs to this input, of a tensor in the shape of the layer.

        Raises:
            InputError: the trace holds fewer inputs; or several, and no axis of the layer tells them apart.
        """
        if self.has_rows:
            return pick(batch, self.example)
        if self.trace.examples > 1:
            raise InputError(
                say(
                    "the first axis of {layer!r} (shape {shape}) does not count the {count} examples of this trace, "
                    "so one cannot be told from the others there: record one at a time",
                    layer=self.layer,
                    shape=tuple(batch.shape),
                    count=self.trace.examples,
                )
            )
        return precise(batch)

    def maps_of(self, batch: torch.Tensor) -> torch.Tensor:
        """The maps ``(C, H', W')`` of this input in a tensor of the layer's shape, its batch axis included."""
        return pick(self.trace.maps(self.layer, batch), self.example)

    # Other values

    @property
    def floating_behind(self) -> list[str]:
        """The inputs that the layer was computed from, when all of them are numbers that have a baseline.

        None where token ids are among them: they have no baseline, so a layer behind them has one of its own, and
        other inputs, such as a mask, stay as they were recorded.
        """
        behind = self.trace.tape.inputs_behind(self.trace.site(self.layer).index)
        return behind if all(self.trace.sites[name].dtype.is_floating_point for name in behind) else []

    def baseline(self, baseline: Baseline, seed: int = 0) -> torch.Tensor:
        """The value at the layer when the model is given the baselines of the inputs that it is computed from."""
        return self.baselines(baseline, [seed])[0]

    def baselines(self, baseline: Baseline, seeds: Sequence[int]) -> torch.Tensor:
        """The values at the layer for one baseline per seed, ``(B, *shape)``; see ``baselines_of``."""
        floating = self.floating_behind
        if self.is_input or not floating:
            return baselines_of(self.value, baseline, seeds)
        if not self.has_rows and len(seeds) > 1:
            return torch.cat([self.baselines(baseline, [seed]) for seed in seeds])
        inputs = {site: self.at(site).baselines(baseline, seeds) for site in floating}
        with self.trace.rerun(inputs, example=self.example) as other:
            value = precise(other.activation(self.layer))
        return value if self.has_rows else value[None]

    def probe(self, values: torch.Tensor, *, gradient: bool = False) -> Probe:
        """The score for each of a batch of values at the layer, ``(B, *shape)``, and on demand its gradient there.

        The scores ``(B,)`` and the gradients ``(B, *shape)`` are in single precision at least.
        """
        probe = self.trace.probe(self.layer, values, self.target, example=self.example, gradient=gradient)
        return Probe(precise(probe.scores), precise(probe.gradients))

    def batches(self, count: int, *, gradient: bool = False, growing: bool = True) -> Iterator[range]:
        """``range(count)`` in parts that fit into memory, for ``probe`` at the layer; small ones first if ``growing``.

        With gradients the whole pass is kept, so that it does not matter how deep in the model the layer is.
        """
        layer = None if gradient else self.layer
        return self.trace.batches(count, gradient=gradient, layer=layer, growing=growing)

    # The map

    def as_map(self, values: torch.Tensor, channels: str = "sum") -> torch.Tensor:
        """One relevance per position, ``(H, W)``, from values in the shape of a spatial layer; others as they are.

        Args:
            values: relevance of this input, ``(*shape)``.
            channels: how the channels of one position are joined: ``sum``, or ``max`` or ``mean`` of their sizes.
        """
        if not self.is_spatial:
            return values if channels == "sum" else values.abs()
        has_batch_axis = values.ndim == len(self.trace.site(self.layer).shape)
        maps = self.trace.maps(self.layer, values if has_batch_axis else values[None])[0]  # (C, H, W)
        if channels == "sum":
            return maps.sum(dim=0)
        sizes = maps.abs()
        return sizes.amax(dim=0) if channels == "max" else sizes.mean(dim=0)


def pick(batch: torch.Tensor, example: int) -> torch.Tensor:
    """One of a batch, in single precision at least.

    Raises:
        InputError: there are not so many.
    """
    count = batch.shape[0]
    if not 0 <= example < count:
        sentence = say(
            "example must be in 0..{last} (the trace holds {count} inputs), got {example}",
            last=count - 1,
            count=count,
            example=example,
        )
        raise InputError(sentence)
    return precise(batch[example])


def precise(tensor: torch.Tensor) -> torch.Tensor:
    """In single precision at least: half precision and quantised numbers are for storing, not for adding up."""
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor if tensor.dtype in (torch.float64, torch.complex64, torch.complex128) else tensor.float()
