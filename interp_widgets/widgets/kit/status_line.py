"""``StatusLine``: what is shown, in words, or what went wrong."""

from __future__ import annotations

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget

__all__ = ["StatusLine"]


class StatusLine(BrowserWidget):
    """A line of plain text that screen readers announce; an error takes its place until it is cleared."""

    _text = module("status_line")

    text = t.Unicode(help="what is shown").tag(sync=True)
    error = t.Unicode(help="what went wrong; empty: nothing").tag(sync=True)
