"""FullGrad: the gradients of the input and of all biases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.base import Explainer
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question
from interp_widgets.propagation.biases import biases
from interp_widgets.words import say

__all__ = ["FullGrad", "full_gradient"]


@dataclass(frozen=True)
class FullGrad(Explainer):
    """Input times gradient, and every bias times its gradient, as maps of the input's size that are added up.

    Srinivas and Fleuret 2019, arXiv:1905.00780, eq. 8 with the post-processing of section 4: the size of each map, each
    layer's maps rescaled to 0..1 together, enlarged bilinearly, summed over channels and layers. The biases include
    those of batch normalisation. Deviation: layers without maps (the head) are left out, as in the authors' code.
    Before post-processing (``full_gradient``) the parts add up to the score where all is homogeneous between the
    biases: ReLU, leaky ReLU, PReLU, pooling, sums. They do not where an activation function saturates (ReLU6, hardtanh)
    or is smooth (GELU, SiLU, hardswish, ELU), with gates, attention, layer, group and instance norms, or a parameter
    that the model adds in its own code. ``values`` is ``(H, W)``, never negative.
    """

    family: ClassVar[str] = "Gradients"
    own_pass: ClassVar[bool] = True
    title: ClassVar[str] = "FullGrad"
    summary: ClassVar[str] = "input times gradient, and all biases times theirs, added up"
    input_only: ClassVar[bool] = True
    images_only: ClassVar[bool] = True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        if not question.is_spatial:
            raise LayoutError(say("FullGrad explains images: {layer!r} is none", layer=question.layer))
        parts = full_gradient(question)
        own = parts[question.layer]  # (C, H, W)
        size = own.shape[-2:]
        total = torch.zeros(size, dtype=own.dtype, device=own.device)  # (H, W)
        for part in parts.values():
            if part.ndim == 3:  # a layer with maps
                strength = _rescaled(part.abs()).sum(dim=0)  # (H', W')
                # enlarging is linear, so the sum over the channels may come first
                large = F.interpolate(strength[None, None].to(total), size=size, mode="bilinear", align_corners=False)
                total += large[0, 0]
        yield Estimate(total)


def full_gradient(question: Question) -> dict[str, torch.Tensor]:
    """What the input and each bias contribute to the score, by site (eq. 4 of the paper).

    Maps ``(C, H, W)`` for spatial sites, the site's shape without the batch otherwise. For a batch of one they add up
    to the score of the models that ``FullGrad`` names.
    """
    trace, layer = question.trace, question.layer
    constants = {name: bias for name, bias in biases(trace) if trace.site(name).differentiable}
    at_input, *at_biases = trace.gradients([layer, *constants], question.target)
    parts = {layer: _own_maps(question, trace.activation(layer) * at_input)}
    for (name, bias), gradient in zip(constants.items(), at_biases, strict=True):
        shape = [1] * gradient.ndim
        shape[trace.channel_axis(name)] = -1
        parts[name] = _own_maps(question.at(name), gradient * bias.reshape(shape).to(gradient))
    return parts


def _own_maps(question: Question, values: torch.Tensor) -> torch.Tensor:
    return question.maps_of(values) if question.is_spatial else question.own(values)


def _rescaled(values: torch.Tensor) -> torch.Tensor:
    """To 0..1; zeros where all are the same."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp(min=torch.finfo(values.dtype).tiny)
