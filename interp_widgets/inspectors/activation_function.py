"""Which activation function a layer ends in, and where that is flat."""

from __future__ import annotations

from dataclasses import dataclass

from interp_widgets.trace import Trace
from interp_widgets.trace.values import Operation

__all__ = ["ActivationFunction", "activation_function"]

MARGIN = 0.01  # of the distance between the limits: what is called saturated
DIP = 0.375  # depth of hard-swish below zero, at -1.5


@dataclass(frozen=True)
class ActivationFunction:
    """A function that is flat somewhere.

    Args:
        name: torch's.
        limits: the values that it does not leave, or ends in: none for a ReLU.
        margin: how near to a limit a value is saturated.
        rectifies: whether it is exactly zero for all inputs below some value, so that a unit can be dead.
    """

    name: str
    limits: tuple[float, ...] = ()
    margin: float = 0.0
    rectifies: bool = False


FIXED = {
    "relu": ActivationFunction("relu", rectifies=True),
    "relu6": ActivationFunction("relu6", (0.0, 6.0), 6 * MARGIN, rectifies=True),
    "sigmoid": ActivationFunction("sigmoid", (0.0, 1.0), MARGIN),
    "hardsigmoid": ActivationFunction("hardsigmoid", (0.0, 1.0), MARGIN),
    "tanh": ActivationFunction("tanh", (-1.0, 1.0), 2 * MARGIN),
    "hardswish": ActivationFunction("hardswish", (0.0,), DIP * MARGIN, rectifies=True),
}
CLIPPING = {"hardtanh": ("min_val", "max_val", -1.0, 1.0), "clamp": ("min", "max", None, None)}


def activation_function(trace: Trace, layer: str) -> ActivationFunction | None:
    """The function that made a layer's value, ``None`` where it was another operation.

    What hands a value through (dropout in evaluation mode, a block that ends in a ReLU) counts as what made it.
    ``hardtanh`` and ``clamp`` between 0 and 6 are a ReLU6, as torch itself writes it.
    """
    operation = trace.tape.values[trace.site(layer).index].operation
    if operation is None:
        return None
    name = operation.name.strip("_")  # relu_ writes in place
    if name in CLIPPING:
        return _clipping(name, operation)
    if name == "threshold":
        return FIXED["relu"] if operation.args[1:3] == (0, 0) else None
    return FIXED.get(name)


def _clipping(name: str, operation: Operation) -> ActivationFunction | None:
    low_name, high_name, usual_low, usual_high = CLIPPING[name]
    given = dict(zip((low_name, high_name), operation.args[1:3], strict=False)) | operation.kwargs
    low, high = given.get(low_name, usual_low), given.get(high_name, usual_high)
    if low == 0 and high is None:
        return FIXED["relu"]
    if not (isinstance(low, (int, float)) and isinstance(high, (int, float))):
        return None
    if (low, high) == (0, 6):
        return FIXED["relu6"]
    return ActivationFunction(name, (float(low), float(high)), (high - low) * MARGIN, rectifies=low == 0)
