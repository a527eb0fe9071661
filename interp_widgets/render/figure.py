"""Still pictures with matplotlib, without pyplot: nothing global, nothing that piles up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.render.colours import colour_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["attribution_figure"]


def attribution_figure(
    values: NDArray[np.float32], picture: NDArray[np.uint8] | None, *, signed: bool, colormap: str, title: str
) -> Figure:
    """Input, map and overlay side by side, the map with its colour bar.

    Args:
        values: ``(H', W')``.
        picture: ``(H, W, 3)`` uint8, or ``None``: then the map stands alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import, only when drawn
    from matplotlib.figure import Figure  # noqa: PLC0415

    low, high = colour_limits(values, signed=signed)
    high = high if high > low else low + 1.0  # a map of zeros
    figure = Figure(figsize=(9 if picture is not None else 3.6, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels: list[Axes] = list(figure.subplots(1, 1 if picture is None else 3, squeeze=False)[0])
    for panel in panels:
        panel.set_axis_off()
    height, width = values.shape if picture is None else picture.shape[:2]
    extent = (0, width, height, 0)
    heat = panels[0 if picture is None else 1]
    image = heat.imshow(values, cmap=colormap, vmin=low, vmax=high, extent=extent, interpolation="bilinear")
    heat.set_title("map", fontsize=9)
    if picture is not None:
        panels[0].imshow(picture, extent=extent)
        panels[0].set_title("input", fontsize=9)
        panels[2].imshow(picture, extent=extent)
        panels[2].imshow(values, cmap=colormap, vmin=low, vmax=high, extent=extent, interpolation="bilinear", alpha=0.5)
        panels[2].set_title("overlay", fontsize=9)
    figure.colorbar(image, ax=heat, shrink=0.8)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure
