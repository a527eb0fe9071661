"""A figure of matplotlib that a notebook shows by itself. Slow to import: only what draws does."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["StillFigure"]


class StillFigure(Figure):
    """Drawn without pyplot, so nothing global knows it; the last value of a cell is shown as its picture."""

    def __init__(self, width: float, height: float) -> None:
        """Of this width and height in inches."""
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def png(self) -> bytes:
        """The figure as a PNG file."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()
