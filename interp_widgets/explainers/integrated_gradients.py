"""Methods that follow the gradient along a path from a baseline to the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch

from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, NOISE_SEED_LIMITS, Baseline, blurred
from interp_widgets.explainers.estimate import ErrorKind, Estimate, completeness_gap, spread
from interp_widgets.explainers.joint import Joint
from interp_widgets.explainers.question import Question

__all__ = ["BlurIG", "IntegratedGradients"]


@dataclass(frozen=True)
class IntegratedGradients(Explainer):
    """The gradient averaged along the straight line from a baseline to the input, times their difference.

    Sundararajan et al. 2017, arXiv:1703.01365, eq. 1. Deviations: the integral by Gauss-Legendre nodes instead of a
    Riemann sum; an image's channels are summed. All inputs of floating type move together. At a layer, the line goes
    between the layer's values for the baseline and for the input (Captum's LayerIntegratedGradients). Estimates: the
    nodes that are known so far, their weights scaled to one; ``error`` is the completeness gap
    ``|sum - (F(x) - F(x'))| / |F(x) - F(x')|``. ``values`` is ``(H, W)`` for images and spatial layers, the input's
    shape without the batch otherwise; positive for evidence for the target; in score units.
    """

    family: ClassVar[str] = "Paths and noise"
    title: ClassVar[str] = "Integrated Gradients"
    summary: ClassVar[str] = (
        "gradients gathered on the way from a baseline to the input; they sum to the score's change"
    )
    refines: ClassVar[bool] = True
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.COMPLETENESS_GAP

    steps: int = field(default=32, metadata=limits(2, 1000, help="gradients on the way from the baseline to the input"))
    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=NOISE_SEED_LIMITS)

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        joint = Joint.of(question, self.baseline)
        end = joint.value
        start = joint.baselines(self.baseline, [self.seed])[0].to(end)
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        order = spread(self.steps)
        weights = weights[order] / 2  # of an integral over 0..1
        positions = torch.from_numpy((nodes[order] + 1) / 2).to(end)  # (steps,) along the line
        shares = torch.from_numpy(weights).to(end)
        change: float | None = None
        total = torch.zeros_like(end)
        for part in question.batches(self.steps, gradient=True):
            chosen = slice(part.start, part.stop)
            along = positions[chosen].reshape(-1, *[1] * end.ndim)  # (B, 1, ...)
            gradients = joint.probe(start + along * (end - start), gradient=True).gradients
            total += torch.einsum("b,b...->...", shares[chosen], gradients)
            relevance = (end - start) * total / float(weights[: part.stop].sum())
            if part.start == 0 and part.stop < self.steps:  # the first picture does not wait for how sure it is
                yield joint.estimate(relevance, part.stop, self.steps)
                continue
            if change is None:
                at_start, at_end = joint.probe(torch.stack([start, end])).scores.tolist()
                change = at_end - at_start
            error = completeness_gap(relevance, change)
            yield joint.estimate(relevance, part.stop, self.steps, error, change)


@dataclass(frozen=True)
class BlurIG(Explainer):
    """The gradient gathered while the input, blurred beyond recognition, becomes sharp: no baseline to choose.

    Xu et al. 2020, arXiv:2004.03383, eq. 7, by the trapezium rule over ``steps`` blurs: ``sum of (g_i + g_i+1) / 2
    (x_i+1 - x_i)``. Deviations: the paper's sum takes the gradient at one end of each step; the widths fall to zero
    quadratically, where the paper lets them fall linearly; channels are summed. Estimates: the blurs that are known so
    far. ``error`` is the completeness gap as of ``IntegratedGradients``, with the most blurred input as baseline.
    Images only. ``values`` is ``(H, W)``, positive for evidence for the target; in score units.
    """

    family: ClassVar[str] = "Paths and noise"
    title: ClassVar[str] = "Blur IG"
    summary: ClassVar[str] = "gradients gathered while the blurred input becomes sharp"
    input_only: ClassVar[bool] = True
    images_only: ClassVar[bool] = True
    refines: ClassVar[bool] = True
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.COMPLETENESS_GAP

    steps: int = field(default=32, metadata=limits(2, 1000, help="blurred versions of the input"))
    blur: float = field(default=0.2, metadata=limits(0.01, 1.0, help="widest blur, as a share of the longer side"))

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        image = question.image(self.title)
        widest = self.blur * max(image.shape[1:])
        last = self.steps - 1  # the step at which the image is sharp

        def image_at(step: int) -> torch.Tensor:
            return blurred(image, widest * (1 - step / last) ** 2)

        images = {0: image_at(0), last: image_at(last)}
        between = [step for step in spread(self.steps) if 0 < step < last]
        order = [last, 0, *between]
        scores: dict[int, float] = {}
        gradients: dict[int, torch.Tensor] = {}
        for part in question.batches(self.steps, gradient=True):
            steps = order[part.start : part.stop]
            for step in steps:
                if step not in images:
                    images[step] = image_at(step)
            probe = question.probe(torch.stack([images[step] for step in steps]), gradient=True)
            scores |= dict(zip(steps, probe.scores.tolist(), strict=True))
            gradients |= dict(zip(steps, probe.gradients, strict=True))
            if len(gradients) == 1:  # the sharp image
                relevance = gradients[last] * (images[last] - images[0])
                yield Estimate(question.as_map(relevance), part.stop, self.steps)
                continue
            relevance = torch.zeros_like(image)
            for here, there in pairwise(sorted(gradients)):
                mean = (gradients[here] + gradients[there]) / 2
                relevance += mean * (images[there] - images[here])
            change = scores[last] - scores[0]
            error = completeness_gap(relevance, change)
            yield Estimate(question.as_map(relevance), part.stop, self.steps, error, change)
