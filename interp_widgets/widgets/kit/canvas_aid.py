"""``CanvasAid``: what ipycanvas does not give its canvas: a name for screen readers, the Tab key back, its room."""

from __future__ import annotations

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget

__all__ = ["CanvasAid"]


class CanvasAid(BrowserWidget):
    """An invisible neighbour of an ipycanvas, in a box with the class ``iw-strip``."""

    _text = module("canvas_aid")

    label = t.Unicode(help="what the canvas shows").tag(sync=True)
    room = t.Int(0, min=0, max=8192, help="CSS pixels of the box's width, said by the browser; 0: not yet").tag(
        sync=True
    )
