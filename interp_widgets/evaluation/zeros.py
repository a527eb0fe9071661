"""Which operation of a model made a gradient, or an activation, zero: found on the tape, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch

from interp_widgets.trace import Target, Trace
from interp_widgets.trace.values import Operation, Ref
from interp_widgets.words import say

__all__ = ["end_of_gradient", "is_zero", "of_first", "origin_of_zeros", "plain_name", "site_of"]

# Flat far from zero; an output at one of its ends is there to be recognised by.
ENDS: Mapping[str, tuple[float, ...]] = {"sigmoid": (0, 1), "expit": (0, 1), "softmax": (0, 1), "tanh": (-1, 1)}
CLAMPS = frozenset(("hardsigmoid", "hardtanh", "clamp", "clip", "clamp_min", "clamp_max"))
RECTIFIERS = frozenset(("relu", "relu6", "threshold"))
ROUNDINGS = frozenset(("round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "floor_divide", "floordiv"))
CUTS = frozenset(("detach", "data"))
PRODUCTS = frozenset(("mul", "multiply", "rmul", "imul", "matmul", "rmatmul", "bmm", "mm"))
# Where the weights stand among the arguments.
WEIGHTS = {"linear": 1, "conv1d": 1, "conv2d": 1, "conv3d": 1, "batch_norm": 3, "layer_norm": 2, "group_norm": 2}


def of_first(trace: Trace, name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor in the shape of a site that belongs to the first input."""
    first = tensor[:1] if trace.has_rows(name) else tensor
    return first.dequantize() if first.is_quantized else first


def is_zero(trace: Trace, name: str) -> bool:
    """Whether all that was recorded at a site for the first input is zero."""
    return not bool(of_first(trace, name, trace.activation(name)).any())


def end_of_gradient(trace: Trace, layer: str, target: Target) -> str:
    """Why no gradient of a score arrives at a layer, in words; empty where the score was not computed from it.

    One backward pass to all values that were computed from the layer tells where the gradient still is. It ends at the
    operations that have it at an output and at none of those values that they read.

    Raises:
        GradientError: the forward switched autograd off on the way.
    """
    reached = _reached(trace, trace.site(layer).index)
    # one backward pass for all of them: asked one by one, each would be a pass of its own
    names = {index: name for index, name in trace.tape.names.items() if index in reached}
    followed = [trace.sites[name] for name in names.values() if trace.sites[name].differentiable]
    gradients = trace.gradients_of.backward(target, followed)
    alive = {index for index, found in gradients.items() if bool(of_first(trace, names[index], found).any())}
    causes = []  # from the score back: several ways may lead from the layer to it
    for operation in reversed(trace.tape.operations):
        read = {ref.index for ref in operation.refs} & reached
        has_gradient = any(index in alive for _, index in trace.tape.made_by(operation))
        if has_gradient and read and alive.isdisjoint(read):
            causes.append(_behind_the_cut(trace, operation, reached))
    # a way that ends for a known reason tells more than one of which nothing is known
    known = (cause for operation in causes if (cause := _cause(trace, operation)))
    return next(known, _unknown_cause(trace, causes[0]) if causes else "")


def _unknown_cause(trace: Trace, operation: Operation) -> str:
    """Where a gradient ends for a reason that is not known."""
    return say(
        "the gradient becomes zero at {site!r} ({operation})",
        site=site_of(trace, operation),
        operation=plain_name(operation),
    )


def origin_of_zeros(trace: Trace, layer: str) -> str:
    """Which operation made all activations of a layer zero for the first input, in words; empty where none is known."""
    index = trace.site(layer).index
    while True:  # back from zeros to the zeros that they were computed from
        operation = trace.tape.values[index].operation
        if operation is None:
            return ""
        if operation.name == "input":
            return say("the input is zero everywhere")
        zeros = [ref.index for ref in operation.refs if _is_zero_value(trace, ref.index)]
        if not zeros:
            return _cause(trace, operation)
        index = zeros[0]


def _is_zero_value(trace: Trace, index: int) -> bool:
    """Whether a value that the model computed, or was given, is zero; a buffer, such as a running mean, may well be."""
    name = trace.tape.names.get(index)
    is_computed = trace.tape.values[index].operation is not None
    return name is not None and is_computed and is_zero(trace, name)


def _reached(trace: Trace, start: int) -> set[int]:
    """The values that were computed from one, itself included."""
    reached = {start}
    for operation in trace.tape.operations:
        if any(ref.index in reached for ref in operation.refs):
            reached.update(index for _, index in trace.tape.made_by(operation))
    return reached


def _behind_the_cut(trace: Trace, operation: Operation, reached: Iterable[int]) -> Operation:
    """The operation that autograd stopped at: this one, or where the values that it reads left the graph."""
    values = trace.tape.values
    while True:
        read = [values[ref.index] for ref in operation.refs if ref.index in reached]
        before = next((value.operation for value in read if value.edge is None), None)
        if before is None:
            return operation
        operation = before


# What an operation did


def _cause(trace: Trace, operation: Operation) -> str:
    """Why nothing comes through an operation, in words; empty where that is not known."""
    return next((words for told in (_cut, _flat, _zero_factor) if (words := told(trace, operation))), "")


