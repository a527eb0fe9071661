"""Numbers to colours: tables that are perceptually uniform and safe for colour-blind people."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.errors import ParameterError
from interp_widgets.render.blend import resample
from interp_widgets.trace.arguments import check_number, is_name_of, shown
from interp_widgets.words import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DIVERGING", "KIND_COLOURS", "SEQUENTIAL", "colour_table", "default_colormap", "paint"]

SEQUENTIAL = ("viridis", "inferno", "magma", "cividis", "gray")
DIVERGING = ("RdBu_r", "PuOr_r", "BrBG")
MAX_PIXELS = 100_000_000
# Okabe and Ito's colours, told apart with every kind of colour vision; mid-tones that stand on light and dark pages.
KIND_COLOURS = {
    "convolution": "#3b8fc4",
    "attention": "#d55e00",
    "linear": "#b0679b",
    "normalisation": "#9aa3ab",
    "activation": "#e0a020",
    "pooling": "#119e77",
    "block": "#6f8fae",
    "other": "#7f8790",
}


def default_colormap(*, signed: bool) -> str:
    """``"RdBu_r"`` around zero for signed values, else ``"viridis"``."""
    return "RdBu_r" if signed else "viridis"


def colour_table(name: str) -> NDArray[np.uint8]:
    """The 256 colours of a matplotlib colour map, ``(256, 3)`` uint8.

    Raises:
        ParameterError: matplotlib has no map of that name.
    """
    from matplotlib import colormaps  # noqa: PLC0415 - a third of a second, only when something is drawn

    if not is_name_of(name, colormaps):
        sentence = say(
            "no colour map is named {name}; use one of {usual} or another of matplotlib's",
            name=shown(name),
            usual=", ".join(SEQUENTIAL + DIVERGING),
        )
        raise ParameterError(sentence)
    return _table(name)


@cache
def _table(name: str) -> NDArray[np.uint8]:
    from matplotlib import colormaps  # noqa: PLC0415

    table = (colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
    table.setflags(write=False)
    return table


def paint(
    values: NDArray[Any],
    size: tuple[int, int],
    table: NDArray[np.uint8],
    limits: tuple[float, float],
    alpha: float | NDArray[np.float64] = 1.0,
) -> NDArray[np.uint8]:
    """A map scaled to ``size`` (bilinear, of the values) and coloured: ``(H, W, 4)`` uint8.

    The same arithmetic as ``render_pixels``, and so as the browser. Where the limits are equal there is nothing to tell
    apart, and the table's first colour is used. ``alpha`` is one opacity, or one for each colour ``(256,)``.

    Raises:
        ParameterError: ``alpha`` outside 0..1; a size that is not two positive whole numbers, or above 100 megapixels.
    """
    if not isinstance(alpha, np.ndarray):
        check_number(alpha, "alpha", 0, 1)
    sides = [int(side) for side in size] if _is_size(size) else [0]
    if min(sides) < 1 or math.prod(sides) > MAX_PIXELS:
        raise ParameterError(
            say(
                "size must be (height, width), each 1 or more, {most:,} pixels at most, got {size}",
                most=MAX_PIXELS,
                size=shown(size),
            )
        )
    height, width = sides
    low, high = limits
    native = np.asarray(values, dtype=np.float64)
    places = (native - low) / (high - low) * 255 if high > low else np.zeros(native.shape)
    rounded = resample(places, height, width) + 0.5
    colours = np.empty((256, 4), dtype=np.uint8)
    colours[:, :3] = table
    colours[:, 3] = np.floor(np.asarray(alpha) * 255 + 0.5)
    words = colours.view(np.uint32)[:, 0]  # (256,): the four bytes of a pixel are copied at once
    # conversion cuts towards zero, which is the floor of whatever is not clipped
    pixels: NDArray[np.uint8] = np.take(words, rounded.astype(np.intp), mode="clip").view(np.uint8)
    return pixels.reshape(height, width, 4)


def _is_size(size: Any) -> bool:
    """Whether it is two whole numbers."""
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        return False
    return all(
        hasattr(side, "__index__") and np.ndim(side) == 0 and not isinstance(side, (bool, type)) for side in size
    )
