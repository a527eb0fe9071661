"""``Curve``: a function of one number over the histogram of the numbers it was given, drawn by the browser."""

from __future__ import annotations

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget

__all__ = ["Curve"]


class Curve(BrowserWidget):
    """A line through the points ``(x, y)``; behind it bars, each over its range of x.

    >>> Curve(x=[-1, 0, 1], y=[0, 0, 1], counts=[3, 1], edges=[-1, 0, 1], label="relu").counts
    [3, 1]
    """

    _text = module("curve")

    x = t.List(t.Float(), help="ascending").tag(sync=True)
    y = t.List(t.Float(), help="the function there").tag(sync=True)
    counts = t.List(t.Int(), help="heights of the bars").tag(sync=True)
    edges = t.List(t.Float(), help="limits of the bars, one more than there are bars").tag(sync=True)
    label = t.Unicode("", help="caption, plain text").tag(sync=True)
    alt = t.Unicode("", help="text alternative: what is shown").tag(sync=True)