def _cut(trace: Trace, operation: Operation) -> str:
    """By its kind: a gradient never comes through."""
    name = plain_name(operation)
    if name in CUTS:
        return say(
            "the model's forward cuts the gradient off at {site!r} by {operation}; {advice}",
            advice=_without_gradient(),
            site=site_of(trace, operation),
            operation=plain_name(operation),
        )
    if name in ROUNDINGS or operation.kwargs.get("rounding_mode") is not None:
        return say(
            "{operation} at {site!r} rounds, so its gradient is zero everywhere; {advice}",
            advice=_without_gradient(),
            site=site_of(trace, operation),
            operation=plain_name(operation),
        )
    outputs = [trace.tape.values[index].dtype for _, index in trace.tape.made_by(operation)]
    if outputs and not any(kind.is_floating_point or kind.is_complex for kind in outputs):
        return say(
            "{operation} at {site!r} gives no floating-point numbers, so no gradient passes; {advice}",
            advice=_without_gradient(),
            site=site_of(trace, operation),
            operation=plain_name(operation),
        )
    return ""


def _without_gradient() -> str:
    return say("a method that needs no gradient, such as Occlusion, sees past it")


def _flat(trace: Trace, operation: Operation) -> str:
    """By the numbers that enter it: its slope is zero there."""
    name = plain_name(operation)
    if not operation.refs or name not in (ENDS.keys() | CLAMPS | RECTIFIERS):
        return ""
    given = _first_values(trace, operation.refs[0].index)
    low, high = float(given.min()), float(given.max())
    if name in RECTIFIERS and high <= 0:
        return say(
            "nothing that enters {operation} at {site!r} is above zero for this input, so nothing passes; {advice}",
            advice=_check_input_and_weights(trace),
            site=site_of(trace, operation),
            operation=plain_name(operation),
        )
    made = next((index for _, index in trace.tape.made_by(operation)), None)
    if name in ENDS and (made is None or not _at_ends(_first_values(trace, made), ENDS[name])):
        return ""
    if name in ("relu", "threshold"):
        return say(
            "what the score depends on of {operation} at {site!r} is not above zero for this input, so nothing passes",
            site=site_of(trace, operation),
            operation=plain_name(operation),
        )
    return say(
        "{operation} at {site!r} is saturated (what enters it: {low:.3g} to {high:.3g}), so its slope is zero; "
        "{advice}",
        advice=_check_input_and_weights(trace),
        low=low,
        high=high,
        site=site_of(trace, operation),
        operation=plain_name(operation),
    )


def _check_input_and_weights(trace: Trace) -> str:
    given = _first_values(trace, trace.site(trace.input_sites[0]).index)
    low, high = float(given.min()), float(given.max())
    return say(
        "check the input's range (it is {low:.3g} to {high:.3g}) and that the trained weights are loaded",
        low=low,
        high=high,
    )


def _at_ends(values: torch.Tensor, ends: tuple[float, ...]) -> bool:
    """Whether all values lie at the ends of a range, to half the digits of single precision."""
    distances = torch.stack([(values.float() - end).abs() for end in ends]).amin(dim=0)
    return float(distances.max()) < math.sqrt(torch.finfo(torch.float32).eps)


def _zero_factor(trace: Trace, operation: Operation) -> str:
    """By what it multiplies with: zeros."""
    name = plain_name(operation)
    if name in WEIGHTS:
        place = WEIGHTS[name]
        weight = operation.kwargs.get("weight", operation.args[place] if len(operation.args) > place else None)
        if _is_all_zero(trace, weight):
            return say(
                "the weights of {operation} at {site!r} are zero, so what enters it changes nothing; "
                "check that the trained weights are loaded",
                site=site_of(trace, operation),
                operation=plain_name(operation),
            )
    if name in PRODUCTS and any(_is_all_zero(trace, factor) for factor in operation.args):
        return say(
            "{operation} at {site!r} multiplies by zero",
            site=site_of(trace, operation),
            operation=plain_name(operation),
        )
    return ""


def _is_all_zero(trace: Trace, factor: object) -> bool:
    if isinstance(factor, Ref):
        return not bool(_first_values(trace, factor.index).any())
    if isinstance(factor, torch.Tensor):
        return not bool(factor.any())
    return isinstance(factor, (int, float)) and factor == 0


def _first_values(trace: Trace, index: int) -> torch.Tensor:
    """A recorded value of the first input; whole where it is a constant of the model, which has no name."""
    name = trace.tape.names.get(index, "")
    value = trace.tape.value(index, name)
    return of_first(trace, name, value) if name else value


def plain_name(operation: Operation) -> str:
    """The name of an operation without what tells variants apart, such as ``__mul__`` or ``special_expit``."""
    return operation.name.strip("_").removeprefix("special_")


def site_of(trace: Trace, operation: Operation) -> str:
    """The name of the first site that an operation made; empty where it made none."""
    made = (index for _, index in trace.tape.made_by(operation))
    return next((trace.tape.names[index] for index in made if index in trace.tape.names), "")
