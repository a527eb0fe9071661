"""What a graph is made of: operations, the tensors between them, module calls."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Edge", "Node", "Scope"]


@dataclass(frozen=True)
class Node:
    """An operation of the pass, an input of the model, or what it returned.

    Args:
        name: of the site of its (first) output, as ``trace.activation`` takes it; ``"output"`` for what was returned.
        scope: name of the module call that it ran in, empty for the model's own code; a key of ``Graph.scopes``.
        kind: the module's class where it is all that the module does, else the operation: ``Conv2d``, ``add``.
        shape: of its (first) output.
        parameters: how many numbers it reads of the model's.
    """

    name: str
    scope: str
    kind: str
    shape: tuple[int, ...]
    parameters: int = 0


@dataclass(frozen=True)
class Edge:
    """A tensor that goes from one node to another; two nodes may have several.

    Args:
        source, target: names of nodes.
        shape: of the tensor as the target reads it.
    """

    source: str
    target: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Scope:
    """A module call with what ran in it.

    Args:
        name: of the call: ``layer1.0``, or ``relu:1`` for the second of several.
        path: of the module.
        parent: name of the call that it ran in; empty for the model's own code.
        kind: the module's class.
    """

    name: str
    path: str
    parent: str
    kind: str
