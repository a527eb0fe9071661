"""A figure of matplotlib that a notebook shows by itself. Slow to import: only what draws does."""

from __future__ import annotations

import io
import math

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from interp_widgets.render.sheet import printable

__all__ = ["StillFigure"]


class StillFigure(Figure):
    """Drawn without pyplot, so nothing global knows it; the last value of a cell is shown as its picture."""

    def __init__(self, width: float, height: float) -> None:
        """Of this width and height in inches."""
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def png(self, width: int = 0) -> bytes:
        """The figure as a PNG file, at least so many pixels wide."""
        buffer = io.BytesIO()
        resolution = max(self.dpi, math.ceil(width / self.get_figwidth()))
        self.savefig(buffer, format="png", dpi=resolution)
        return buffer.getvalue()

    def svg(self) -> str:
        """The figure as an SVG file, its words as text; the same figure gives the same file."""
        buffer = io.StringIO()
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "interp_widgets"}):
            self.savefig(buffer, format="svg", metadata={"Date": None})
        return printable(buffer.getvalue())

    def _repr_png_(self) -> bytes:
        return self.png()
