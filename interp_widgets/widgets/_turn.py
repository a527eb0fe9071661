"""One turn at a time: the kernel's main loop and the worker threads change sessions and widgets under one lock.

traitlets and ipywidgets know nothing of threads: a trait set from one thread while the other holds notifications, or
while a message from the browser is being applied, is mistaken for part of that change. One lock for all sessions, since
sessions can be linked to each other. A worker never holds it while a model runs.
"""

from __future__ import annotations

import threading
from typing import Any

import anywidget
import ipywidgets as widgets

from interp_widgets.widgets._assets import STYLE

__all__ = ["TURN", "BrowserWidget", "close_whole"]

TURN = threading.RLock()


class BrowserWidget(anywidget.AnyWidget):
    """What our anywidgets have in common: the style sheet, and messages from the browser applied in one turn."""

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
