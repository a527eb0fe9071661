"""Gradients that go back through activation functions by a rule of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch.nn.functional as F

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.grad_cam import GradCAM
from interp_widgets.explainers.question import Question
from interp_widgets.propagation.rules import ruled_gradient
from interp_widgets.words import say

__all__ = ["Deconvnet", "GuidedBackprop", "GuidedGradCAM"]


@dataclass(frozen=True)
class _Ruled(Explainer):
    """The absolute values of a gradient that follows another rule at activation functions."""

    family: ClassVar[str] = "Gradients"
    own_pass: ClassVar[bool] = True
    rule: ClassVar[Literal["guided", "deconvnet"]]

    channels: Literal["max", "mean"] = field(
        default="max", metadata=limits(options=("max", "mean"), help="how the channels of one position are joined")
    )

    def estimates(self, question: Question) -> Iterator[Estimate]:
        gradient = ruled_gradient(question.trace, question.layer, question.target, rule=self.rule)
        yield Estimate(question.as_map(question.own(gradient), self.channels))


@dataclass(frozen=True)
class GuidedBackprop(_Ruled):
    """The gradient, handed back through each ReLU only where it is positive and the ReLU is open.

    Springenberg et al. 2015, arXiv:1412.6806, section 3.4. Deviations: other activation functions that stand for a
    ReLU (leaky ReLU, PReLU, RReLU, ReLU6, hardtanh, ELU, CELU, SELU, GELU, SiLU, Mish, hardswish, softplus, threshold)
    hand back the positive part of their derivative, where what arrives is positive; sigmoid, tanh and all else keep
    their derivative; the largest size over the channels, as in ``Gradient``. It finds edges, whatever the target: see
    Adebayo et al. 2018, arXiv:1810.03292. ``values`` is ``(H, W)`` for images and spatial layers, the input's shape
    without the batch otherwise; never negative.
    """

    title: ClassVar[str] = "Guided Backprop"
    summary: ClassVar[str] = "the gradient through open ReLUs where it is positive; finds edges more than reasons"
    rule: ClassVar[Literal["guided", "deconvnet"]] = "guided"


@dataclass(frozen=True)
class Deconvnet(_Ruled):
    """The gradient, handed back through each ReLU where it is positive, whether the ReLU is open or not.

    Zeiler and Fergus 2014, arXiv:1311.2901, section 2.1, as Springenberg et al. 2015, arXiv:1412.6806, figure 1, write
    it. Deviations: the activation functions that ``GuidedBackprop`` names follow the same rule; the largest size over
    the channels. Shape and sign as ``GuidedBackprop``.
    """

    title: ClassVar[str] = "Deconvnet"
    summary: ClassVar[str] = "the gradient where it is positive, through closed ReLUs too"
    rule: ClassVar[Literal["guided", "deconvnet"]] = "deconvnet"


@dataclass(frozen=True)
class GuidedGradCAM(Explainer):
    """Guided Backprop where Grad-CAM at the last spatial layer says so: their product, at the input's resolution.

    Selvaraju et al. 2017, arXiv:1610.02391, section 3.2. Deviations: those of ``GuidedBackprop``; Grad-CAM is enlarged
    bilinearly. ``values`` is ``(H, W)``, never negative.
    """

    family: ClassVar[str] = "Gradients"
    own_pass: ClassVar[bool] = True
    title: ClassVar[str] = "Guided Grad-CAM"
    summary: ClassVar[str] = "Guided Backprop, where Grad-CAM sees the target"
    input_only: ClassVar[bool] = True

    channels: Literal["max", "mean"] = field(
        default="max", metadata=limits(options=("max", "mean"), help="how the channels of one position are joined")
    )

    def unmet(self, question: Question) -> str:
        try:
            question.trace.default_layer()
        except LayoutError:
            return say("needs maps")
        return super().unmet(question)

    def estimates(self, question: Question) -> Iterator[Estimate]:
        cam = GradCAM()(question.trace, question.target, example=question.example).values  # (H', W')
        (estimate,) = GuidedBackprop(channels=self.channels).estimates(question)
        guided = estimate.values  # (H, W)
        large = F.interpolate(cam[None, None].to(guided), size=guided.shape[-2:], mode="bilinear", align_corners=False)
        yield Estimate(guided * large[0, 0])
