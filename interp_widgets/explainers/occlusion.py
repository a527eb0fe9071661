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
from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, NOISE_SEED_LIMITS, Baseline
from interp_widgets.explainers.estimate import ErrorKind, Estimate, relative_error, running_sums, spread
from interp_widgets.explainers.question import Question
from interp_widgets.words import say

__all__ = ["RISE", "Occlusion"]


@dataclass(frozen=True)
class _Covering(Explainer):
    """Images whose parts give way to those of a baseline."""

    family: ClassVar[str] = "Perturbation"
    input_only: ClassVar[bool] = True
    images_only: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    refines: ClassVar[bool] = True

    @property
    def signed(self) -> bool:
        return True

    def image(self, question: Question) -> torch.Tensor:
        """The image explained, ``(C, H, W)`` or with further axes before the last two."""
        image = question.value
        if image.ndim < 3 or not question.is_spatial:
            sentence = say(
                "{method} explains images: {layer!r} with shape {shape} is none. "
                "Feature Ablation does the same for single features",
                method=self.title,
                layer=question.layer,
                shape=tuple(image.shape),
            )
            raise LayoutError(sentence)
        return image


@dataclass(frozen=True)
class Occlusion(_Covering):
    """What the score loses when a square of the image is covered, for each position of the square.

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

    def estimates(self, question: Question) -> Iterator[Estimate]:
        image = self.image(question)
        cover = question.baseline(self.baseline, self.seed)
        height, width = image.shape[-2:]
        side = max(1, round(self.patch * min(height, width)))
        step = max(1, round(self.stride * side))
        corners = list(product(_starts(height, side, step), _starts(width, side, step)))
        corners = [corners[number] for number in spread(len(corners))]
        (whole,) = question.probe(image[None]).scores
        lost, times = torch.zeros(2, height, width, dtype=image.dtype, device=image.device)
        for part in question.batches(len(corners)):
            squares = torch.zeros(len(part), height, width, dtype=torch.bool)
            for square, (top, left) in zip(squares, corners[part.start : part.stop], strict=True):
                square[top : top + side, left : left + side] = True
            squares = squares.to(image.device)
            covered = torch.where(_over(image, squares), cover, image)  # (B, C, H, W)
            losses = (whole - question.probe(covered).scores).to(image)  # (B,)
            lost += torch.einsum("b,bhw->hw", losses, squares.to(image))
            times += squares.sum(dim=0)
            yield Estimate(lost / times.clamp(min=1), part.stop, len(corners))


@dataclass(frozen=True)
class RISE(_Covering):
    """The mean score over random masks that leave a position uncovered.

    Petsiuk et al. 2018, arXiv:1806.07421, eq. 6, with masks as in section 3.2: ``cells`` times ``cells`` random cells,
    enlarged smoothly and shifted at random. Deviations: the target's score instead of a probability; the mean score is
    taken off first, which changes the map by a constant and takes most of its noise away, so what is left is what a
    position adds to the mean; what is covered is a baseline. ``error`` is the standard error of the map, relative to
    it: that of a covariance, of scores and masks, by the delta method. ``values`` is ``(H, W)``, positive where seeing
    the position raises the score; in score units.
    """

    title: ClassVar[str] = "RISE"
    summary: ClassVar[str] = "the mean score over random masks that leave a position uncovered"
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.STANDARD_ERROR

    samples: int = field(default=500, metadata=limits(2, 20000, help="random masks"))
    cells: int = field(default=7, metadata=limits(2, 32, help="random cells along each side of a mask"))
    share: float = field(default=0.5, metadata=limits(0.05, 0.95, help="of the cells that are left uncovered"))
    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=limits(0, 2**31 - 1, help="of the masks: the same seed, the same map"))

    def estimates(self, question: Question) -> Iterator[Estimate]:
        image = self.image(question)
        cover = question.baseline(self.baseline, self.seed)
        generator = torch.Generator().manual_seed(self.seed)
        height, width = image.shape[-2:]
        # sums[i, j]: of the score to the power of i times the mask to the power of j
        sums = running_sums(9, (height, width), image).reshape(3, 3, height, width)
        (whole,) = question.probe(image[None]).scores.to(sums.device).double()
        for part in question.batches(self.samples):
            masks = self.masks(height, width, len(part), generator, image)  # (B, H, W)
            shown = cover + _over(image, masks) * (image - cover)  # (B, C, H, W)
            scores = question.probe(shown).scores.to(sums.device).double()
            scores = scores - whole  # small numbers, so that nothing is lost when the mean is taken off
            powers_of_scores = torch.stack([scores**power for power in range(3)])  # (3, B)
            powers_of_masks = torch.stack([masks.to(sums) ** power for power in range(3)])  # (3, B, H, W)
            sums += torch.einsum("ib,jbhw->ijhw", powers_of_scores, powers_of_masks)
            count = part.stop
            gain, squares = _centred_products(sums, count)
            error = relative_error(gain, squares, count)  # the share, the same in both, cancels out
            yield Estimate((gain / count / self.share).to(image), count, self.samples, error)

    def masks(
        self, height: int, width: int, count: int, generator: torch.Generator, like: torch.Tensor
    ) -> torch.Tensor:
        """Random masks in 0..1, ``(count, H, W)``, on the device and in the precision of ``like``."""
        tall, wide = math.ceil(height / self.cells), math.ceil(width / self.cells)  # the size of a cell
        cells, shifts = [], []
        for _ in range(count):  # one by one, so that a mask does not depend on how many are drawn at once
            cells.append(torch.rand(1, self.cells, self.cells, generator=generator) < self.share)
            shifts.append([int(torch.randint(size, (), generator=generator)) for size in (tall, wide)])
        size = ((self.cells + 1) * tall, (self.cells + 1) * wide)
        large = F.interpolate(torch.stack(cells).to(like), size=size, mode="bilinear", align_corners=False)[:, 0]
        cut = [mask[top : top + height, left : left + width] for mask, (top, left) in zip(large, shifts, strict=True)]
        return torch.stack(cut)


def _centred_products(sums: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums ``(H, W)`` of ``(s - mean s) (m - mean m)`` over scores and masks, and of its square.

    Args:
        sums: of ``s^i m^j`` at ``[i, j]``, ``(3, 3, H, W)``.
        count: how many of each.
    """
    score, mask = sums[1, 0] / count, sums[0, 1] / count  # the means
    products = sums[1, 1] - score * sums[0, 1]
    # (s - mean s)^2 first, for each power of the mask, then (m - mean m)^2
    by_mask = [sums[2, power] - 2 * score * sums[1, power] + score.square() * sums[0, power] for power in range(3)]
    squares = by_mask[2] - 2 * mask * by_mask[1] + mask.square() * by_mask[0]
    return products, squares


def _over(image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Masks ``(B, H, W)`` with an axis of one for each further axis of the image: ``(B, 1, H, W)``."""
    return masks.reshape(len(masks), *[1] * (image.ndim - 2), *masks.shape[1:])


def _starts(length: int, side: int, step: int) -> range:
    """Where squares begin so that they cover the whole length."""
    return range(0, step * math.ceil(max(0, length - side) / step) + 1, step)
