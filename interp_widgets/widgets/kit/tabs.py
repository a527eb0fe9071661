"""``Tabs``: a row of titles, one of them chosen; what lies under them is another widget's, linked to ``selected``."""

from __future__ import annotations

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget

__all__ = ["Tabs"]


class Tabs(BrowserWidget):
    """``selected`` is the index of the chosen title; link it with an ``ipywidgets.Stack``'s ``selected_index``.

    >>> Tabs(titles=["Layers", "Graph"]).selected
    0
    """

    _text = module("tabs")

    titles = t.List(t.Unicode(), help="one for each, plain text").tag(sync=True)
    selected = t.Int(0, min=0, help="index of the chosen one").tag(sync=True)
    wide = t.Bool(False, help="what lies under them is as wide as the page").tag(sync=True)
    label = t.Unicode("", help="what is chosen, for screen readers").tag(sync=True)
