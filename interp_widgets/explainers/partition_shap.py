"""Partition SHAP, by the shap package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.base import Estimate, Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, Baseline, baseline_input
from interp_widgets.explainers.integrated_gradients import value_of
from interp_widgets.trace import Target, Trace

__all__ = ["PartitionSHAP"]

FIRST = 16  # evaluations behind the first picture


@dataclass(frozen=True)
class PartitionSHAP(Explainer):
    """Owen values of the pixels: the image is cut in halves again and again, and each half gets its Shapley value.

    Computed by ``shap.PartitionExplainer`` with its image masker; the package comes with ``pip install
    'interp-widgets[shap]'``. Deviations: a baseline of ours instead of a blur or inpainting; channels are summed. The
    map sums up to the score's change from the baseline. Estimates: a coarse picture first, then the whole. Its first
    use takes seconds, to import the package. ``values`` is ``(H, W)``, positive for evidence for the target; in score
    units.
    """

    title: ClassVar[str] = "Partition SHAP"
    summary: ClassVar[str] = "Owen values: Shapley values of halves of the image, and of their halves"
    family: ClassVar[str] = "Perturbation"
    requires: ClassVar[str] = "shap"
    input_only: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    refines: ClassVar[bool] = True

    samples: int = field(default=200, metadata=limits(4, 20000, help="evaluations of the model"))
    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=limits(0, 2**31 - 1, help="of a baseline of noise, and of ties"))

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[Estimate]:
        import shap  # noqa: PLC0415 - an optional dependency, and slow to import

        image = value_of(trace, layer, example)
        if image.ndim != 3 or not trace.is_spatial(layer):
            raise LayoutError(f"{self.title} explains images: {layer!r} with shape {tuple(image.shape)} is none")
        cover = baseline_input(trace, layer, self.baseline, example, self.seed)

        def scores(images: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
            batch = torch.from_numpy(np.moveaxis(images, -1, 1).copy()).to(image)
            found = [
                trace.probe(layer, batch[list(part)], target, example=example).scores
                for part in trace.batches(len(batch))
            ]
            return torch.cat(found).double().cpu().numpy()

        masker = shap.maskers.Image(_last(cover))
        explainer = shap.PartitionExplainer(scores, masker)
        for count in sorted({min(FIRST, self.samples), self.samples}):
            with _ties(self.seed):
                found = explainer(_last(image)[None], max_evals=count, batch_size=16, silent=True).values
            values = torch.from_numpy(np.ascontiguousarray(found[0])).to(image)
            yield Estimate(values.reshape(*image.shape[1:], -1).sum(dim=-1), count, self.samples)


@contextmanager
def _ties(seed: int) -> Iterator[None]:
    """The global generator of numpy, by which shap breaks ties, is seeded and put back."""
    before = np.random.get_state()  # noqa: NPY002 - the one that shap uses
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _last(image: torch.Tensor) -> NDArray[np.float64]:
    """``(C, H, W)`` with the channels last."""
    return image.double().cpu().permute(1, 2, 0).numpy().copy()
