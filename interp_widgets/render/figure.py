"""Still pictures with matplotlib, without pyplot: nothing global, nothing that piles up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.render.colours import colour_limits
from interp_widgets.render.fonts import families
from interp_widgets.words import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["attribution_figure", "bars_figure"]

MOST_BARS = 20
FOR, AGAINST = "#2171b5", "#e6820e"  # told apart by everybody, and by the side of the axis


def attribution_figure(
    values: NDArray[np.float32], picture: NDArray[np.uint8] | None, *, signed: bool, colormap: str, title: str
) -> Figure:
    """Input, map and overlay side by side, the map with its colour bar.

    Args:
        values: ``(H', W')``.
        picture: ``(H, W, 3)`` uint8, or ``None``: then the map stands alone.
    """
    from interp_widgets.render.still import StillFigure  # noqa: PLC0415 - slow to import, only when drawn

    fonts = families()
    low, high = colour_limits(values, signed=signed)
    high = high if high > low else low + 1.0  # a map of zeros
    figure = StillFigure(9 if picture is not None else 3.6, 3.4)
    panels: list[Axes] = list(figure.subplots(1, 1 if picture is None else 3, squeeze=False)[0])
    for panel in panels:
        panel.set_axis_off()
    height, width = values.shape if picture is None else picture.shape[:2]
    extent = (0, width, height, 0)
    heat = panels[0 if picture is None else 1]
    image = heat.imshow(values, cmap=colormap, vmin=low, vmax=high, extent=extent, interpolation="bilinear")
    heat.set_title(say("map"), fontsize=9, fontfamily=fonts)
    if picture is not None:
        panels[0].imshow(picture, extent=extent)
        panels[0].set_title(say("input"), fontsize=9, fontfamily=fonts)
        panels[2].imshow(picture, extent=extent)
        panels[2].imshow(values, cmap=colormap, vmin=low, vmax=high, extent=extent, interpolation="bilinear", alpha=0.5)
        panels[2].set_title(say("overlay"), fontsize=9, fontfamily=fonts)
    figure.colorbar(image, ax=heat, shrink=0.8)
    figure.suptitle(title, fontsize=10, fontfamily=fonts, parse_math=False)
    return figure


def bars_figure(values: NDArray[np.float32], names: Sequence[str], *, title: str) -> Figure:
    """A list of values as bars, the largest first, at most 20 of them.

    Args:
        values: ``(F,)``; names: one for each, or none at all.
    """
    from interp_widgets.render.still import StillFigure  # noqa: PLC0415 - slow to import, only when drawn

    fonts = families()
    order = np.argsort(-np.abs(values), kind="stable")[:MOST_BARS]
    shown = [names[i] if names else say("feature {number}", number=i) for i in order]
    figure = StillFigure(6, 1.2 + 0.24 * len(order))
    panel = figure.subplots()
    panel.barh(range(len(order)), values[order], color=[FOR if value >= 0 else AGAINST for value in values[order]])
    panel.set_yticks(range(len(order)), shown, parse_math=False, fontsize=8, fontfamily=fonts)
    panel.invert_yaxis()
    panel.axvline(0, color="black", linewidth=0.8)
    panel.spines[["top", "right", "left"]].set_visible(False)
    left = len(values) - len(order)
    label = say("contribution to the score")
    if left:
        label = say("contribution to the score; {left} smaller ones are not shown", left=left)
    panel.set_xlabel(label, fontsize=8, fontfamily=fonts)
    figure.suptitle(title, fontsize=10, fontfamily=fonts, parse_math=False)
    return figure
