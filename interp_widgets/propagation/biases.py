"""The constants that a recorded pass added to its values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from interp_widgets.trace.trace import Trace
from interp_widgets.trace.values import Operation, Ref

__all__ = ["biases"]

# Of each operation with a bias: the places of input, weight and bias among its arguments.
BIASED = {
    **dict.fromkeys(
        (
            *("linear", "conv1d", "conv2d", "conv3d"),
            *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        ),
        ("weight", 1, "bias", 2),
    ),
    **dict.fromkeys(("layer_norm", "group_norm"), ("weight", 2, "bias", 3)),
    "batch_norm": ("weight", 3, "bias", 4),
}


def biases(trace: Trace) -> Iterator[tuple[str, torch.Tensor]]:
    """Each site whose operation added a constant per channel, with that constant, ``(C,)``.

    A batch normalisation in evaluation mode adds ``bias - mean * weight / deviation``.
    """
    names = trace.tape.names
    for operation in trace.tape.operations:
        if operation.name in BIASED and operation.outputs[0] in names:
            constant = _bias(trace, operation)
            if constant is not None and bool(constant.any()):
                yield names[operation.outputs[0]], constant


def _bias(trace: Trace, operation: Operation) -> torch.Tensor | None:
    def given(name: str, place: int) -> Any:
        found = operation.args[place] if len(operation.args) > place else operation.kwargs.get(name)
        return trace.tape.value(found.index, name) if isinstance(found, Ref) else found

    weight_name, weight_place, bias_name, bias_place = BIASED[operation.name]
    bias, weight = given(bias_name, bias_place), given(weight_name, weight_place)
    if operation.name != "batch_norm":
        return None if bias is None else bias.detach()
    mean, variance = given("running_mean", 1), given("running_var", 2)
    if mean is None or variance is None or given("training", 5):
        return None if bias is None else bias.detach()
    eps = given("eps", 7)
    shift = mean * (variance + (1e-5 if eps is None else eps)).rsqrt()
    shift = shift if weight is None else shift * weight.detach()
    found: torch.Tensor = -shift if bias is None else bias.detach() - shift
    return found
