"""A heading above a part of the screen."""

from __future__ import annotations

import ipywidgets as widgets

__all__ = ["heading"]


def heading(text: str) -> widgets.Label:
    """Plain text in semibold."""
    style = {"font_weight": "600", "font_size": "13px"}
    return widgets.Label(text, style=style, layout={"margin": "0 4px", "flex": "0 0 auto"})
