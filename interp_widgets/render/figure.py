"""Still pictures with matplotlib, without pyplot: nothing global, nothing that piles up."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interp_widgets.render.fonts import families
from interp_widgets.words import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from interp_widgets.render.look import Display
    from interp_widgets.render.still import StillFigure

__all__ = ["Tile", "attribution_figure", "bars_figure", "mosaic_figure", "tiles_figure"]

MOST_BARS = 20
NARROW = 44  # letters in a line below a map that stands alone
FOR, AGAINST = "#2171b5", "#e6820e"  # told apart by everybody, and by the side of the axis


class Tile(NamedTuple):
    """A picture of a grid, ``(H, W, 3)`` uint8, and what stands above it."""

    pixels: NDArray[np.uint8]
    caption: str


def attribution_figure(
    display: Display,
    picture: NDArray[np.uint8] | None,
    overlay: NDArray[np.uint8] | None,
    *,
    colormap: str,
    title: str,
) -> StillFigure:
    """Input, map and overlay side by side, the map with its colour bar; below them what was done to the map.

    Args:
        picture, overlay: ``(H, W, 3)`` uint8, or ``None``: then the map stands alone.
    """
    from interp_widgets.render.still import StillFigure  # noqa: PLC0415 - slow to import, only when drawn

    fonts = families()
    figure = StillFigure(9 if picture is not None else 3.6, 3.6)
    panels: list[Axes] = list(figure.subplots(1, 1 if picture is None else 3, squeeze=False)[0])
    for panel in panels:
        panel.set_axis_off()
    height, width = display.values.shape if picture is None else picture.shape[:2]
    extent = (0, width, height, 0)
    heat = panels[0 if picture is None else 1]
    high = display.high if display.high > display.low else display.low + 1.0  # a map of zeros
    image = heat.imshow(
        display.values, cmap=colormap, vmin=display.low, vmax=high, extent=extent, interpolation="bilinear"
    )
    heat.set_title(say("map"), fontsize=9, fontfamily=fonts)
    if picture is not None and overlay is not None:
        panels[0].imshow(picture, extent=extent)
        panels[0].set_title(say("input"), fontsize=9, fontfamily=fonts)
        panels[2].imshow(overlay, extent=extent)
        panels[2].set_title(say("overlay"), fontsize=9, fontfamily=fonts)
    is_clipped = display.beyond > 0
    ends = ("both" if display.signed else "max") if is_clipped else "neither"
    figure.colorbar(image, ax=heat, shrink=0.8, extend=ends)
    figure.suptitle(title, fontsize=10, fontfamily=fonts, parse_math=False)
    note = display.note if picture is not None else "\n".join(textwrap.wrap(display.note, NARROW))
    figure.supxlabel(note, fontsize=8, fontfamily=fonts, color="dimgray", parse_math=False)
    return figure


def bars_figure(values: NDArray[np.float32], names: Sequence[str], *, title: str, signed: bool = True) -> StillFigure:
    """A list of values as bars, the largest first, at most 20 of them.

    Args:
        values: ``(F,)``; names: one for each, or none at all.
        signed: whether values below zero mean evidence against; else they are sizes, and no contributions.
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
    label = say("contribution to the score") if signed else say("size, without a sign")
    if left:
        label = say("{label}; {left} smaller ones are not shown", label=label, left=left)
    panel.set_xlabel(label, fontsize=8, fontfamily=fonts)
    figure.suptitle(title, fontsize=10, fontfamily=fonts, parse_math=False)
    return figure


def mosaic_figure(
    pixels: NDArray[np.uint8],
    *,
    colormap: str,
    limits: tuple[float, float],
    is_clipped: bool,
    title: str,
) -> StillFigure:
    """A picture that is already in its colours, with the colour bar of these.

    Args:
        pixels: ``(H, W, 4)`` uint8.
        limits: the values of the first and the last colour.
        is_clipped: whether there are values beyond; below, too, where the limits begin below zero.
    """
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415 - slow to import, only when drawn
    from matplotlib.colors import Normalize  # noqa: PLC0415

    from interp_widgets.render.still import StillFigure  # noqa: PLC0415

    figure = StillFigure(6, 5)
    panel = figure.subplots()
    panel.set(xticks=[], yticks=[], facecolor="darkgray")  # seen where the picture is transparent
    panel.imshow(pixels, interpolation="nearest")
    ends = ("both" if limits[0] < 0 else "max") if is_clipped else "neither"
    scale = ScalarMappable(Normalize(*limits), colormap)
    figure.colorbar(scale, ax=panel, shrink=0.8, extend=ends)
    figure.suptitle(title, fontsize=10, fontfamily=families(), parse_math=False)
    return figure


def tiles_figure(rows: Sequence[Sequence[Tile]], names: Sequence[str], *, title: str) -> StillFigure:
    """Rows of pictures, each row with its name at the left.

    Args:
        rows: at least one, all of one length.
        names: one for each row.
    """
    from interp_widgets.render.still import StillFigure  # noqa: PLC0415 - slow to import, only when drawn

    fonts = families()
    columns = len(rows[0])
    figure = StillFigure(0.4 + 1.1 * columns, 0.5 + 1.3 * len(rows))
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for row, tiles in enumerate(rows):
        for panel, tile in zip(panels[row], tiles, strict=True):
            panel.set(xticks=[], yticks=[])
            panel.imshow(tile.pixels, interpolation="nearest")
            panel.set_title(tile.caption, fontsize=7, fontfamily=fonts)
        panels[row][0].set_ylabel(names[row], fontsize=8, fontfamily=fonts)
    figure.suptitle(title, fontsize=10, fontfamily=fonts, parse_math=False)
    return figure
