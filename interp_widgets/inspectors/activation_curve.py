"""``activation_curve``: the function that a layer applies to each value, and how its real inputs are distributed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.inspectors.activation_function import activation_function
from interp_widgets.inspectors.histogram import Histogram, histogram_of
from interp_widgets.trace import Trace
from interp_widgets.trace.values import Ref, map_structure

__all__ = ["ActivationCurve", "activation_curve"]

POINTS = 201  # of the curve
BINS = 40
MARGIN = 0.05  # of the inputs' range, shown beyond its ends
ELEMENTWISE = frozenset(
    (
        "celu",
        "clamp",
        "elu",
        "gelu",
        "hardshrink",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "leaky_relu",
        "log_sigmoid",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softshrink",
        "tanh",
        "threshold",
    )
)


@dataclass(frozen=True, eq=False)
class ActivationCurve:
    """A function of one number, over the range of the values that it was given.

    Args:
        name: torch's; a clamp between 0 and 6 is ``relu6``.
        x: ``(points,)`` float32, from a little below the smallest input, or zero, to a little above the largest.
        y: ``(points,)`` float32, the function there, as torch computes it.
        inputs: the values that the layer was given, in all inputs of the trace.
    """

    name: str
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    inputs: Histogram


def activation_curve(trace: Trace, layer: str) -> ActivationCurve | None:
    """The curve of a layer that ends in an activation function; ``None`` where its value is complex, or made otherwise.

    The recorded operation itself is evaluated, with its own parameters, such as the slope of a leaky ReLU.

    Raises:
        LayerError: no such layer was recorded.

    >>> from interp_widgets.trace import record
    >>> trace = record(torch.nn.Sequential(torch.nn.LeakyReLU(0.5)), torch.tensor([[-2.0, 0.0, 2.0]]))
    >>> curve = activation_curve(trace, "0")
    >>> curve.name, [round(float(curve.y[place]), 3) for place in (0, -1)], int(curve.inputs.counts.sum())
    ('leaky_relu', [-1.1, 2.2], 3)
    """
    operation = trace.tape.values[trace.site(layer).index].operation
    if operation is None or len(operation.refs) != 1:
        return None
    name = operation.name.strip("_")  # relu_ writes in place
    if name not in ELEMENTWISE:
        return None
    given = trace.tape.value(operation.refs[0].index, layer)
    if given.is_complex():
        return None
    inputs = histogram_of(given, BINS)
    x = _range(inputs)
    args, kwargs = map_structure(lambda _ref: x, (operation.args, operation.kwargs), kind=Ref)
    with torch.no_grad():
        y: Any = operation.again(args, kwargs)[0]
    known = activation_function(trace, layer)  # a ReLU6 is recorded as a hardtanh
    return ActivationCurve(name if known is None else known.name, x.numpy(), y.numpy(), inputs)


def _range(inputs: Histogram) -> torch.Tensor:
    """Evenly spaced numbers over the inputs and zero, where these functions bend; float32."""
    low, high = min(0.0, float(inputs.edges[0])), max(0.0, float(inputs.edges[-1]))
    margin = MARGIN * (high - low)
    return torch.linspace(low - margin, high + margin, POINTS)
