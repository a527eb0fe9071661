"""``Panels``: several widgets in one place under tabs, one seen at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from interp_widgets.widgets.kit.links import BrowserLinks
from interp_widgets.widgets.kit.tabs import Tabs

__all__ = ["Panels"]


class Panels(widgets.VBox):
    """A row of tabs and below it the chosen panel, which is made when it is first looked at.

    Args:
        panels: makers of the widgets by title, in the order of the tabs; the first is chosen.
        label: what is chosen, for screen readers.
    """

    def __init__(self, panels: Mapping[str, Callable[[], widgets.Widget]], label: str) -> None:
        self._makers = list(panels.values())
        self._made: set[int] = set()
        self._links = BrowserLinks()
        self.tabs = Tabs(titles=list(panels), label=label)
        self.stack = widgets.Stack([widgets.Box() for _ in panels], selected_index=0, layout={"width": "100%"})
        super().__init__([self.tabs, self.stack])
        self.add_class("iw-panels")
        self.tabs.observe(lambda change: self._fill(change["new"]), "selected")
        self.tabs.observe(lambda change: self._widen(is_wide=change["new"]), "wide")
        self._links.one_way((self.tabs, "selected"), (self.stack, "selected_index"))
        self._fill(0)

    def _fill(self, place: int) -> None:
        """Make the panel that is looked at for the first time."""
        if place not in self._made:
            self._made.add(place)
            self.stack.children[place].children = [self._makers[place]()]

    def _widen(self, *, is_wide: bool) -> None:
        """Give the panel a row of its own, or its place in the corner."""
        if is_wide:
            self.add_class("iw-wide")
        else:
            self.remove_class("iw-wide")

    def close(self) -> None:
        """Close the links; the panels are closed by whoever made them, or with this widget's children."""
        self._links.close()
        super().close()
