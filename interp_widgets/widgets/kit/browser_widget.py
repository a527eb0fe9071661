"""What every widget of ours that draws itself in the browser has in common."""

from __future__ import annotations

from typing import Any

import anywidget
import ipywidgets as widgets

from interp_widgets.session.turn import TURN
from interp_widgets.widgets.kit.assets import STYLE

__all__ = ["BrowserWidget", "close_whole"]


class BrowserWidget(anywidget.AnyWidget):
    """An anywidget with our style sheet that applies messages from the browser in one turn."""

    _css = STYLE

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Apply what the browser sent."""
        with TURN:
            super().set_state(sync_data)


def close_whole(widget: widgets.Widget) -> None:
    """Close a widget with its children, layout and style, which ``Widget.close`` leaves open."""
    for child in getattr(widget, "children", ()):
        close_whole(child)
    for part in ("layout", "style"):
        inner = getattr(widget, part, None)
        if isinstance(inner, widgets.Widget):
            inner.close()
    widget.close()
