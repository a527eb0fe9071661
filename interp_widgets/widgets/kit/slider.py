"""``Slider``: a native range input with a name, its arrow keys, and its number."""

from __future__ import annotations

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait

__all__ = ["Slider"]


class Slider(BrowserWidget):
    """A number between ``min`` and ``max``. ipywidgets' own sliders have no name that a screen reader could say.

    >>> Slider(label="opacity", value=0.6, max=1.0, step=0.01).value
    0.6
    """

    _text = module("slider")

    value = t.Float(0.0, help="the chosen number").tag(sync=True)
    min = t.Float(0.0, help="the smallest").tag(sync=True)
    max = t.Float(1.0, help="the largest").tag(sync=True)
    step = t.Float(1.0, min=1e-6, help="how far one arrow key goes").tag(sync=True)
    label = t.Unicode(help="what is chosen here; shown, and said by screen readers").tag(sync=True)
    help = help_trait()
    readout = t.Bool(False, help="show the number too").tag(sync=True)

    def take_focus(self) -> None:
        """Move the browser's focus here."""
        self.send({"type": "focus"})
