"""The picture a ``Picture`` widget draws, computed in numpy: the same arithmetic in the same order, so the same pixels.

The browser does, per pixel and in IEEE doubles (`widgets/picture.js`, ``paint``):

1. the map's value becomes a place on the colour table, ``u = (value - lo) / (hi - lo) * 255``, at native resolution;
2. ``u`` (the value, not a colour) is scaled to the canvas: half-pixel centres, edges clamped (``align_corners=False``),
   rows first, then columns; or the nearest cell is taken;
3. ``table[clamp(floor(u + 0.5), 0, 255)]`` is the colour;
4. ``floor(base * (1 - opacity) + (colour * opacity + 0.5))`` is the pixel.

Both sides use doubles and nothing is fused, so they agree exactly; tests allow 1 for browsers that round differently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.words import say

__all__ = ["color_range", "enlarge", "grid_factor", "render_pixels", "resample"]

PIXELATED_BELOW = 64
"""A base whose longer side is shorter than this is enlarged as blocks: its pixels are what the model saw."""


def resample(values: NDArray[Any], height: int, width: int, *, smooth: bool = True) -> NDArray[np.float64]:
    """``values`` ``(h, w)`` or ``(h, w, k)`` scaled to ``(height, width, ...)`` in float64.

    Bilinear with half-pixel centres and clamped edges (``align_corners=False`` without anti-aliasing), or nearest.
    """
    source = np.asarray(values, dtype=np.float64)
    if source.ndim not in (2, 3) or 0 in source.shape:
        raise InputError(say("a map must have shape (height, width), none of them 0, got {shape}", shape=source.shape))
    if not smooth:
        rows = np.floor(_centres(height) * source.shape[0] / height).astype(np.intp)
        columns = np.floor(_centres(width) * source.shape[1] / width).astype(np.intp)
        nearest: NDArray[np.float64] = source[rows][:, columns]
        return nearest
    lines = _stretched(source, height, axis=0)  # (height, w, ...)
    return _stretched(lines, width, axis=1)  # (height, width, ...)


def render_pixels(
    base: NDArray[np.uint8],
    values: NDArray[Any],
    table: NDArray[np.uint8],
    lo: float,
    hi: float,
    *,
    opacity: float = 1.0,
    smooth: bool = True,
) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8: the map ``values`` coloured over ``lo..hi`` and laid over ``base`` with ``opacity``.

    ``base`` is ``(H, W, 3)`` uint8 and gives the size; ``values`` is ``(h, w)``; ``table`` is ``(256, 3)`` uint8.
    When ``lo == hi`` there is nothing to tell apart and the table's first colour is used.

    Raises:
        InputError: an array has another shape.
        ParameterError: ``opacity`` is outside 0..1.

    >>> grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    >>> render_pixels(np.zeros((1, 2, 3), np.uint8), np.array([[0.0, 1.0]]), grey, 0.0, 1.0)[0, :, 0].tolist()
    [0, 255]
    """
    if base.ndim != 3 or base.shape[2] != 3:
        raise InputError(say("base must have shape (H, W, 3), got {shape}", shape=base.shape))
    if table.shape != (256, 3):
        raise InputError(say("table must have shape (256, 3), got {shape}", shape=table.shape))
    if not 0.0 <= opacity <= 1.0:
        raise ParameterError(say("opacity must be in 0..1, got {opacity}", opacity=opacity))
    span = hi - lo
    native = np.asarray(values, dtype=np.float64)
    places = (native - lo) / span * 255 if span else np.zeros(native.shape)
    scaled = resample(places, base.shape[0], base.shape[1], smooth=smooth)
    colors = table[np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.intp)].astype(np.float64)
    return np.floor(base * (1 - opacity) + (colors * opacity + 0.5)).astype(np.uint8)


def color_range(lo: float, hi: float, *, signed: bool) -> tuple[float, float]:
    """The ends of the colour table for a map with values in ``lo..hi``: symmetric around 0 when ``signed``."""
    if not signed:
        return lo, hi
    most = max(abs(lo), abs(hi))
    return (-most, most) if most else (-1.0, 1.0)


def grid_factor(width: int, height: int, size: int) -> int:
    """By how much an image is enlarged before a map is drawn on it: the first whole number that reaches ``size``."""
    return max(1, -(-size // max(width, height)))


def enlarge(base: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """``base`` ``(H, W, 3)`` enlarged by a whole ``factor``: smoothly, or as blocks when it is very small."""
    smooth = max(base.shape[:2]) >= PIXELATED_BELOW
    scaled = resample(base, base.shape[0] * factor, base.shape[1] * factor, smooth=smooth)
    return np.floor(scaled + 0.5).astype(np.uint8)


def _centres(count: int) -> NDArray[np.float64]:
    return np.arange(count, dtype=np.float64) + 0.5


def _stretched(values: NDArray[np.float64], size: int, axis: int) -> NDArray[np.float64]:
    """Linear interpolation along one axis: ``first + (next - first) * fraction``, the ends repeated."""
    length = values.shape[axis]
    if length == size:
        return values
    positions = np.clip(_centres(size) * length / size - 0.5, 0, length - 1)  # (size,)
    first = np.floor(positions).astype(np.intp)
    shape = [1] * values.ndim
    shape[axis] = size
    fractions = (positions - first).reshape(shape)
    following = np.minimum(np.arange(length) + 1, length - 1)
    steps = np.take(values, following, axis=axis) - values  # on the small grid, not once for each pixel
    stretched: NDArray[np.float64] = np.take(steps, first, axis=axis)
    stretched *= fractions
    stretched += np.take(values, first, axis=axis)
    return stretched
