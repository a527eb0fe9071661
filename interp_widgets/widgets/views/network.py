"""``NetworkView``: the model as a strip of blocks, a tree and a depth slider; each chooses the layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from interp_widgets.inspectors.outline import Outline, outline_of, times
from interp_widgets.session.session import Session
from interp_widgets.widgets.kit.layer_tree import LayerTree
from interp_widgets.widgets.kit.links import mirror
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.strip import NetworkStrip
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.words import say

__all__ = ["NetworkState", "NetworkView"]


@dataclass(frozen=True)
class NetworkState:
    """The modules of the network, and the layer looked at; ``row`` is negative for what is no module's output."""

    outline: Outline
    layer: str
    row: int


class NetworkView(SessionView):
    """Choose a layer: a block of the strip, a row of the tree, a step of the depth slider."""

    watches = ("trace", "layer")

    def build(self) -> list[widgets.Widget]:
        """Strip, slider, tree."""
        self.strip = NetworkStrip(width=464, height=80)
        self.depth = Slider(
            label=say("depth"),
            help=say("steps through the layers in the order they are computed"),
            max=0.0,
            layout={"width": "auto"},
        )
        self.tree = LayerTree(
            height=108,
            help=say("the layer chosen here is looked at; left and right arrow keys close and open its parts"),
            layout={"width": "auto"},
        )
        return [self.strip, self.depth, self.tree]

    def bind(self) -> None:
        """Each of the three sets the layer."""
        self.on(self.strip, "selected", self._go_to_layer)
        self.on(self.depth, "value", self._go_to_row)
        self.on(self.tree, "selected", self._go_to_layer)
        self.strip.on_leave(self.depth.take_focus)

    def resolve(self, session: Session) -> NetworkState:
        """The network and the layer."""
        outline = outline_of(session.ready())
        return NetworkState(outline, session.layer, outline.row(session.layer))

    def draw(self, state: NetworkState) -> None:
        """Another network is drawn whole."""
        if self.drawn is None or state.outline is not self.drawn.outline:
            self.depth.max = float(max(0, len(state.outline.rows) - 1))
            self.strip.show(state.outline, state.layer)
            nodes = _nodes(state.outline)
            if self.tree.nodes != nodes:
                self.tree.nodes = nodes

    def place(self, state: NetworkState, last: NetworkState | None) -> None:
        """All three say which layer it is."""
        if state.row >= 0 and (last is None or state.row != last.row):
            mirror(self.depth, "value", state.row)
        self.strip.selected = self.tree.selected = state.layer

    def describe(self, state: NetworkState) -> str:
        """How large the network is, and the layer."""
        known = state.outline.index.get(state.layer)
        chosen = state.layer if known is None else state.outline.modules[known].describe()
        count = len(state.outline.modules)
        return say("The network: {count} modules in execution order; chosen: {chosen}", count=count, chosen=chosen)

    def _go_to_row(self, place: float) -> None:
        outline, row = outline_of(self.session.ready()), int(place)
        if outline.row(self.session.layer) != row and 0 <= row < len(outline.rows):
            self.session.layer = outline.rows[row]

    def _go_to_layer(self, path: str) -> None:
        outline = outline_of(self.session.ready())
        known = outline.index.get(path)
        if known is not None and outline.modules[known].row >= 0:
            self.session.layer = path


def _nodes(outline: Outline) -> list[dict[str, Any]]:
    """The modules as the tree takes them."""
    return [
        {
            "path": module.path,
            "parent": module.parent,
            "name": module.name,
            "kind": module.type,
            "shape": times(module.shape[1:]),
            "parameters": module.parameters,
            "layer": module.row,
        }
        for module in outline.modules
    ]
