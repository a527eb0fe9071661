"""The maps that a ``Picture`` holds, as they travel: bytes over a range, or float32; ``frames.js`` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.words import say

__all__ = ["Frame", "block", "framed"]

EXACT = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Frame:
    """A map of ``height`` x ``width`` values in ``lo..hi``: float32, or bytes where 0 is ``lo`` and 255 is ``hi``."""

    height: int
    width: int
    lo: float
    hi: float
    data: bytes
    is_exact: bool

    def values(self) -> NDArray[np.float64]:
        """``(height, width)`` float64."""
        if self.is_exact:
            exact = np.frombuffer(self.data, dtype=EXACT).reshape(self.height, self.width)
            return exact.astype(np.float64)
        levels = np.frombuffer(self.data, dtype=np.uint8).reshape(self.height, self.width)
        return self.lo + levels / 255 * (self.hi - self.lo)


def block(frames: Mapping[tuple[int, int], Frame]) -> dict[str, Any]:
    """Some frames as one buffer and the table of what lies where in it."""
    index = []
    start = 0
    for (row, column), frame in frames.items():
        value_bytes = EXACT.itemsize if frame.is_exact else 1
        index.append([row, column, frame.height, frame.width, frame.lo, frame.hi, start, value_bytes])
        start += len(frame.data)
    return {"index": index, "data": b"".join(frame.data for frame in frames.values())}


def framed(
    values: NDArray[Any], ends: tuple[float | None, float | None], *, exact: bool, name: str, limit: int
) -> Frame:
    """A map as it travels, its values in ``ends`` or in its own range; see ``Picture.put``.

    Raises:
        InputError: it is no finite ``(h, w)`` map, or has more than ``limit`` values.
        ParameterError: ends that are no range.
    """
    lo, hi = ends
    if values.ndim != 2 or values.size == 0:
        raise InputError(
            say("{name} must be an array of shape (height, width), got {shape}", name=name, shape=values.shape)
        )
    if values.size > limit:
        raise InputError(
            say("{name} has {count} values, more than byte_limit ({limit})", name=name, count=values.size, limit=limit)
        )
    is_quantised = values.dtype == np.uint8 and lo is not None and hi is not None
    if not is_quantised:
        values = values.astype(np.float64)
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise InputError(
                say(
                    "{name} must be finite, got {bad} NaN or infinite among {count} values",
                    name=name,
                    bad=bad,
                    count=values.size,
                )
            )
    low = float(values.min()) if lo is None else float(lo)
    high = float(values.max()) if hi is None else float(hi)
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ParameterError(
            say("{name} needs finite lo <= hi, got lo={low}, hi={high}", name=name, low=low, high=high)
        )
    height, width = values.shape
    if exact:
        return Frame(height, width, low, high, values.astype(EXACT).tobytes(), is_exact=True)
    # Few digits: they travel as text, and a map has 256 steps.
    low, high = float(f"{low:.6g}"), float(f"{high:.6g}")
    levels = values if is_quantised else _levels(values, low, high)
    return Frame(height, width, low, high, levels.astype(np.uint8).tobytes(), is_exact=False)


def _levels(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Values in 0..255 steps of ``low..high``, rounded; beyond the range its ends."""
    span = high - low
    if not span:
        return np.zeros(values.shape)
    shares = np.clip((values - low) / span, 0, 1)
    levels: NDArray[np.float64] = np.floor(shares * 255 + 0.5)
    return levels
