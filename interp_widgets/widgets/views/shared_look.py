"""``SharedLook``: how all maps of a comparison are shown, so that what differs on the screen is the maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import ipywidgets as widgets

from interp_widgets.explainers import Attribution
from interp_widgets.render.look import look_of_all
from interp_widgets.session.turn import TURN
from interp_widgets.widgets.kit.links import BrowserLinks, led_by
from interp_widgets.widgets.kit.look_controls import LookControls
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.views.map import MapView
from interp_widgets.words import say

__all__ = ["SharedLook"]

OWN, ONE = "own", "one"


class SharedLook(widgets.HBox):
    """The scale of the colours, the opacity, and the look of some maps; in the browser without the kernel.

    Each map has its own scale as long as the look ends at a percentile, and all have one when it ends at a value: at
    first that where the colours of the strongest map end.
    """

    def __init__(self, views: Sequence[MapView]) -> None:
        self._views = tuple(views)
        scales = [(say("each map on its own scale"), OWN), (say("all maps on one scale"), ONE)]
        self.scale = Menu(options=scales, value=OWN, label=say("scale of the colours"), layout={"width": "220px"})
        self.opacity = Slider(label=say("opacity"), value=0.6, step=0.01, layout={"width": "200px"})
        self.look = LookControls(layout={"width": "auto", "max_width": "100%"})
        wrapped = {"width": "100%", "flex_flow": "row wrap", "align_items": "flex-start", "grid_gap": "4px 12px"}
        super().__init__([self.scale, self.opacity, self.look], layout=wrapped)
        self.scale.observe(lambda _change: self.dress(), "value")
        self.look.observe(lambda _change: self._follow(), "look")

    def link(self, links: BrowserLinks) -> None:
        """Let every picture follow the opacity and the look."""
        for view in self._views:
            links.one_way((self.opacity, "value"), (view.picture, "opacity"))
            links.one_way((self.look, "look"), (view.picture, "look"))

    def dress(self) -> None:
        """Show the maps that are there as the controls say; what is usual depends on which maps there are."""
        with TURN:
            maps = self._maps()
            if maps:
                self._dress(maps)

    def _maps(self) -> list[Attribution]:
        return [view.found for view in self._views if view.found is not None]

    def _dress(self, maps: Sequence[Attribution]) -> None:
        usual = look_of_all(found.look for found in maps)
        reach = max(found.display(usual).high for found in maps)
        is_shared = self.scale.value == ONE
        if is_shared and reach > 0:
            usual = replace(usual, limit=reach)
        self.look.offer_anew(usual, reach)
        if is_shared != (self.look.look.limit is not None):  # another scale was chosen
            self.look.look = replace(self.look.look, limit=usual.limit)
        self._show(maps, is_shared=is_shared)

    def _follow(self) -> None:
        """A look that was chosen says which scale there is."""
        with TURN, led_by(self.look, "look"):
            self.scale.value = OWN if self.look.look.limit is None else ONE
            self._show(self._maps(), is_shared=self.scale.value == ONE)

    def _show(self, maps: Sequence[Attribution], *, is_shared: bool) -> None:
        has_signs = any(found.signed or found.array.min() < 0 for found in maps)
        for view in self._views:
            if view.found is not None:
                view.dress(self.look.look, signed=has_signs if is_shared else view.found.signed)
