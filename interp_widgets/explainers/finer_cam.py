"""Grad-CAM of what tells a class from those that look like it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from interp_widgets.errors import TargetError
from interp_widgets.explainers.base import CAM, limits
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.grad_cam import GradCAM
from interp_widgets.explainers.question import Question, pick
from interp_widgets.trace import ClassScore
from interp_widgets.words import say

__all__ = ["FinerCAM"]


@dataclass(frozen=True)
class FinerCAM(CAM):
    """Grad-CAM of the score of a class less the mean score of the classes whose scores are closest to it.

    Zhang et al. 2025, arXiv:2501.11309, eq. 5 and 6, with Grad-CAM's weights. Deviation: the classes compared with
    count equally. ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "Finer-CAM"
    summary: ClassVar[str] = "Grad-CAM of what tells the class from those that look like it"
    own_pass: ClassVar[bool] = True

    strength: float = field(default=1.0, metadata=limits(0.0, 2.0, help="how much of the other classes is taken off"))
    classes: int = field(default=3, metadata=limits(1, 20, help="how many similar classes are compared with"))

    def unmet(self, question: Question) -> str:
        is_class = isinstance(question.target, ClassScore)
        return super().unmet(question) or ("" if is_class else say("needs a class"))

    def estimates(self, question: Question) -> Iterator[Estimate]:
        trace, target, layer = question.trace, question.target, question.layer
        if not isinstance(target, ClassScore):
            sentence = say(
                "{method} explains classes only, got the target {target}: choose a class",
                method=self.title,
                target=target,
            )
            raise TargetError(sentence)
        activation = question.maps  # (C, H', W')
        similar = self.similar(question, target.index)
        gradient = trace.gradient(layer, target)
        if similar:
            others = [trace.gradient(layer, ClassScore(index)) for index in similar]
            gradient = gradient - self.strength * torch.stack(others).mean(dim=0)
        yield Estimate(self.attribute(activation, question.maps_of(gradient)))

    def similar(self, question: Question, index: int) -> list[int]:
        """The classes whose scores are closest to that of one class."""
        logits = question.trace.logits
        logits = pick(logits if logits.ndim > 1 else logits[None], question.example)  # (K,) or (K, positions...)
        scores = logits if logits.ndim == 1 else logits.flatten(1).mean(dim=1)  # (K,)
        order = (scores - scores[index]).abs().argsort().tolist()
        return [other for other in order if other != index][: self.classes]

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return GradCAM().attribute(activation, gradient)
