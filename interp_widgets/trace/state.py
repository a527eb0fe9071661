"""Run the user's model without leaving a mark on it.

``recording_state`` puts the model into the state a recording needs (evaluation mode, frozen parameters, gradients on)
and puts everything back afterwards, also after an exception: training flags, ``requires_grad``, buffers and the
random generators. Parameters are frozen because nothing here ever asks for a parameter's gradient, and autograd then
keeps fewer tensors alive (ViT-B/16: 71 instead of 113 MiB).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import nn
from torch.utils import checkpoint

__all__ = ["Fingerprint", "recording_state"]

# Flags of a shared model are switched for the time of a pass, so two passes must not overlap.
LOCK = threading.RLock()


@contextmanager
def _flags(model: nn.Module, *, evaluation: bool) -> Iterator[None]:
    """The flags of a recording: every module in evaluation mode, every parameter frozen; put back at the end."""
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
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(_flags(model, evaluation=evaluation))
        stack.enter_context(_random_state(devices))
        stack.enter_context(_buffers(model))
        stack.enter_context(_without_compilation())
        stack.enter_context(_without_checkpoints())
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
    """Lend the model copies of its buffers, which the pass may write into, and give it its own ones back."""
    own = [(module._buffers, dict(module._buffers)) for module in model.modules() if module._buffers]
    copies: dict[int, torch.Tensor] = {}
    try:
        for buffers, kept in own:
            for name, buffer in kept.items():
                if buffer is not None:
                    buffers[name] = copies.setdefault(id(buffer), buffer.detach().clone())
        yield
    finally:
        for buffers, kept in own:
            buffers.clear()
            buffers.update(kept)


@contextmanager
def _without_compilation() -> Iterator[None]:
    if "torch._dynamo" not in sys.modules:  # nothing was compiled, and importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _without_checkpoints() -> Iterator[None]:
    """Let checkpointed blocks run plainly: what they compute is kept anyway.

    The older, reentrant kind would hide them from autograd; the newer would miss, on repeating, what the recorder
    added.
    """
    function: Any = checkpoint.CheckpointFunction
    module: Any = checkpoint
    found = function.__dict__.get("apply"), module._checkpoint_hook
    function.apply = staticmethod(lambda run, _preserve, *args: run(*args))
    module._checkpoint_hook = nullcontext
    try:
        yield
    finally:
        module._checkpoint_hook = found[1]
        if found[0] is None:
            del function.apply
        else:
            function.apply = found[0]


class Fingerprint:
    """Which parameters and buffers a model had, told cheaply: by identity, address and version counter.

    It is asked before every backward pass, so it keeps the modules' own tables instead of walking the model again, and
    compares them all at once.
    """

    def __init__(self, model: nn.Module) -> None:
        self._tables = [
            (path, table, {name: (entry, _mark(entry)) for name, entry in table.items()})
            for path, module in model.named_modules()
            for table in cast("list[dict[str, Any]]", [module._parameters, module._buffers, module._modules])
            if table and isinstance(table, dict)  # a scripted submodule has no plain tables
        ]
        entries = [entry for _, table, _ in self._tables for entry in table.values()]
        self._tensors = [entry for entry in entries if isinstance(entry, torch.Tensor)]
        self._counted = [tensor for tensor in self._tensors if not tensor.is_inference()]  # the others have no counter
        self._recorded = self._state()

    def _state(self) -> tuple[list[str], list[int], list[int], list[int]]:
        return (
            [name for _, table, _ in self._tables for name in table],
            [id(entry) for _, table, _ in self._tables for entry in table.values()],
            [tensor.data_ptr() for tensor in self._tensors],
            [tensor._version for tensor in self._counted],
        )

    def changed(self) -> str | None:
        """The name of the first parameter, buffer or module that is no longer what it was, or ``None``."""
        return None if self._state() == self._recorded else self._first_changed()

    def _first_changed(self) -> str | None:
        for path, table, entries in self._tables:
            if len(table) != len(entries):
                return path or "the model"
            for name, (entry, mark) in entries.items():
                if table.get(name) is not entry or (mark is not None and _mark(entry) != mark):
                    return f"{path}.{name}" if path else name
        return None  # the same entries in another order


def _mark(entry: Any) -> tuple[int, int] | None:
    if not isinstance(entry, torch.Tensor):
        return None
    return entry.data_ptr(), -1 if entry.is_inference() else entry._version
