"""``Help``: a button that opens a panel of topics, each a title and a text."""

from __future__ import annotations

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget

__all__ = ["Help"]


class Help(BrowserWidget):
    """A button "?" that opens a dialog. Escape closes it, and the focus returns to where it was; no kernel is needed.

    >>> Help(label="Help", topics=[("Keys", "Arrow keys walk.")]).topics
    [('Keys', 'Arrow keys walk.')]
    """

    _text = module("help")

    label = t.Unicode(help="what the help is about: heading of the panel, and name of the button").tag(sync=True)
    topics = t.List(t.Tuple(t.Unicode(), t.Unicode()), help="title and text of each, shown as plain text").tag(
        sync=True
    )
