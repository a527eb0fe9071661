"""Class activation maps whose channel weights are tried out instead of read off a gradient."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.base import Explainer, limits, pick, value_of
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.trace import Target, Trace

__all__ = ["AblationCAM", "ScoreCAM"]

Trial = Callable[[list[int]], torch.Tensor]


@dataclass(frozen=True)
class _Tried(Explainer):
    """Each channel is tried, the strongest first; one that is the same everywhere tells nothing and is left out."""

    family: ClassVar[str] = "Class activation maps"
    at_layer: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    refines: ClassVar[bool] = True

    relu: bool = field(default=True, metadata=limits(help="keep only evidence for the target"))

    @property
    def signed(self) -> bool:
        return not self.relu

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[Estimate]:
        maps = pick(trace.maps(layer), example)  # (C, H', W')
        strength = maps.flatten(1).abs().sum(dim=1)
        order = [channel for channel in strength.argsort(descending=True).tolist() if self.counts(maps[channel])]
        scores = torch.zeros(len(maps), dtype=maps.dtype, device=maps.device)
        trial = self.trial(trace, target, layer, example)
        if not order:
            yield Estimate(torch.zeros_like(maps[0]))
        for part in trace.batches(len(order), layer=self.edited(layer)):
            known, new = order[: part.stop], order[part.start : part.stop]
            scores[new] = trial(new).to(scores)
            cam = torch.einsum("c,chw->hw", self.weights(scores[known]), maps[known])
            yield Estimate(cam.relu() if self.relu else cam, part.stop, len(order))

    @abstractmethod
    def counts(self, channel: torch.Tensor) -> bool:
        """Whether a channel's map can change anything."""

    @abstractmethod
    def edited(self, layer: str) -> str | None:
        """The layer where values are exchanged, ``None`` for the input."""

    @abstractmethod
    def trial(self, trace: Trace, target: Target, layer: str, example: int) -> Trial:
        """A function that tries some channels: what each gives, ``(B,)``."""

    @abstractmethod
    def weights(self, scores: torch.Tensor) -> torch.Tensor:
        """The weights of the channels tried so far."""


@dataclass(frozen=True)
class ScoreCAM(_Tried):
    """Weight each channel by the score of the input that its map leaves visible.

    Wang et al. 2020, arXiv:1910.01279, algorithm 1: maps enlarged bilinearly and rescaled to 0..1 multiply the input,
    the scores go through a softmax over the channels. Deviations: the score before the model's softmax, as in
    pytorch-grad-cam; channels that are the same everywhere are left out. Estimates: the channels so far, those with the
    largest activation first. ``values`` is ``(H', W')``, not negative; ``relu=False`` leaves out the last step.
    """

    title: ClassVar[str] = "Score-CAM"
    summary: ClassVar[str] = "channels weighted by the score of what their map leaves visible"

    def counts(self, channel: torch.Tensor) -> bool:
        return bool(channel.max() > channel.min())

    def edited(self, layer: str) -> str | None:  # noqa: ARG002
        return None

    def trial(self, trace: Trace, target: Target, layer: str, example: int) -> Trial:
        name = next((site for site in trace.input_sites if trace.is_spatial(site)), None)
        if name is None:
            raise LayoutError(f"Score-CAM covers an image with the maps of {layer!r}, but no input is an image")
        maps, image = pick(trace.maps(layer), example), value_of(trace, name, example)

        def trial(channels: list[int]) -> torch.Tensor:
            large = F.interpolate(maps[channels, None], size=image.shape[-2:], mode="bilinear", align_corners=False)
            low, high = large.amin(dim=(2, 3), keepdim=True), large.amax(dim=(2, 3), keepdim=True)
            masks = (large - low) / (high - low)
            return trace.probe(name, masks * image, target, example=example).scores

        return trial

    def weights(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.softmax(dim=0)


@dataclass(frozen=True)
class AblationCAM(_Tried):
    """Weight each channel by what the score loses without it.

    Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360, eq. 5 and 6. Deviation: the loss is not divided by the
    score, the same at every channel, because that turns the map round where the score is negative. A channel is set to
    zero; only what comes after the layer is run again. Estimates: the channels so far, those with the largest
    activation first. ``values`` is ``(H', W')``, not negative; ``relu=False`` leaves out the last step.
    """

    title: ClassVar[str] = "Ablation-CAM"
    summary: ClassVar[str] = "channels weighted by what the score loses without them"

    def counts(self, channel: torch.Tensor) -> bool:
        return bool(channel.any())

    def edited(self, layer: str) -> str | None:
        return layer

    def trial(self, trace: Trace, target: Target, layer: str, example: int) -> Trial:
        value = value_of(trace, layer, example)
        axis = trace.channel_axis(layer) - (1 if trace.is_batch else 0)
        whole = trace.probe(layer, value[None], target, example=example).scores

        def trial(channels: list[int]) -> torch.Tensor:
            copies = value.repeat(len(channels), *[1] * value.ndim)
            for copy, channel in zip(copies, channels, strict=True):
                copy.select(axis, channel).zero_()
            return whole - trace.probe(layer, copies, target, example=example).scores

        return trial

    def weights(self, scores: torch.Tensor) -> torch.Tensor:
        return scores
