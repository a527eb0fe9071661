"""The state of torch and of the random generators during a pass, and the way back."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, cast

import numpy as np
import torch
from torch.utils import checkpoint

__all__ = ["RandomState", "pass_state"]


@contextmanager
def pass_state() -> Iterator[None]:
    """Gradients on, inference mode off, nothing compiled, nothing checkpointed; for this thread."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(_without_compilation())
        stack.enter_context(_without_checkpoints())
        yield


@contextmanager
def _without_compilation() -> Iterator[None]:
    """Compiled functions that a model calls run as they were written, while a pass runs in any thread.

    torch has no such switch for one thread; it is touched only when something was compiled in this process.
    """
    frames: Any = sys.modules.get("torch._dynamo.eval_frame")
    if not getattr(frames, "cached_backends", None):  # another thread may be importing it
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


class _Checkpoints:
    """Lets checkpointed blocks run plainly in the threads that record: what they compute is kept anyway.

    The older, reentrant kind would hide them from autograd; the newer would miss, on repeating, what the recorder
    added. While some thread records, torch's two entries ask whether theirs does; for the others nothing changes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passes = 0
        self._of_thread = threading.local()
        self._hook: Any = None

    def off(self) -> None:
        """Until ``on`` is called from this thread too."""
        with self._lock:
            self._passes += 1
            self._of_thread.passes = self._here() + 1
            if self._passes == 1:
                module: Any = checkpoint
                self._hook = module._checkpoint_hook
                module._checkpoint_hook = self._choose_hook
                module.CheckpointFunction.apply = staticmethod(self._apply)

    def on(self) -> None:
        """Take back one ``off``."""
        with self._lock:
            self._passes -= 1
            self._of_thread.passes = self._here() - 1
            if self._passes == 0:
                module: Any = checkpoint
                module._checkpoint_hook = self._hook
                del module.CheckpointFunction.apply

    def _here(self) -> int:
        found: int = getattr(self._of_thread, "passes", 0)
        return found

    def _choose_hook(self, frame: Any) -> Any:
        return nullcontext() if self._here() else self._hook(frame)

    def _apply(self, run: Callable[..., Any], preserve: Any, *args: Any) -> Any:
        if self._here():
            return run(*args)
        return super(checkpoint.CheckpointFunction, checkpoint.CheckpointFunction).apply(run, preserve, *args)


_CHECKPOINTS = _Checkpoints()


@contextmanager
def _without_checkpoints() -> Iterator[None]:
    _CHECKPOINTS.off()
    try:
        yield
    finally:
        _CHECKPOINTS.on()


class RandomState:
    """The random generators of torch, numpy and Python as they are now.

    Args:
        devices: whose generators may be drawn from.
    """

    def __init__(self, devices: set[torch.device]) -> None:
        self._devices = {device for device in devices if device.type not in ("cpu", "meta")}
        self._torch = torch.random.get_rng_state()
        self._on_devices = {device: _generator(device).get_state() for device in self._devices}
        self._numpy = np.random.get_state()  # noqa: NPY002 - the user's global one
        self._python = random.getstate()

    def put_back(self, *, drawn: bool, draws_elsewhere: Callable[[], bool]) -> bool:
        """Give the generators this state again, those that the pass may have drawn from.

        The others stay as they are: what another thread has drawn meanwhile is its own.

        Args:
            drawn: whether that holds for torch's.
            draws_elsewhere: tells whether it holds for numpy's and Python's; asked only where they have moved.

        Returns:
            Whether the pass has drawn from numpy's or Python's.
        """
        if drawn and not torch.equal(self._torch, torch.random.get_rng_state()):
            torch.random.set_rng_state(self._torch)
        for device, state in self._on_devices.items() if drawn else ():
            _generator(device).set_state(state)
        is_numpy_moved = not _equal(self._numpy, np.random.get_state())  # noqa: NPY002
        is_python_moved = self._python != random.getstate()
        has_drawn_elsewhere = (is_numpy_moved or is_python_moved) and draws_elsewhere()
        if has_drawn_elsewhere:
            np.random.set_state(self._numpy)  # noqa: NPY002
            random.setstate(self._python)
        return has_drawn_elsewhere


def _equal(before: Any, now: Any) -> bool:
    """Whether two states of numpy's generator are one: its numbers, and how many of them were used."""
    return bool(before[2:] == now[2:] and np.array_equal(before[1], now[1]))


def _generator(device: torch.device) -> torch.Generator:
    """The default generator of an accelerator."""
    module: Any = torch.get_device_module(device)
    given: int | None = device.index
    index = module.current_device() if given is None else given
    if not hasattr(module, "default_generators"):  # MPS has one device
        return cast("torch.Generator", module._get_default_mps_generator())
    return cast("torch.Generator", module.default_generators[index])
