"""Gradients by another rule than the derivative's at activation functions.

The rule stands at the nodes of the recorded graph, not at modules, so functional calls and reused modules follow it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch

from interp_widgets.trace.targets import TargetLike, as_target
from interp_widgets.trace.trace import Trace

__all__ = ["ruled_gradient"]

# Autograd's names of activation functions. Smooth ones are treated as the ReLU they stand for.
ACTIVATIONS = frozenset(
    f"{name}Backward"
    for name in (
        *(
            "Relu",
            "Threshold",
            "Hardtanh",
            "LeakyRelu",
            "Elu",
            "Celu",
            "Gelu",
            "Silu",
            "Mish",
            "Softplus",
            "PreluKernel",
        ),
        *("Hardswish", "RreluWithNoise"),
    )
)
Gradients = tuple[Any, ...]


def ruled_gradient(
    trace: Trace, layer: str, target: TargetLike = None, *, rule: Literal["guided", "deconvnet"]
) -> torch.Tensor:
    """The gradient at a layer or site with another rule at each activation function behind it; same shape, detached.

    ``deconvnet`` hands back the positive part of what arrives, whatever the activation's input was; ``guided`` the
    positive part of the derivative, where what arrives is positive.

    Raises:
        As ``Trace.gradient``.
    """
    goal, site = as_target(target, trace), trace.site(layer)
    hook = _guided if rule == "guided" else _deconvnet
    with trace.gradients_of.hooked(goal, _activations, hook):
        return trace.gradients_of.backward(goal, [site])[site.index]


def _guided(given: Gradients, arrived: Gradients) -> Gradients:
    return ((given[0] * (arrived[0] > 0)).clamp(min=0), *given[1:])


def _deconvnet(given: Gradients, arrived: Gradients) -> Gradients:
    return (arrived[0].clamp(min=0), *given[1:])


def _activations(starts: list[Any]) -> Iterator[Any]:
    """The activation functions of the graph that some nodes lead to."""
    return (node for node in _nodes(starts) if node.name().rstrip("0123456789") in ACTIVATIONS)


def _nodes(starts: list[Any]) -> Iterator[Any]:
    """Every node of the graph that these lead to."""
    seen, left = set(starts), list(starts)
    while left:
        node = left.pop()
        yield node
        following = {before for before, _ in node.next_functions if before is not None} - seen
        seen |= following
        left += following
