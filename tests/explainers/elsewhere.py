"""A device for tests on machines without one: its tensors are real, and meet those of the CPU as a GPU's would.

A tensor of the device wraps one of the CPU, and tells torch that it is on ``meta``. Whatever torch does passes through
``Device``, which refuses an operation between a tensor here and one there (but for a single number, as CUDA does), and
writes down what is copied from one to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["NAME", "Device", "Elsewhere", "moved"]

NAME = torch.device("meta")
CPU = torch.device("cpu")
aten = torch.ops.aten
# What gives a number of Python, or copies between devices.
ANSWERS = (aten._local_scalar_dense.default, aten.equal.default)
COPIES = (aten.copy_.default, aten._to_copy.default)


class Elsewhere(torch.Tensor):
    """A tensor of the device: ``inner`` holds its values."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls: type[Self], inner: torch.Tensor) -> Self:
        wrapper: Self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=NAME,
        )
        wrapper.inner = inner
        return wrapper

    def tolist(self) -> Any:
        return self.cpu().tolist()  # torch has none for a tensor of another class

    def __repr__(self, **_options: Any) -> str:
        return f"Elsewhere({self.inner})"

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, _types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(function, args, dict(kwargs or {}), lambda _direction, _count: None)


class Device(TorchDispatchMode):
    """Within it there is the device.

    ``uploads`` and ``downloads`` are how many numbers each copy to it and from it had.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uploads: list[int] = []
        self.downloads: list[int] = []

    def __torch_dispatch__(
        self, function: Any, _types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(function, args, dict(kwargs or {}), self._note)

    def _note(self, direction: str, count: int) -> None:
        getattr(self, direction).append(count)


def _run(function: Any, args: Any, kwargs: dict[str, Any], note: Callable[[str, int], None]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere)]
    is_copy = function in COPIES
    wanted = kwargs.get("device")
    stays = bool(there) if wanted is None else wanted == NAME
    if wanted is not None:
        kwargs["device"] = CPU
    if there and not is_copy and any(tensor.ndim for tensor in here):
        shapes = [tuple(tensor.shape) for tensor in here]
        raise RuntimeError(f"{function}: tensors on two devices; on the CPU are those of shape {shapes}")
    if function is aten._to_copy.default and stays != bool(there):
        note("uploads" if stays else "downloads", tensors[0].numel())
    if function is aten.copy_.default and here and there:
        note("uploads" if isinstance(args[0], Elsewhere) else "downloads", tensors[0].numel())
    plain_args, plain_kwargs = tree_map(_inner, (args, kwargs))
    result = function(*plain_args, **plain_kwargs)
    if function in ANSWERS:
        return result
    if function._schema.name.endswith("_"):
        return args[0]
    return tree_map(_wrapped, result) if stays else result


def _inner(leaf: Any) -> Any:
    return leaf.inner if isinstance(leaf, Elsewhere) else leaf


def _wrapped(leaf: Any) -> Any:
    return Elsewhere(leaf) if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Elsewhere) else leaf


def moved(model: nn.Module) -> nn.Module:
    """The same model with its parameters and buffers on the device."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(Elsewhere(parameter.detach()), requires_grad=parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, Elsewhere(buffer))
    return model
