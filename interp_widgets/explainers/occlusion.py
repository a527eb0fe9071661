"""Cover parts of an image and see what the score loses: a sliding patch, and random masks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar

import torch
import torch.nn.functional as F

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.base import Explainer, limits, value_of
from interp_widgets.explainers.baselines import BASELINE_LIMITS, NOISE_SEED_LIMITS, Baseline, baseline_input
from interp_widgets.explainers.estimate import Estimate, relative_error, spread
from interp_widgets.trace import Target, Trace

__all__ = ["RISE", "Occlusion"]


@dataclass(frozen=True)
class _Covering(Explainer):
    """Images whose parts give way to those of a baseline."""

    family: ClassVar[str] = "Perturbation"
    input_only: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    refines: ClassVar[bool] = True

    @property
    def signed(self) -> bool:
        return True

    def image(self, trace: Trace, layer: str, example: int) -> torch.Tensor:
        """The image explained, ``(C, H, W)`` or with further axes before the last two."""
        image = value_of(trace, layer, example)
        if image.ndim < 3 or not trace.is_spatial(layer):
            raise LayoutError(
                f"{self.title} explains images: {layer!r} with shape {tuple(image.shape)} is none. Feature Ablation "
                "does the same for single features"
            )
        return image


@dataclass(frozen=True)
class Occlusion(_Covering):
    """What the score loses when a square of the image is covered, for each place of the square.

    Zeiler and Fergus 2014, arXiv:1311.2901, section 4.2. Deviations: the covering is a baseline instead of grey; a
    pixel has the mean over the squares that cover it (as in Captum), the last ones of a row or column are cut at the
    edge. Estimates: the squares so far, spread over the image. ``values`` is ``(H, W)``, positive where the image
    speaks for the target; in score units.
    """

    title: ClassVar[str] = "Occlusion"
    summary: ClassVar[str] = "what the score loses when a square of the image is covered"

    patch: float = field(
        default=0.15, metadata=limits(0.01, 1.0, help="side of the square, as a share of the image's shorter side")
    )
    stride: float = field(default=0.5, metadata=limits(0.05, 1.0, help="from square to square, as a share of its side"))
    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=NOISE_SEED_LIMITS)

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[Estimate]:
        image = self.image(trace, layer, example)
        cover = baseline_input(trace, layer, self.baseline, example, self.seed)
        height, width = image.shape[-2:]
        side = max(1, round(self.patch * min(height, width)))
        step = max(1, round(self.stride * side))
        places = [
            (slice(top, top + side), slice(left, left + side))
            for top, left in product(_starts(height, side, step), _starts(width, side, step))
        ]
        order = spread(len(places))
        whole = trace.probe(layer, image[None], target, example=example).scores
        lost, times = (torch.zeros(height, width, dtype=image.dtype, device=image.device) for _ in range(2))
        for part in trace.batches(len(places)):
            covered = image.repeat(len(part), *[1] * image.ndim)
            for copy, place in zip(covered, part, strict=True):
                copy[..., *places[order[place]]] = cover[..., *places[order[place]]]
            scores = trace.probe(layer, covered, target, example=example).scores
            for place, loss in zip(part, (whole - scores).to(lost), strict=True):
                lost[places[order[place]]] += loss
                times[places[order[place]]] += 1
            yield Estimate(lost / times.clamp(min=1), part.stop, len(places))


@dataclass(frozen=True)
class RISE(_Covering):
    """The mean score over random masks that leave a position uncovered.

    Petsiuk et al. 2018, arXiv:1806.07421, eq. 6, with masks as in section 3.2: ``cells`` times ``cells`` random cells,
    enlarged smoothly and shifted at random. Deviations: the target's score instead of a probability; the mean score is
    taken off first, which changes the map by a constant and takes most of its noise away, so what is left is what a
    position adds to the mean; what is covered is a baseline. ``error`` is the standard error of the map, relative to
    it. ``values`` is ``(H, W)``, positive where seeing the position raises the score; in score units.
    """

    title: ClassVar[str] = "RISE"
    summary: ClassVar[str] = "the mean score over random masks that leave a position uncovered"
    error_name: ClassVar[str] = "standard error"

    samples: int = field(default=500, metadata=limits(2, 20000, help="random masks"))
    cells: int = field(default=7, metadata=limits(2, 32, help="random cells along each side of a mask"))
    share: float = field(default=0.5, metadata=limits(0.05, 0.95, help="of the cells that are left uncovered"))
    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=limits(0, 2**31 - 1, help="of the masks: the same seed, the same map"))

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[Estimate]:
        image = self.image(trace, layer, example)
        cover = baseline_input(trace, layer, self.baseline, example, self.seed)
        generator = torch.Generator().manual_seed(self.seed)
        height, width = image.shape[-2:]
        # sums of mask, score times mask and its squares: enough for the map with any mean score taken off
        masked, scored, squares, mixed, doubled = torch.zeros(5, height, width, dtype=torch.float64)
        total = 0.0
        whole = trace.probe(layer, image[None], target, example=example).scores.double().cpu()
        for part in trace.batches(self.samples):
            masks = torch.stack([self.mask(height, width, generator) for _ in part])
            shown = masks.to(image).reshape(len(part), *[1] * (image.ndim - 2), height, width)
            found = trace.probe(layer, cover + shown * (image - cover), target, example=example).scores
            scores = found.double().cpu() - whole  # small numbers, so that nothing is lost when the mean is taken off
            weight = masks.double()
            total += float(scores.sum())
            masked += weight.sum(dim=0)
            scored += torch.einsum("b,bhw->hw", scores, weight)
            squares += torch.einsum("b,bhw->hw", scores.square(), weight.square())
            mixed += torch.einsum("b,bhw->hw", scores, weight.square())
            doubled += weight.square().sum(dim=0)
            mean, count = total / part.stop, part.stop
            gain = (scored - mean * masked) / self.share
            spread_ = (squares - 2 * mean * mixed + mean**2 * doubled) / self.share**2
            error = relative_error(gain, spread_, count)
            yield Estimate((gain / count).to(image), count, self.samples, error)

    def mask(self, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
        """One random mask in 0..1, ``(H, W)``."""
        cells = (torch.rand(1, 1, self.cells, self.cells, generator=generator) < self.share).float()
        tall, wide = math.ceil(height / self.cells), math.ceil(width / self.cells)
        size = ((self.cells + 1) * tall, (self.cells + 1) * wide)
        large = F.interpolate(cells, size=size, mode="bilinear", align_corners=False)[0, 0]
        top, left = (int(torch.randint(limit, (), generator=generator)) for limit in (tall, wide))
        return large[top : top + height, left : left + width]


def _starts(length: int, side: int, step: int) -> range:
    """Where squares begin so that they cover the whole length."""
    return range(0, step * math.ceil(max(0, length - side) / step) + 1, step)
