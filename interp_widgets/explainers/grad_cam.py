"""Grad-CAM and the methods that weight channels, or positions, by the gradient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from interp_widgets.explainers.base import CAM, limits

__all__ = ["GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "XGradCAM"]

EPSILON = 1e-7  # keeps a division by a sum that may be zero finite; the quotient's numerator is zero there too


@dataclass(frozen=True)
class GradCAM(CAM):
    """Weight each channel by its mean gradient, sum, keep the positive part.

    Selvaraju et al. 2017, arXiv:1610.02391, eq. 1 and 2; no deviation. ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "Grad-CAM"
    summary: ClassVar[str] = "channels weighted by their mean gradient"

    relu: bool = field(default=True, metadata=limits(help="keep only evidence for the target"))

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        weights = gradient.mean(dim=(1, 2))  # (C,)
        cam = torch.einsum("c,chw->hw", weights, activation)
        return cam.relu() if self.relu else cam


@dataclass(frozen=True)
class GradCAMPlusPlus(CAM):
    """Grad-CAM with channel weights that count every occurrence of the object.

    Chattopadhay et al. 2018, arXiv:1710.11063, eq. 19 (the exponential of the score as in the paper: its factor scales the whole
    map and is left out). ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "Grad-CAM++"
    summary: ClassVar[str] = "Grad-CAM that counts several occurrences of the object"

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        total = activation.sum(dim=(1, 2), keepdim=True)
        denominator = 2 * gradient**2 + total * gradient**3
        alpha = torch.where(gradient != 0, gradient**2 / (denominator + 1e-6), 0)  # (C, H', W')
        weights = (alpha * gradient.relu()).sum(dim=(1, 2))
        return torch.einsum("c,chw->hw", weights, activation).relu()


@dataclass(frozen=True)
class XGradCAM(CAM):
    """Grad-CAM whose channel weights are means of the gradient weighted by the activation.

    Fu et al. 2020, arXiv:2008.02312, eq. 8; no deviation. ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "XGrad-CAM"
    summary: ClassVar[str] = "channel weights that keep the score's sum"

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        weights = (gradient * activation).sum(dim=(1, 2)) / (activation.sum(dim=(1, 2)) + EPSILON)
        return torch.einsum("c,chw->hw", weights, activation).relu()


@dataclass(frozen=True)
class HiResCAM(CAM):
    """Gradient times activation at each position, summed over channels: no averaging, so it shows what the model used.

    Draelos and Carin 2020, arXiv:2011.08891, eq. 3, with the positive part as in Grad-CAM. ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "HiRes-CAM"
    summary: ClassVar[str] = "gradient times activation at each position"

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return (gradient * activation).sum(dim=0).relu()


@dataclass(frozen=True)
class LayerCAM(CAM):
    """Each position of each channel weighted by its own positive gradient; sharp at early layers too.

    Jiang et al. 2021, IEEE TIP 30:5875, eq. 5 to 7; no deviation. ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "Layer-CAM"
    summary: ClassVar[str] = "positions weighted by their own positive gradient"

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return (gradient.relu() * activation).sum(dim=0).relu()
