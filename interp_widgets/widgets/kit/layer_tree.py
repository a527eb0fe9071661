"""``LayerTree``: the model's modules as a collapsible tree with search, types, output shapes and parameter counts."""

from __future__ import annotations

from typing import Any

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait
from interp_widgets.widgets.kit.tree_nodes import check_nodes

__all__ = ["LayerTree"]

_FIELDS: dict[str, type] = {
    "name": str,
    "kind": str,
    "shape": str,
    "parameters": int,
    "layer": int,
}


class LayerTree(BrowserWidget):
    """A tree of modules; ``selected`` is the path of the chosen layer.

    Each node is a dict: ``path`` (dotted, unique), ``parent`` (index of a node before it, or -1), ``name``, ``kind``
    (the class), ``shape`` (of its output, as text), ``parameters`` (how many), ``layer`` (index into the recorded
    layers, or -1: it can be opened, not selected).

    >>> conv = {
    ...     "path": "conv",
    ...     "parent": -1,
    ...     "name": "conv",
    ...     "kind": "Conv2d",
    ...     "shape": "8, 32, 32",
    ...     "parameters": 224,
    ...     "layer": 0,
    ... }
    >>> LayerTree(nodes=[conv], selected="conv").selected
    'conv'
    """

    _text = module("layer_tree")

    nodes = t.List(t.Dict(), help="the modules, parents before children").tag(sync=True)
    selected = t.Unicode("", help="path of the chosen layer; empty: none").tag(sync=True)
    query = t.Unicode("", help="what is typed into the search field").tag(sync=True)
    open_paths = t.List(t.Unicode(), help="paths of the open modules").tag(sync=True)
    height = t.Int(220, min=44, max=4000, help="CSS pixels of the list, which scrolls inside").tag(sync=True)
    help = help_trait()

    @t.validate("nodes")
    def _validate_nodes(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = proposal["value"]
        check_nodes(nodes, _FIELDS, trait="nodes")
        return nodes
