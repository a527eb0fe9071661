"""Gradient methods on the input, or on any layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question

__all__ = ["Gradient", "InputXGradient"]


@dataclass(frozen=True)
class Gradient(Explainer):
    """How much the score changes with each position: the largest absolute gradient over the channels.

    Simonyan et al. 2013, arXiv:1312.6034, section 3.1; no deviation with ``channels="max"``. ``values`` is ``(H, W)``
    for images and spatial layers, the input's shape without the batch otherwise; never negative; score per input unit.
    """

    family: ClassVar[str] = "Gradients"
    title: ClassVar[str] = "Gradient"
    summary: ClassVar[str] = "where a small change of the input changes the score most"

    channels: Literal["max", "mean"] = field(
        default="max", metadata=limits(options=("max", "mean"), help="how the channels of one position are joined")
    )

    def estimates(self, question: Question) -> Iterator[Estimate]:
        yield Estimate(question.as_map(question.gradient, self.channels))


@dataclass(frozen=True)
class InputXGradient(Explainer):
    """Each position's first-order contribution to the score: the value times its gradient, summed over the channels.

    Gradient times input, as Shrikumar et al. 2016, arXiv:1605.01713, define it; the sum over the channels is ours, so
    that an image gives one map. ``values`` is ``(H, W)`` for images and spatial layers, the input's shape without the
    batch otherwise; positive for evidence for the target; in score units.
    """

    family: ClassVar[str] = "Gradients"
    title: ClassVar[str] = "Input x Gradient"
    summary: ClassVar[str] = "first-order contribution of each position to the score"

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        yield Estimate(question.as_map(question.value * question.gradient))
