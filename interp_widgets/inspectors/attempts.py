"""``attempted``: a pass to look at, from what a user has: a trace, a model with inputs, or a model with a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from interp_widgets.errors import InputError
from interp_widgets.inputs.load import prepared
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
    if inputs is None:
        raise InputError(say("inputs are missing: give what the model takes, or a shape such as (1, 3, 224, 224)"))
    shapes = _shapes(inputs)
    if shapes is None:
        return Attempted(module, attempt(module, prepared(module, inputs), kwargs=kwargs))
    check_ready(module)
    kind = next((each.dtype for each in module.parameters() if each.dtype.is_floating_point), torch.float32)
    found = _planned(module, shapes, kind, kwargs)
    if found.error is not None and isinstance(module.get_submodule(found.failed), (nn.Embedding, nn.EmbeddingBag)):
        found = _planned(module, shapes, torch.int64, kwargs)  # it takes ids
    return Attempted(module, found, is_computed=False)


def _planned(model: nn.Module, shapes: list[Shape], kind: torch.dtype, kwargs: Mapping[str, Any] | None) -> Attempt:
    """A pass of a twin of the model that has shapes and no values."""
    twin = Shadow(model).copy.to("meta")
    with torch.device("meta"):  # for what the model makes anew, such as a mask
        return attempt(twin, tuple(torch.empty(shape, dtype=kind) for shape in shapes), kwargs=kwargs)


def _shapes(inputs: Any) -> list[Shape] | None:
    """The shapes that were given in place of inputs."""
    if _is_shape(inputs):
        return [tuple(inputs)]
    if isinstance(inputs, (tuple, list)) and inputs and all(map(_is_shape, inputs)):
        return [tuple(shape) for shape in inputs]
    return None


def _is_shape(value: Any) -> bool:
    if not (isinstance(value, (tuple, list)) and any(type(size) is int for size in value)):
        return False
    if isinstance(value, list) and all(isinstance(size, (int, float)) for size in value) and float in map(type, value):
        return False  # a row of numbers
    if not all(type(size) is int and size >= 0 for size in value):
        raise InputError(say("a shape must hold whole numbers of at least 0, got {given}", given=shown(value)))
    return True
