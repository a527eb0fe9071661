"""Numbers to colours: tables that are perceptually uniform and safe for colour-blind people."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.errors import ParameterError
from interp_widgets.render.blend import resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DIVERGING", "SEQUENTIAL", "colour_limits", "colour_table", "default_colormap", "paint"]

SEQUENTIAL = ("viridis", "inferno", "magma", "cividis", "gray")
DIVERGING = ("RdBu_r", "PuOr_r", "BrBG")


def default_colormap(*, signed: bool) -> str:
    """``"RdBu_r"`` around zero for signed values, else ``"viridis"``."""
    return "RdBu_r" if signed else "viridis"


@cache
def colour_table(name: str) -> NDArray[np.uint8]:
    """The 256 colours of a matplotlib colour map, ``(256, 3)`` uint8.

    Raises:
        ParameterError: matplotlib has no map of that name.
    """
    from matplotlib import colormaps  # noqa: PLC0415 - a third of a second, only when something is drawn

    if name not in colormaps:
        raise ParameterError(f"no colour map is named {name!r}; use one of {', '.join(SEQUENTIAL + DIVERGING)} or another of matplotlib's")
    table = (colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
    table.setflags(write=False)
    return table


def colour_limits(values: NDArray[np.float32], *, signed: bool) -> tuple[float, float]:
    """The values at the two ends of the colour table: symmetric around zero for signed maps, else from zero (or a negative minimum) up."""
    if signed:
        reach = float(np.abs(values).max()) if values.size else 0.0
        return -reach, reach
    return min(0.0, float(values.min())), float(values.max())


def paint(
    values: NDArray[np.float32], size: tuple[int, int], table: NDArray[np.uint8], low: float, high: float, alpha: float = 1.0
) -> NDArray[np.uint8]:
    """A map scaled to ``size`` (bilinear, of the values) and coloured: ``(H, W, 4)`` uint8."""
    if not 0 <= alpha <= 1:
        raise ParameterError(f"alpha must be in 0..1, got {alpha}")
    scaled = resample(values, *size)
    span = high - low
    steps = np.zeros_like(scaled) if span <= 0 else (scaled - low) / span
    index = np.clip(np.round(steps * 255), 0, 255).astype(np.uint8)
    opacity = np.full((*size, 1), round(alpha * 255), dtype=np.uint8)
    return np.concatenate([table[index], opacity], axis=2)
