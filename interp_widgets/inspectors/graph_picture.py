"""``pictured``: the boxes and lines of a graph with some of its modules open, as a diagram draws them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from interp_widgets.errors import LayerError
from interp_widgets.inspectors.nesting import Nesting
from interp_widgets.inspectors.nodes import Edge, Node, Scope
from interp_widgets.inspectors.outline import kind_of, times
from interp_widgets.render.colours import KIND_COLOURS
from interp_widgets.render.diagram import Plate
from interp_widgets.trace.arguments import as_list, is_name_of, shown
from interp_widgets.words import say

__all__ = ["checked_scopes", "pictured"]


def pictured(
    nodes: Sequence[Node], edges: Sequence[Edge], scopes: Mapping[str, Scope], opened: Iterable[str] | None
) -> tuple[list[Plate], list[tuple[int, int]]]:
    """Boxes in the order in which they ran, and the places of those that each line joins.

    Args:
        opened: names of the scopes that are open, with those that they are in; ``None`` for whole levels, as many as
            give at most 60 boxes.

    Raises:
        LayerError: a name in ``opened`` that is no scope's.
    """
    nesting = Nesting(nodes, scopes)
    chosen = nesting.first_levels() if opened is None else nesting.around(checked_scopes(opened, scopes))
    drawing = _Drawing(nesting, chosen)
    boxes = {node.name: drawing.add(node) for node in nodes}
    shapes = {node.name: node.shape for node in nodes}
    lines = {}  # each once, with the shape of (the last of) what goes along it
    for edge in edges:
        source, target = boxes[edge.source], boxes[edge.target]
        if source != target:
            lines[source, target] = shapes[edge.source]
    outputs = {source: shape for (source, _), shape in lines.items()}
    plates = [
        replace(plate, note=times(outputs[place])) if plate.role == "closed" and place in outputs else plate
        for place, plate in enumerate(drawing.plates)
    ]
    return plates, list(lines)


def checked_scopes(opened: Iterable[str], scopes: Mapping[str, Scope]) -> list[str]:
    """The names of module calls that somebody gave.

    Raises:
        LayerError: one that no module call has.
    """
    names: list[Any] = as_list(opened)
    for name in names:
        if not is_name_of(name, scopes):
            known = list(scopes)
            listed = ", ".join(known[:4]) + (", ..." if len(known) > 4 else "")
            raise LayerError(
                say(
                    "opened must hold names of module calls of this graph, got {given}; it has {listed} (graph.scopes)",
                    given=shown(name),
                    listed=listed,
                )
            )
    return names


class _Drawing:
    """The boxes so far."""

    def __init__(self, nesting: Nesting, opened: frozenset[str]) -> None:
        self.plates: list[Plate] = []
        self._nesting = nesting
        self._opened = opened
        self._places: dict[str, int] = {}  # of scopes

    def add(self, node: Node) -> int:
        """The place of the box that shows a node: its own, or that of the outermost closed scope around it."""
        parent, outer = -1, None
        for name in self._nesting.frames(node.scope):
            is_open = name in self._opened
            if name not in self._places:
                self._places[name] = len(self.plates)
                self.plates.append(self._scope(self._nesting.scopes[name], parent, outer))
            parent, outer = self._places[name], self._nesting.scopes[name]
            if not is_open:
                return parent
        self.plates.append(self._node(node, parent, outer))
        return len(self.plates) - 1

    def _node(self, node: Node, parent: int, outer: Scope | None) -> Plate:
        name, kind = self._nesting.shown(node)
        size = times(node.shape)
        notes = [name or kind, kind, size]
        if node.parameters:
            notes.append(say("{count:,} parameters", count=node.parameters))
        colour = KIND_COLOURS[kind_of(kind)]
        return Plate(_label(name, kind, outer), size, "  ·  ".join(notes), colour, parent, name=name)

    def _scope(self, scope: Scope, parent: int, outer: Scope | None) -> Plate:
        label = _label(scope.name, scope.kind, outer)
        colour = KIND_COLOURS["attention" if kind_of(scope.kind) == "attention" else "block"]
        role: Literal["open", "closed"] = "open" if scope.name in self._opened else "closed"
        return Plate(label, "", f"{scope.name}  ·  {scope.kind}", colour, parent, role, scope.name)


def _label(name: str, kind: str, outer: Scope | None) -> str:
    """A name within the module that it is shown in, and what it is: ``conv1 · Conv2d``, ``add:1``."""
    starts = ["/"]  # of an operation in the model's own code
    if outer is not None:
        starts = [f"{outer.name}/", f"{outer.path}/", f"{outer.path}."]
    start = next((start for start in starts if name.startswith(start)), "")
    local = name.removeprefix(start)
    return local if local.partition(":")[0] == kind else f"{local} · {kind}"
