"""``Menu``: a drop-down list that keeps its arrow keys in JupyterLab."""

from __future__ import annotations

from typing import Any

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait
from interp_widgets.words import say

__all__ = ["Menu"]


class Menu(BrowserWidget):
    """One of several options, each ``(what is shown, value)``; JupyterLab takes the arrow keys from ipywidgets' own.

    >>> menu = Menu(options=[("Grad-CAM", "GradCAM"), ("Layer-CAM", "LayerCAM")], value="LayerCAM", label="method")
    >>> menu.value
    'LayerCAM'
    """

    _text = module("menu")

    options = t.List(t.Tuple(t.Unicode(), t.Unicode()), help="what is shown, and its value").tag(sync=True)
    value = t.Unicode(help="the chosen value; empty: none of the options").tag(sync=True)
    groups = t.Dict(t.Unicode(), help="the heading of options that stand under one, by value").tag(sync=True)
    unavailable = t.Dict(t.Unicode(), help="why an option cannot be chosen, by value: it is greyed").tag(sync=True)
    label = t.Unicode(help="what is chosen here, for tooltip and screen readers").tag(sync=True)
    help = help_trait()
    meanings = t.Dict(t.Unicode(), help="what an option is, by value: said in place of help").tag(sync=True)

    @t.validate("value")
    def _validate_value(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        known = [option[1] for option in self.options]
        if value and known and value not in known:
            raise t.TraitError(
                say(
                    "{name} must be one of {known}, got {value!r}",
                    name=self.label or "value",
                    known=", ".join(known),
                    value=value,
                )
            )
        return value
