"""How far several maps of one input agree, compared by the ranks of their positions on one grid.

Two methods may point at the same object, one by signed pixels and the other by a smooth area. So before they are
compared, maps are brought to evidence of one kind, gathered in the cells of the coarsest of them (``on_shared_cells``).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from interp_widgets.errors import InputError
from interp_widgets.words import say

__all__ = ["Evidence", "disagreement", "on_one_grid", "on_shared_cells", "rank_correlations", "ranks"]

MOST_CELLS = 16  # along a side: about the cells of a layer's map; the ranks of single pixels are noise


class Evidence(Enum):
    """Which part of a map is compared."""

    POSITIVE = "positive"
    """What speaks for the target."""

    ABSOLUTE = "absolute"
    """What matters for the score, for the target or against it."""

    @property
    def words(self) -> str:
        """What it is called on the screen."""
        return say("evidence for the target") if self is Evidence.POSITIVE else say("evidence for and against it")


def on_shared_cells(maps: Sequence[ArrayLike], evidence: Evidence = Evidence.POSITIVE) -> NDArray[np.float64]:
    """The evidence of maps ``(h, w)`` in the cells of the coarsest of them, ``(n, H, W)``, at most 16 along a side.

    Each cell has the mean of what lies in it. Wider maps are gathered; nothing is interpolated.

    Raises:
        InputError: no maps, or something else than a map.
    """
    arrays = _checked(maps)
    rows, columns = (min(MOST_CELLS, *(array.shape[axis] for array in arrays)) for axis in (0, 1))
    parts = [np.abs(array) if evidence is Evidence.ABSOLUTE else array.clip(min=0) for array in arrays]
    pooled = [F.adaptive_avg_pool2d(torch.from_numpy(part.copy())[None, None], (rows, columns))[0, 0] for part in parts]
    return torch.stack(pooled).numpy()


def on_one_grid(maps: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Maps ``(h, w)`` of any sizes at the largest height and width among them, ``(n, H, W)``; bilinear.

    Raises:
        InputError: no maps, or something else than a map.
    """
    arrays = _checked(maps)
    size = tuple(max(array.shape[axis] for array in arrays) for axis in (0, 1))
    large = [
        F.interpolate(torch.from_numpy(array.copy())[None, None], size=size, mode="bilinear", align_corners=False)
        for array in arrays
    ]
    return torch.cat(large)[:, 0].numpy()


def _checked(maps: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    """Maps as arrays, at least one."""
    arrays = [np.asarray(each, dtype=np.float64) for each in maps]
    shapes = [array.shape for array in arrays]
    if not arrays:
        raise InputError(say("maps must be arrays of shape (height, width), got none"))
    if any(array.ndim != 2 for array in arrays):
        raise InputError(say("maps must be arrays of shape (height, width), got {shapes}", shapes=shapes))
    return arrays


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """The rank of each value among all, 0 for the smallest and 1 for the largest; equal values share their mean."""
    array = np.asarray(values)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    ranked: NDArray[np.float64] = middle[inverse].reshape(array.shape) / max(1, array.size - 1)
    return ranked


def rank_correlations(maps: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Spearman's rank correlation of each two maps, ``(n, n)`` in -1..1; NaN for a map that is the same everywhere.

    Raises:
        InputError: as ``on_one_grid``.
    """
    rows = np.stack([ranks(each).ravel() for each in on_one_grid(maps)])  # (n, positions)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt((rows**2).sum(axis=1))  # (n,)
    lengths[lengths == 0] = np.nan
    correlations: NDArray[np.float64] = np.clip(rows @ rows.T / np.outer(lengths, lengths), -1.0, 1.0)
    return correlations


def disagreement(maps: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Where maps disagree, ``(H, W)``: the standard deviation of each position's rank over the maps, 0..0.5.

    Raises:
        InputError: as ``on_one_grid``.
    """
    apart: NDArray[np.float64] = np.stack([ranks(each) for each in on_one_grid(maps)]).std(axis=0)
    return apart
