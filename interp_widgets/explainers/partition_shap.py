"""Partition SHAP, by the shap package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, Baseline
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question

__all__ = ["PartitionSHAP"]

HALVES = 4  # evaluations behind the first picture
FIRST = 16  # behind shap's first, at least
# By shap, in the order of its search: another number would give another map. How many of them fit into memory is ours.
ASKED_AT_ONCE = 16


@dataclass(frozen=True)
class PartitionSHAP(Explainer):
    """Owen values of the pixels: the image is cut in halves again and again, and each half gets its Shapley value.

    Computed by ``shap.PartitionExplainer`` with its image masker; the package comes with ``pip install
    'interp-widgets[shap]'``. Deviations: a baseline of ours instead of a blur or inpainting; channels are summed. The
    map sums up to the score's change from the baseline. Estimates: two halves first, then ever smaller parts. The first
    use takes seconds, to import the package. ``values`` is ``(H, W)``, positive for evidence for the target; in score
    units.
    """

    title: ClassVar[str] = "Partition SHAP"
    summary: ClassVar[str] = "Owen values: Shapley values of halves of the image, and of their halves"
    family: ClassVar[str] = "Perturbation"
    requires: ClassVar[str] = "shap"
    input_only: ClassVar[bool] = True
    images_only: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    refines: ClassVar[bool] = True

    samples: int = field(default=200, metadata=limits(8, 20000, help="evaluations of the model"))
    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(
        default=0,
        metadata=limits(0, 2**31 - 1, help="of a baseline of noise, and of ties", only_with={"baseline": "noise"}),
    )

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        image = question.image(self.title)
        cover = question.baseline(self.baseline, self.seed)
        scores = _Scores(question, image)
        yield Estimate(_halves(image, cover, scores), HALVES, self.samples)
        import shap  # noqa: PLC0415 - an optional dependency, and slow to import

        explainer = shap.PartitionExplainer(scores.of_channels_last, shap.maskers.Image(_channels_last(cover)))
        for count in _doubling(self.samples):
            with _ties(self.seed):  # so that a longer run begins with what a shorter one has asked
                explanation = explainer(
                    _channels_last(image)[None], max_evals=count, batch_size=ASKED_AT_ONCE, silent=True
                )
            values = torch.from_numpy(np.ascontiguousarray(explanation.values[0])).to(image)  # (H, W, C, outputs)
            yield Estimate(values.reshape(*image.shape[1:], -1).sum(dim=-1), count, self.samples)


class _Scores:
    """The target's score of images in either layout; an image that was asked before is not run again."""

    def __init__(self, question: Question, image: torch.Tensor) -> None:
        self._question = question
        self._image = image
        self._known: dict[bytes, float] = {}

    def of_channels_last(self, images: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The scores ``(B,)`` of images ``(B, H, W, C)``."""
        return np.array(self(torch.from_numpy(np.moveaxis(images, -1, 1).copy()).to(self._image.dtype)))

    def __call__(self, images: torch.Tensor) -> list[float]:
        """The scores of images ``(B, C, H, W)`` on the CPU."""
        keys = [blake2b(image.contiguous().view(torch.uint8).numpy()).digest() for image in images]
        fresh = {key: row for row, key in enumerate(keys) if key not in self._known}
        asked = images[list(fresh.values())]
        scores: list[float] = []
        for part in self._question.batches(len(asked), growing=False):
            batch = asked[part.start : part.stop].to(self._image.device)
            scores += self._question.probe(batch).scores.tolist()
        self._known |= dict(zip(fresh, scores, strict=True))
        return [self._known[key] for key in keys]


def _halves(image: torch.Tensor, cover: torch.Tensor, scores: _Scores) -> torch.Tensor:
    """The Shapley values of the upper and the lower half, spread evenly: the first picture, before shap is there."""
    middle = image.shape[1] // 2
    full, empty = image.cpu(), cover.to(image).cpu()
    top, bottom = empty.clone(), full.clone()
    top[:, :middle] = full[:, :middle]
    bottom[:, :middle] = empty[:, :middle]
    none, upper, lower, both = scores(torch.stack([empty, top, bottom, full]))
    values = image.new_empty(image.shape[1:])  # (H, W)
    values[:middle] = (upper - none + both - lower) / 2 / max(1, values[:middle].numel())
    values[middle:] = (lower - none + both - upper) / 2 / values[middle:].numel()
    return values


def _doubling(most: int) -> list[int]:
    """``most`` and its halves, the smallest first."""
    counts = [most]
    while counts[0] >= 2 * FIRST:
        counts.insert(0, counts[0] // 2)
    return counts


@contextmanager
def _ties(seed: int) -> Iterator[None]:
    """The global generator of numpy, by which shap breaks ties, is seeded and put back."""
    before = np.random.get_state()  # noqa: NPY002 - the one that shap uses
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _channels_last(image: torch.Tensor) -> NDArray[np.float64]:
    """``(C, H, W)`` as ``(H, W, C)``."""
    return image.cpu().double().permute(1, 2, 0).numpy().copy()
