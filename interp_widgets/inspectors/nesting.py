"""``Nesting``: which operations of a graph lie in which modules, and which modules are worth a frame in its picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from interp_widgets.inspectors.nodes import Node, Scope

__all__ = ["Entry", "Nesting"]

AT_FIRST = 60  # boxes shown when nobody says which modules are open


class Entry(NamedTuple):
    """A box that a picture of the graph has when everything around it is open.

    Args:
        name: of a module call, or of a node.
        kind: the module's class, or the operation.
        parent: the place of the entry that it is in, -1 for none.
    """

    name: str
    kind: str
    parent: int


class Nesting:
    """The scopes that are worth a frame: those with two nodes or more. Any other is as good as the node in it."""

    def __init__(self, nodes: Sequence[Node], scopes: Mapping[str, Scope]) -> None:
        self.scopes = scopes
        self._nodes = nodes
        self._counts = Counter(scope for node in nodes for scope in self._all_around(node.scope))

    def frames(self, scope: str) -> list[str]:
        """A scope and those around it that are worth a frame, the outermost first."""
        return [each for each in self._all_around(scope) if self._counts[each] > 1]

    def shown(self, node: Node) -> tuple[str, str]:
        """The name and the kind of a node's box: those of its module where the node is all that the module does."""
        if self._counts[node.scope] != 1:
            return node.name, node.kind
        return node.scope, self.scopes[node.scope].kind

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

    def entries(self) -> list[Entry]:
        """All boxes there can be, in the order in which they ran, a scope before what is in it."""
        found: list[Entry] = []
        places: dict[str, int] = {}
        for node in self._nodes:
            parent = -1
            for frame in self.frames(node.scope):
                if frame not in places:
                    places[frame] = len(found)
                    found.append(Entry(frame, self.scopes[frame].kind, parent))
                parent = places[frame]
            found.append(Entry(*self.shown(node), parent))
        return found

    def entry(self, name: str) -> str:
        """The name of the entry that shows a scope or a node; empty where none does.

        A scope with one node has that node's box; one without any, such as a module that only reshapes, is part of the
        scope around it.
        """
        while name in self.scopes and not self._counts[name]:
            name = self.scopes[name].parent
        if self._counts[name] > 1:
            return name
        inside = (node for node in self._nodes if node.name == name or name in self._all_around(node.scope))
        return next((self.shown(node)[0] for node in inside), "")

    def _all_around(self, scope: str) -> list[str]:
        found = []
        while scope:
            found.append(scope)
            scope = self.scopes[scope].parent
        return found[::-1]
