"""``attempted``: a pass to look at, from what a user has: a trace, a model with inputs, or a model with a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from interp_widgets.errors import InputError
from interp_widgets.inputs.load import load_input, with_batch_axis
from interp_widgets.inputs.usual import usual_preprocess
from interp_widgets.trace import Trace
from interp_widgets.trace.arguments import plain_module, shown
from interp_widgets.trace.recording import Attempt, attempt, check_ready
from interp_widgets.trace.shadow import Shadow
from interp_widgets.words import say

__all__ = ["Attempted", "attempted"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Attempted:
    """A pass as far as it came, and whose.

    Args:
        model: the user's model.
        attempt: the pass; of a twin of the model without values where a shape was given.
        is_computed: whether there were values.
    """

    model: nn.Module
    attempt: Attempt
    is_computed: bool = True


def attempted(model: nn.Module | Trace, inputs: Any, kwargs: Mapping[str, Any] | None = None) -> Attempted:
    """The pass of a trace, which is not run again; else one of the model on the inputs, as far as it comes.

    Args:
        inputs: what ``record`` takes; or a shape such as ``(1, 3, 224, 224)`` or a list of shapes: then a twin of the
            model on the device ``meta`` is run, and nothing is computed.

    Raises:
        ModelError: not a module, or one that cannot be recorded.
        InputError: neither inputs nor shapes.
    """
    if isinstance(model, Trace):
        return Attempted(model.model, Attempt(model.tape, model.calls, model))
    module = plain_module(model)
    shapes = _shapes(inputs)
    if shapes is None:
        given = with_batch_axis(module, load_input(inputs, usual_preprocess(module)))
        return Attempted(module, attempt(module, given, kwargs=kwargs))
    check_ready(module)
    twin = Shadow(module).copy.to("meta")
    kind = next((each.dtype for each in module.parameters() if each.dtype.is_floating_point), torch.float32)
    empty = tuple(torch.empty(shape, dtype=kind, device="meta") for shape in shapes)
    with torch.device("meta"):  # for what the model makes anew, such as a mask
        found = attempt(twin, empty, kwargs=kwargs)
    return Attempted(module, found, is_computed=False)


def _shapes(inputs: Any) -> list[Shape] | None:
    """The shapes that were given in place of inputs."""
    if _is_shape(inputs):
        return [tuple(inputs)]
    if isinstance(inputs, (tuple, list)) and inputs and all(map(_is_shape, inputs)):
        return [tuple(shape) for shape in inputs]
    return None


def _is_shape(value: Any) -> bool:
    if not (isinstance(value, (tuple, list)) and value and all(type(size) is int for size in value)):
        return False
    if min(value) < 0:
        raise InputError(say("a shape must hold sizes of at least 0, got {given}", given=shown(value)))
    return True
