"""``CheckBox``: a yes or no with a name and an explanation; ipywidgets' own shows its name as its tooltip."""

from __future__ import annotations

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait

__all__ = ["CheckBox"]


class CheckBox(BrowserWidget):
    """Yes or no.

    >>> CheckBox(label="relu", value=True).value
    True
    """

    _text = module("check_box")

    value = t.Bool(False, help="whether it is checked").tag(sync=True)
    label = t.Unicode(help="what is chosen here; shown, and said by screen readers").tag(sync=True)
    help = help_trait()
