"""Run the user's model without leaving a mark on it.

``recording_state`` puts the model into the state a recording needs (evaluation mode, frozen parameters, gradients on)
and puts everything back afterwards, also after an exception: training flags, ``requires_grad``, buffers and the
random generators. Parameters are frozen because nothing here ever asks for a parameter's gradient, and autograd then
keeps fewer tensors alive (ViT-B/16: 71 instead of 113 MiB).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointFunction

from interp_widgets.errors import ModelError

__all__ = ["Fingerprint", "as_recorded", "recording_state", "unwrap"]

# Flags of a shared model are switched for the time of a pass, so two passes must not overlap.
LOCK = threading.RLock()


def unwrap(model: nn.Module) -> nn.Module:
    """The plain module inside ``torch.compile`` and ``DataParallel`` wrappers.

    Raises:
        ModelError: not an ``nn.Module``, or a ScriptModule.
    """
    while True:
        if isinstance(model, torch.jit.ScriptModule):
            raise ModelError(
                f"a ScriptModule ({type(model).__name__}) cannot be recorded, its operations are not visible from Python: "
                "give the nn.Module it was scripted or traced from"
            )
        if not isinstance(model, nn.Module):
            raise ModelError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod
        else:
            return model


@contextmanager
def as_recorded(model: nn.Module, *, evaluation: bool = True) -> Iterator[None]:
    """The flags of a recording: every module in evaluation mode, every parameter frozen; put back at the end.

    A backward pass needs it too, because a checkpointed block runs its forward pass again there.
    """
    with LOCK:
        training = [module for module in model.modules() if module.training] if evaluation else []
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        try:
            for module in training:
                module.training = False
            for parameter in learning:
                parameter.requires_grad = False
            yield
        finally:
            for module in training:
                module.training = True
            for parameter in learning:
                parameter.requires_grad = True


@contextmanager
def recording_state(model: nn.Module, devices: set[torch.device], *, evaluation: bool) -> Iterator[None]:
    """Everything a recording needs, and the way back."""
    with ExitStack() as stack:
        stack.enter_context(as_recorded(model, evaluation=evaluation))
        stack.enter_context(_random_state(devices))
        stack.enter_context(_buffers(model))
        stack.enter_context(_without_compilation(model))
        stack.enter_context(_without_reentrant_checkpoints())
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        yield


@contextmanager
def _random_state(devices: set[torch.device]) -> Iterator[None]:
    accelerators = {device for device in devices if device.type not in ("cpu", "meta")}
    kinds = {device.type for device in accelerators}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        for kind in kinds:
            indices = [device.index or 0 for device in accelerators if device.type == kind]
            stack.enter_context(torch.random.fork_rng(devices=indices, device_type=kind))
        yield


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    kept = [
        (module, name, buffer, buffer._version, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and not buffer.is_inference()
    ]
    try:
        yield
    finally:
        for module, name, buffer, version, copy in kept:
            if buffer._version != version:
                with torch.no_grad():
                    buffer.detach().copy_(copy)
            if module._buffers.get(name) is not buffer:
                module._buffers[name] = buffer


@contextmanager
def _without_compilation(model: nn.Module) -> Iterator[None]:
    compiled = any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in model.modules())
    if not compiled:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _without_reentrant_checkpoints() -> Iterator[None]:
    """Let blocks under the older kind of checkpoint run plainly.

    A reentrant checkpoint hides its operations from autograd and refuses ``torch.autograd.grad``; the newer kind needs no help.
    """
    found = CheckpointFunction.__dict__.get("apply")
    CheckpointFunction.apply = staticmethod(lambda function, _preserve, *args: function(*args))
    try:
        yield
    finally:
        if found is None:
            del CheckpointFunction.apply
        else:
            CheckpointFunction.apply = found


class Fingerprint:
    """Which values the parameters and buffers had, told cheaply: by identity, address and version counter."""

    def __init__(self, model: nn.Module) -> None:
        self._marks = {name: _mark(tensor) for name, tensor in _tensors(model)}

    def changed(self, model: nn.Module) -> str | None:
        """The name of the first parameter or buffer that is no longer what it was, or ``None``."""
        now = {name: _mark(tensor) for name, tensor in _tensors(model)}
        if now == self._marks:
            return None
        differing = [name for name in now | self._marks if now.get(name) != self._marks.get(name)]
        return differing[0]


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _mark(tensor: torch.Tensor) -> tuple[Any, ...]:
    version = -1 if tensor.is_inference() else tensor._version
    return id(tensor), tensor.data_ptr(), version
