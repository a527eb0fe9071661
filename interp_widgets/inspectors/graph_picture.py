"""``pictured``: the boxes and lines of a graph with some of its modules open, as a diagram draws them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from interp_widgets.errors import LayerError
from interp_widgets.inspectors.nodes import Edge, Node, Scope
from interp_widgets.inspectors.outline import kind_of, times
from interp_widgets.render.colours import KIND_COLOURS
from interp_widgets.render.diagram import Plate
from interp_widgets.trace.arguments import as_list, is_name_of, shown
from interp_widgets.words import say

__all__ = ["pictured"]

AT_FIRST = 60  # boxes shown when nobody says which modules are open


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
    nesting = _Nesting(nodes, scopes)
    chosen = nesting.first_levels() if opened is None else nesting.around(_checked(opened, scopes))
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


def _checked(opened: Iterable[str], scopes: Mapping[str, Scope]) -> list[str]:
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


class _Nesting:
    """The scopes that are worth a frame: those with two nodes or more. Any other is as good as the node in it."""

    def __init__(self, nodes: Sequence[Node], scopes: Mapping[str, Scope]) -> None:
        self.scopes = scopes
        self._nodes = nodes
        self._counts = Counter(scope for node in nodes for scope in self._all_around(node.scope))

    def frames(self, scope: str) -> list[str]:
        """A scope and those around it that are worth a frame, the outermost first."""
        return [each for each in self._all_around(scope) if self._counts[each] > 1]

    def is_sole(self, node: Node) -> bool:
        """Whether the node is all that its module does."""
        return self._counts[node.scope] == 1

    def around(self, names: Iterable[str]) -> frozenset[str]:
        """Scopes and those around them."""
        return frozenset(scope for name in names for scope in self.frames(name))

    def first_levels(self) -> frozenset[str]:
        """The scopes of the outer levels, as many levels as give at most 60 boxes; none where even that is more."""
        chains = {node.name: self.frames(node.scope) for node in self._nodes}
        depth = 0
        for deeper in range(1, max(map(len, chains.values()), default=0) + 1):
            boxes = {chain[deeper] if deeper < len(chain) else name for name, chain in chains.items()}
            if len(boxes) > AT_FIRST:
                break
            depth = deeper
        return frozenset(scope for chain in chains.values() for scope in chain[:depth])

    def _all_around(self, scope: str) -> list[str]:
        found = []
        while scope:
            found.append(scope)
            scope = self.scopes[scope].parent
        return found[::-1]


class _Drawing:
    """The boxes so far."""

    def __init__(self, nesting: _Nesting, opened: frozenset[str]) -> None:
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
        name, kind = node.name, node.kind
        if self._nesting.is_sole(node):
            name, kind = node.scope, self._nesting.scopes[node.scope].kind
        size = times(node.shape)
        notes = [name or kind, kind, size]
        if node.parameters:
            notes.append(say("{count:,} parameters", count=node.parameters))
        colour = KIND_COLOURS[kind_of(kind)]
        return Plate(_label(name, kind, outer), size, "  ·  ".join(notes), colour, parent)

    def _scope(self, scope: Scope, parent: int, outer: Scope | None) -> Plate:
        label = _label(scope.name, scope.kind, outer)
        colour = KIND_COLOURS["attention" if kind_of(scope.kind) == "attention" else "block"]
        role: Literal["open", "closed"] = "open" if scope.name in self._opened else "closed"
        return Plate(label, "", f"{scope.name}  ·  {scope.kind}", colour, parent, role)


def _label(name: str, kind: str, outer: Scope | None) -> str:
    """A name within the module that it is shown in, and what it is: ``conv1 · Conv2d``, ``add:1``."""
    starts = ["/"]  # of an operation in the model's own code
    if outer is not None:
        starts = [f"{outer.name}/", f"{outer.path}/", f"{outer.path}."]
    start = next((start for start in starts if name.startswith(start)), "")
    local = name.removeprefix(start)
    return local if local.partition(":")[0] == kind else f"{local} · {kind}"
