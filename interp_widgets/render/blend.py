"""The picture a ``Picture`` widget draws, computed in numpy: the same arithmetic in the same order, so the same pixels.

The browser does, per pixel and in IEEE doubles (`widgets/kit/blend.js`, ``paint``):

1. the map's value becomes a place on the colour table, ``u = (value - lo) / (hi - lo) * 255``, at native resolution;
2. ``u`` (the value, not a colour) is scaled to the canvas: half-pixel centres, edges clamped (``align_corners=False``),
   rows first, then columns; or the nearest cell is taken;
3. ``table[clamp(floor(u + 0.5), 0, 255)]`` is the colour;
4. ``floor(base * (1 - opacity) + (colour * opacity + 0.5))`` is the pixel; each colour may have an opacity of its own.

Both sides use doubles and nothing is fused, so they agree exactly; tests allow 1 for browsers that round differently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.words import say

__all__ = ["enlarge", "grid_factor", "lightened", "render_pixels", "resample"]

PIXELATED_BELOW = 64
"""A base whose longer side is shorter than this is enlarged as blocks: its pixels are what the model saw."""


CONTRAST = 0.45
"""Of the light grey photo: black becomes a middle grey, which the near-white of zero does not lighten much."""


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
    opacity: float | NDArray[np.float64] = 1.0,
    smooth: bool = True,
) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8: the map ``values`` coloured over ``lo..hi`` and laid over ``base`` with ``opacity``,
    one number or one for each colour ``(256,)``.

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
    opacities = np.broadcast_to(np.asarray(opacity, dtype=np.float64), (256,))
    if not (opacities.min() >= 0 and opacities.max() <= 1):
        raise ParameterError(say("opacity must be in 0..1, got {opacity}", opacity=opacity))
    span = hi - lo
    native = np.asarray(values, dtype=np.float64)
    places = (native - lo) / span * 255 if span else np.zeros(native.shape)
    scaled = resample(places, base.shape[0], base.shape[1], smooth=smooth)
    indices = np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.intp)  # (H, W)
    mixed = table * opacities[:, None] + 0.5  # (256, 3): each colour's part of a pixel, with the half that rounds
    kept = 1 - opacities  # (256,): the base's share
    return np.floor(base * kept[indices][..., None] + mixed[indices]).astype(np.uint8)


def grid_factor(width: int, height: int, size: int) -> int:
    """By how much an image is enlarged before a map is drawn on it: the first whole number that reaches ``size``."""
    return max(1, -(-size // max(width, height)))


def enlarge(base: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """``base`` ``(H, W, 3)`` enlarged by a whole ``factor``: smoothly, or as blocks when it is very small."""
    smooth = max(base.shape[:2]) >= PIXELATED_BELOW
    scaled = resample(base, base.shape[0] * factor, base.shape[1] * factor, smooth=smooth)
    return np.floor(scaled + 0.5).astype(np.uint8)


def lightened(base: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``base`` ``(H, W, 3)`` in light grey: colours laid over it are told from the picture's own."""
    red, green, blue = np.moveaxis(base.astype(np.float64), -1, 0)
    grey = red * 0.299 + green * 0.587 + blue * 0.114  # luma, ITU-R BT.601
    light = np.floor(255 - (255 - grey) * CONTRAST + 0.5).astype(np.uint8)
    return np.repeat(light[..., None], 3, axis=2)


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
