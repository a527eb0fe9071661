"""Where a model computes and in which precision, and inputs that fit there."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import nn

from interp_widgets.trace.values import map_structure

__all__ = ["fitted"]


def fitted(inputs: Any, model: nn.Module) -> Any:
    """Inputs on the model's device and in its floating type; the caller's tensors stay as they are.

    The device is that of the first parameter, or of the first buffer without any, the type that of the first
    floating-point parameter. Whole numbers keep their type, complex ones too; a model without parameters takes all as
    it is given.
    """
    held = next(chain(model.parameters(), model.buffers()), None)
    if held is None:
        return inputs
    kinds = (parameter.dtype for parameter in model.parameters() if parameter.dtype.is_floating_point)
    kind = next(kinds, None)

    def fit(tensor: torch.Tensor) -> torch.Tensor:
        wanted = kind if kind is not None and tensor.dtype.is_floating_point else tensor.dtype
        return tensor.to(device=held.device, dtype=wanted)

    return map_structure(fit, inputs)
