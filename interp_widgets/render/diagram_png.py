"""``png_of_diagram``: a diagram as a PNG file, by matplotlib."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from interp_widgets.render.diagram import LINE, LINE_WIDTH, ROUND, Caption, Diagram
from interp_widgets.render.fonts import families
from interp_widgets.render.sheet import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["png_of_diagram"]

INCH = 72  # units of a diagram in an inch: one point each
SHARP = 2 * INCH  # dots per inch
MOST_PIXELS, LONGEST = 50_000_000, 65_000  # of a file, and of its longer side; matplotlib draws at most 65,536
LETTERS = 0.92  # matplotlib's own font is wider than those of browsers


def png_of_diagram(diagram: Diagram) -> bytes:
    """A PNG file, two pixels for each unit of the diagram; fewer where the file would be more than 50 megapixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import, only when drawn
    from matplotlib.figure import Figure  # noqa: PLC0415

    width, height = diagram.width / INCH, diagram.height / INCH
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    left, top = diagram.corner
    axes.set_xlim(-left, diagram.width - left)
    axes.set_ylim(diagram.height - top, -top)
    _paint(axes, diagram)
    sharpness = min(SHARP, LONGEST / max(width, height), math.sqrt(MOST_PIXELS / (width * height)))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=sharpness, metadata={"Title": printable(diagram.alt)})
    return buffer.getvalue()


def _paint(axes: Axes, diagram: Diagram) -> None:
    """Draw on axes whose units are those of the diagram's layout."""
    places = range(len(diagram.plates))
    is_open = [plate.role == "open" for plate in diagram.plates]
    left, top = diagram.corner
    for caption in diagram.head:
        _print(axes, caption._replace(x=caption.x - left, y=caption.y - top))
    for place in places:
        if is_open[place]:
            _add_sheets(axes, diagram, place)
    _add_lines(axes, diagram)
    for place in places:
        if not is_open[place]:
            _add_sheets(axes, diagram, place)
        for caption in diagram.captions(place):
            _print(axes, caption)


def _add_lines(axes: Axes, diagram: Diagram) -> None:
    from matplotlib.collections import PolyCollection  # noqa: PLC0415
    from matplotlib.patches import PathPatch  # noqa: PLC0415
    from matplotlib.path import Path  # noqa: PLC0415

    codes = {"M": [Path.MOVETO], "L": [Path.LINETO], "C": [Path.CURVE4] * 3}
    strokes = list(diagram.strokes())
    if not strokes:
        return
    points = [point for _, several in strokes for point in several]
    path = Path(points, [code for letter, _ in strokes for code in codes[letter]])
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=LINE, linewidth=LINE_WIDTH))
    axes.add_collection(PolyCollection(list(diagram.heads()), facecolors=LINE, edgecolors="none"))


def _add_sheets(axes: Axes, diagram: Diagram, place: int) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    fill, stroke = diagram.fill(place), diagram.plates[place].colour
    for x, y, width, height in diagram.sheets(place):
        style = f"round,pad=0,rounding_size={ROUND}"
        axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=fill, edgecolor=stroke))


def _print(axes: Axes, caption: Caption) -> None:
    options: dict[str, Any] = {"color": caption.colour, "fontsize": caption.size * LETTERS}
    options["ha"] = "center" if caption.is_centred else "left"
    if caption.behind:
        options["bbox"] = {"facecolor": caption.behind, "edgecolor": "none", "pad": 1}
    axes.text(caption.x, caption.y, caption.words, fontfamily=families(), parse_math=False, **options)
