"""Grad-CAM and the methods that weight channels, or positions, by the gradient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from interp_widgets.explainers.base import CAM, limits

__all__ = ["GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "XGradCAM"]


@dataclass(frozen=True)
class GradCAM(CAM):
    """Weight each channel by its mean gradient, sum, keep the positive part.

    Selvaraju et al. 2017, arXiv:1610.02391, eq. 1 and 2; no deviation. ``values`` is ``(H', W')``, not negative;
    ``relu=False`` leaves out the last step of eq. 2 and shows evidence against the target too.
    """

    title: ClassVar[str] = "Grad-CAM"
    summary: ClassVar[str] = "channels weighted by their mean gradient"

    relu: bool = field(default=True, metadata=limits(help="keep only evidence for the target"))

    @property
    def signed(self) -> bool:
        return not self.relu

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        weights = gradient.mean(dim=(1, 2))  # (C,)
        cam = torch.einsum("c,chw->hw", weights, activation)
        return cam.relu() if self.relu else cam


@dataclass(frozen=True)
class GradCAMPlusPlus(CAM):
    """Grad-CAM with channel weights that count every occurrence of the object.

    Chattopadhay et al. 2018, arXiv:1710.11063: with ``g`` the gradient of the score and ``a = g^2 / (2 g^2 + sum(A)
    g^3)`` (eq. 19, for ``Y = exp(score)``), the weight of a channel is ``sum(a relu(g))``. Deviations: the factor
    ``exp(score)`` of ``dY/dA``, the same at every position, is left out; the fraction is reduced by ``g^2`` and
    computed as it stands, where pytorch-grad-cam and torch-cam add a constant to the denominator that outweighs small
    gradients; where the denominator is zero it is taken as one, as in the authors' code. ``values`` is ``(H', W')``,
    not negative.
    """

    title: ClassVar[str] = "Grad-CAM++"
    summary: ClassVar[str] = "Grad-CAM that counts several occurrences of the object"

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        denominator = 2 + activation.sum(dim=(1, 2), keepdim=True) * gradient
        alpha = 1 / torch.where(denominator == 0, 1, denominator)  # (C, H', W')
        weights = (alpha * gradient.relu()).sum(dim=(1, 2))  # (C,)
        return torch.einsum("c,chw->hw", weights, activation).relu()


@dataclass(frozen=True)
class XGradCAM(CAM):
    """Grad-CAM whose channel weights are means of the gradient weighted by the activation.

    Fu et al. 2020, arXiv:2008.02312, section 3: the weight of a channel is ``sum(A g) / sum(A)``; no deviation. A
    channel whose activation sums to zero has no such mean and is left out. ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "XGrad-CAM"
    summary: ClassVar[str] = "channel weights that keep the score's sum"

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        total = activation.sum(dim=(1, 2))  # (C,)
        weights = (gradient * activation).sum(dim=(1, 2)) / total
        return torch.einsum("c,chw->hw", torch.where(total == 0, 0, weights), activation).relu()


@dataclass(frozen=True)
class HiResCAM(CAM):
    """Gradient times activation at each position, summed over channels: no averaging, so it shows what the model used.

    Draelos and Carin 2020, arXiv:2011.08891: ``sum over channels of g * A``. Of that the positive part is kept, as in
    Grad-CAM; ``relu=False`` is the definition itself, which sums to the score without its bias when the layer is
    followed by one linear layer. ``values`` is ``(H', W')``, not negative with ``relu``; in score units.
    """

    title: ClassVar[str] = "HiRes-CAM"
    summary: ClassVar[str] = "gradient times activation at each position"

    relu: bool = field(default=True, metadata=limits(help="keep only evidence for the target"))

    @property
    def signed(self) -> bool:
        return not self.relu

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        cam = (gradient * activation).sum(dim=0)
        return cam.relu() if self.relu else cam


@dataclass(frozen=True)
class LayerCAM(CAM):
    """Each position of each channel weighted by its own positive gradient; sharp at early layers too.

    Jiang et al. 2021, IEEE Transactions on Image Processing 30:5875: ``relu(sum over channels of relu(g) A)``; no
    deviation. Not included: the paper's scaling by ``tanh`` when maps of several layers are fused. ``values`` is ``(H',
    W')``, not negative.
    """

    title: ClassVar[str] = "Layer-CAM"
    summary: ClassVar[str] = "positions weighted by their own positive gradient"

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return (gradient.relu() * activation).sum(dim=0).relu()
