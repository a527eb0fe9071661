"""Class activation maps whose channel weights are tried out instead of read off a gradient."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question
from interp_widgets.words import say

__all__ = ["AblationCAM", "ScoreCAM"]

Trial = Callable[[slice], torch.Tensor]


@dataclass(frozen=True)
class _Tried(Explainer):
    """Maps whose channel weights come from trying each channel, the strongest first."""

    family: ClassVar[str] = "Class activation maps"
    at_layer: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    refines: ClassVar[bool] = True

    relu: bool = field(default=True, metadata=limits(help="keep only evidence for the target"))

    @property
    def signed(self) -> bool:
        return not self.relu

    def estimates(self, question: Question) -> Iterator[Estimate]:
        maps = question.maps  # (C, H', W')
        strength = maps.flatten(1).abs().sum(dim=1).where(self.counts(maps), -1)  # (C,)
        order = strength.argsort(descending=True, stable=True)[: int((strength >= 0).sum())]
        maps = maps[order]
        scores = torch.zeros(len(maps), dtype=maps.dtype, device=maps.device)
        if not len(order):
            yield Estimate(maps.new_zeros(maps.shape[1:]))
        trial = self.trial(question, order)
        for part in self.edited(question).batches(len(order)):
            new, known = slice(part.start, part.stop), slice(part.stop)
            scores[new] = trial(new).to(scores)
            cam = torch.einsum("c,chw->hw", self.weights(scores[known]), maps[known])
            yield Estimate(cam.relu() if self.relu else cam, part.stop, len(order))

    @abstractmethod
    def counts(self, maps: torch.Tensor) -> torch.Tensor:
        """Which channels of ``maps`` ``(C, H', W')`` can change anything, ``(C,)`` of bool."""

    @abstractmethod
    def edited(self, question: Question) -> Question:
        """The question at the layer or input where values are exchanged."""

    @abstractmethod
    def trial(self, question: Question, order: torch.Tensor) -> Trial:
        """A function that tries some of the channels in ``order`` ``(n,)``: what each gives, ``(B,)``."""

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
    images_only: ClassVar[bool] = True

    def counts(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.amax(dim=(1, 2)) > maps.amin(dim=(1, 2))

    def edited(self, question: Question) -> Question:
        trace = question.trace
        name = next((site for site in trace.input_sites if trace.is_spatial(site)), None)
        if name is None:
            sentence = say(
                "Score-CAM covers an image with the maps of {layer!r}, but no input is an image", layer=question.layer
            )
            raise LayoutError(sentence)
        return question.at(name)

    def trial(self, question: Question, order: torch.Tensor) -> Trial:
        maps = question.maps[order]  # (n, H', W')
        at_input = self.edited(question)
        image = at_input.value  # (C, H, W)

        def trial(channels: slice) -> torch.Tensor:
            large = F.interpolate(maps[channels, None], size=image.shape[-2:], mode="bilinear", align_corners=False)
            low, high = large.amin(dim=(2, 3), keepdim=True), large.amax(dim=(2, 3), keepdim=True)
            masks = (large - low) / (high - low)  # (B, 1, H, W)
            return at_input.probe(masks * image).scores

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

    def counts(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.flatten(1).any(dim=1)

    def edited(self, question: Question) -> Question:
        return question

    def trial(self, question: Question, order: torch.Tensor) -> Trial:
        value = question.value
        axis = question.trace.channel_axis(question.layer) - (1 if question.has_rows else 0)
        shape = [1] * value.ndim
        shape[axis] = -1
        numbers = torch.arange(value.shape[axis], device=value.device).reshape(shape)
        (whole,) = question.probe(value[None]).scores

        def trial(channels: slice) -> torch.Tensor:
            removed = numbers == order[channels].reshape(-1, *[1] * value.ndim)  # (B, ...), one channel in each
            losses: torch.Tensor = whole - question.probe(torch.where(removed, 0, value)).scores
            return losses

        return trial

    def weights(self, scores: torch.Tensor) -> torch.Tensor:
        return scores
