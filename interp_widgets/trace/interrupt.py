"""Stop a pass of a model in the middle: what a slider has moved on from is not worth the wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode

__all__ = ["Interrupted", "Interruptible", "interruptible", "interruption"]

_OF_THREAD = threading.local()


class Interrupted(BaseException):
    """Nobody wants the result of this pass any more."""


@contextmanager
def interruptible(unwanted: Callable[[], bool]) -> Iterator[None]:
    """Passes of this thread raise ``Interrupted`` between two operations as soon as ``unwanted()`` says so."""
    before = interruption()
    _OF_THREAD.unwanted = unwanted
    try:
        yield
    finally:
        _OF_THREAD.unwanted = before


def interruption() -> Callable[[], bool] | None:
    """What this thread asks whether to go on, ``None`` when its passes are not to be interrupted."""
    return getattr(_OF_THREAD, "unwanted", None)


class Interruptible(TorchFunctionMode):
    """Asks before every operation whether to go on."""

    def __init__(self, unwanted: Callable[[], bool]) -> None:
        super().__init__()
        self._unwanted = unwanted

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._unwanted():
            raise Interrupted
        return func(*args, **(kwargs or {}))
