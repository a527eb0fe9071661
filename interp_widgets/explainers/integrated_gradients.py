"""Methods that follow the gradient along a path from a baseline to the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.base import Explainer, as_map, limits, precise, value_of
from interp_widgets.explainers.baselines import BASELINE_LIMITS, NOISE_SEED_LIMITS, Baseline, baseline_value, blurred
from interp_widgets.explainers.estimate import Estimate, completeness_gap, spread
from interp_widgets.trace import Target, Trace

__all__ = ["BlurIG", "IntegratedGradients"]


@dataclass(frozen=True)
class IntegratedGradients(Explainer):
    """The gradient averaged along the straight line from a baseline to the input, times their difference.

    Sundararajan et al. 2017, arXiv:1703.01365, eq. 1. Deviations: the integral by Gauss-Legendre nodes instead of a
    Riemann sum; an image's channels are summed. At a layer, the line goes between the layer's values for the baseline
    and for the input (Captum's LayerIntegratedGradients). Estimates: the nodes that are known so far, their weights
    scaled to one; ``error`` is the completeness gap ``|sum - (F(x) - F(x'))| / |F(x) - F(x')|``. ``values`` is ``(H,
    W)`` for images and spatial layers, the input's shape without the batch otherwise; positive for evidence for the
    target; in score units.
    """

    family: ClassVar[str] = "Paths and noise"
    title: ClassVar[str] = "Integrated Gradients"
    summary: ClassVar[str] = (
        "gradients gathered on the way from a baseline to the input; they sum to the score's change"
    )
    refines: ClassVar[bool] = True
    error_name: ClassVar[str] = "completeness gap"

    steps: int = field(default=32, metadata=limits(2, 1000, help="gradients on the way from the baseline to the input"))
    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=NOISE_SEED_LIMITS)

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[Estimate]:
        end = value_of(trace, layer, example)
        start = baseline_value(trace, layer, self.baseline, example, self.seed).to(end)
        places, weights = np.polynomial.legendre.leggauss(self.steps)
        order = spread(self.steps)
        nodes = torch.from_numpy((places[order] + 1) / 2).to(end)
        shares = torch.from_numpy(weights[order] / 2).to(end)
        change: float | None = None
        total, weight = torch.zeros_like(end), 0.0
        for part in trace.batches(self.steps, gradient=True):
            along = nodes[list(part)].reshape(-1, *[1] * end.ndim)
            found = trace.probe(layer, start + along * (end - start), target, example=example, gradient=True).gradients
            total += torch.einsum("b,b...->...", shares[list(part)], precise(found))
            weight += float(shares[list(part)].sum())
            relevance = (end - start) * total / weight
            if part.start == 0 and part.stop < self.steps:  # the first picture does not wait for how sure it is
                yield Estimate(as_map(trace, layer, relevance), part.stop, self.steps)
                continue
            if change is None:
                ends = trace.probe(layer, torch.stack([start, end]), target, example=example).scores.double()
                change = float(ends[1] - ends[0])
            error = completeness_gap(relevance, change)
            yield Estimate(as_map(trace, layer, relevance), part.stop, self.steps, error, change)


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
    refines: ClassVar[bool] = True
    error_name: ClassVar[str] = "completeness gap"

    steps: int = field(default=32, metadata=limits(2, 1000, help="blurred versions of the input"))
    blur: float = field(default=0.2, metadata=limits(0.01, 1.0, help="widest blur, as a share of the longer side"))

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[Estimate]:
        image = value_of(trace, layer, example)
        if image.ndim != 3 or not trace.is_spatial(layer):
            raise LayoutError(f"Blur IG explains images: {layer!r} with shape {tuple(image.shape)} is none")
        widest = self.blur * max(image.shape[1:])
        last = self.steps - 1
        along = {step: blurred(image, widest * (1 - step / last) ** 2) for step in (0, last)}
        order = [last, 0, *(step for step in spread(self.steps) if 0 < step < last)]
        known: dict[int, tuple[float, torch.Tensor]] = {}
        for part in trace.batches(self.steps, gradient=True):
            steps = [order[place] for place in part]
            along |= {step: blurred(image, widest * (1 - step / last) ** 2) for step in steps if step not in along}
            found = trace.probe(
                layer, torch.stack([along[step] for step in steps]), target, example=example, gradient=True
            )
            known |= dict(zip(steps, zip(found.scores.tolist(), precise(found.gradients), strict=True), strict=True))
            if len(known) == 1:  # the sharp image
                yield Estimate(as_map(trace, layer, known[last][1] * (along[last] - along[0])), part.stop, self.steps)
                continue
            relevance = torch.zeros_like(image)
            for here, there in pairwise(sorted(known)):
                relevance += (known[here][1] + known[there][1]) / 2 * (along[there] - along[here])
            change = known[last][0] - known[0][0]
            error = completeness_gap(relevance, change)
            yield Estimate(as_map(trace, layer, relevance), part.stop, self.steps, error, change)
