"""FullGrad: the gradients of the input and of all biases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.base import Explainer, pick
from interp_widgets.propagation.biases import biases
from interp_widgets.trace import Target, Trace

__all__ = ["FullGrad", "full_gradient"]


@dataclass(frozen=True)
class FullGrad(Explainer):
    """Input times gradient, and every bias times its gradient, as maps of the input's size that are added up.

    Srinivas and Fleuret 2019, arXiv:1905.00780, eq. 8 with the post-processing of section 4: the size of each map, each
    layer's maps rescaled to 0..1 together, enlarged bilinearly, summed over channels and layers. The biases include
    those of batch normalisation. Deviations: layers without maps (the head) are left out, as in the authors' code; for
    models with smooth activation functions or layer norms the decomposition is not complete. Before post-processing the
    parts of a ReLU model add up to its score: ``full_gradient``. ``values`` is ``(H, W)``, never negative.
    """

    family: ClassVar[str] = "Gradients"
    own_pass: ClassVar[bool] = True
    title: ClassVar[str] = "FullGrad"
    summary: ClassVar[str] = "input times gradient, and all biases times theirs, added up"
    input_only: ClassVar[bool] = True

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[torch.Tensor]:
        if not trace.is_spatial(layer):
            raise LayoutError(f"FullGrad explains images: {layer!r} is none")
        parts = full_gradient(trace, target, layer, example)
        size = parts[layer].shape[-2:]
        total = torch.zeros(size, dtype=parts[layer].dtype, device=parts[layer].device)
        for part in parts.values():
            if part.ndim == 3:
                strength = part.abs()
                strength = (strength - strength.min()).sum(dim=0) / (strength.max() - strength.min()).clamp(
                    min=torch.finfo(strength.dtype).tiny
                )
                # enlarging is linear: the sum over the channels may come first
                large = F.interpolate(strength[None, None].to(total), size=size, mode="bilinear", align_corners=False)
                total += large[0, 0]
        yield total


def full_gradient(trace: Trace, target: Target, layer: str, example: int = 0) -> dict[str, torch.Tensor]:
    """What the input and each bias contribute to the score (eq. 4 of the paper), by site: maps ``(C, H, W)`` for
    spatial sites, the site's shape without the batch otherwise. Without the input's batch they add up to the score of
    a model of ReLUs, convolutions, linear layers and batch norms.
    """
    constants = {name: bias for name, bias in biases(trace) if trace.site(name).differentiable}
    found = trace.gradients([layer, *constants], target)
    parts = {layer: _maps(trace, layer, trace.activation(layer) * found[0], example)}
    for (name, bias), gradient in zip(constants.items(), found[1:], strict=True):
        axis = trace.channel_axis(name)
        shape = [1] * gradient.ndim
        shape[axis] = -1
        parts[name] = _maps(trace, name, gradient * bias.reshape(shape).to(gradient), example)
    return parts


def _maps(trace: Trace, name: str, values: torch.Tensor, example: int) -> torch.Tensor:
    return pick(trace.maps(name, values) if trace.is_spatial(name) else values, example)
