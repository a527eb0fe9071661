"""A map's values in words: where they are, how much there is of each, how concentrated they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.words import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["evidence", "index", "region", "share_of_half"]


def index(array: NDArray[np.float32], position: int) -> str:
    """A position as its index in a list or matrix of values."""
    place = ", ".join(str(int(part)) for part in np.unravel_index(position, array.shape))
    return say("at index {index} of {shape}", index=place, shape=" x ".join(str(size) for size in array.shape))


def region(array: NDArray[np.float32], position: int) -> str:
    """A position in words: its ninth of the picture, row and column."""
    row, column = (int(part) for part in np.unravel_index(position, array.shape))
    ninths = (
        (say("upper left"), say("upper middle"), say("upper right")),
        (say("left"), say("centre"), say("right")),
        (say("lower left"), say("lower middle"), say("lower right")),
    )
    down = min(2, int((row + 0.5) / array.shape[0] * 3))
    across = min(2, int((column + 0.5) / array.shape[1] * 3))
    return say(
        "in the {region} (row {row} of {rows}, column {column} of {columns})",
        region=ninths[down][across],
        row=row + 1,
        rows=array.shape[0],
        column=column + 1,
        columns=array.shape[1],
    )


def evidence(array: NDArray[np.float32], where: Callable[[NDArray[np.float32], int], str]) -> str:
    """Evidence for and against the target: how much of each, and where each is strongest."""
    highest, lowest = where(array, int(array.argmax())), where(array, int(array.argmin()))
    if array.min() >= 0:
        return say("evidence for the target only, strongest {where}", where=highest)
    if array.max() <= 0:
        return say("evidence against the target only, strongest {where}", where=lowest)
    size = np.abs(array, dtype=np.float64)
    share = float(size[array > 0].sum() / size.sum())
    return say(
        "{share:.0%} of the total is evidence for the target, strongest {highest}; "
        "{rest:.0%} is evidence against it, strongest {lowest}",
        share=share,
        highest=highest,
        rest=1 - share,
        lowest=lowest,
    )


def share_of_half(array: NDArray[np.float32]) -> str:
    """How few of the values, the largest first, make half of the total."""
    sums = np.sort(array, axis=None)[::-1].astype(np.float64).cumsum()
    share = (int(np.searchsorted(sums, sums[-1] / 2)) + 1) / array.size
    return f"{share:.0%}" if share >= 0.01 else say("less than 1%")
