"""Grad-CAM of what tells a class from those that look like it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from interp_widgets.errors import TargetError
from interp_widgets.explainers.base import CAM, limits, pick
from interp_widgets.explainers.grad_cam import GradCAM
from interp_widgets.trace import ClassScore, Target, Trace

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

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[torch.Tensor]:
        if not isinstance(target, ClassScore):
            raise TargetError(f"Finer-CAM explains classes only, got the target {target}: choose a class")
        activation = pick(trace.maps(layer), example)
        similar = self.similar(trace, target.index, example)
        gradient = trace.gradient(layer, target)
        if similar:
            others = [trace.gradient(layer, ClassScore(index)) for index in similar]
            gradient = gradient - self.strength * torch.stack(others).mean(dim=0)
        yield self.attribute(activation, pick(trace.maps(layer, gradient), example))

    def similar(self, trace: Trace, index: int, example: int) -> list[int]:
        """The classes whose scores are closest to that of one class."""
        logits = pick(trace.logits if trace.logits.ndim > 1 else trace.logits[None], example)
        scores = logits if logits.ndim == 1 else logits.flatten(1).mean(dim=1)
        order = (scores - scores[index]).abs().argsort().tolist()
        return [other for other in order if other != index][: self.classes]

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return GradCAM().attribute(activation, gradient)
