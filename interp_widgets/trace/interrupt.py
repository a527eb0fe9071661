"""Stop a pass in the middle: because nobody wants it any more, or by Ctrl-C, which must leave nothing behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from torch.overrides import TorchFunctionMode

__all__ = ["Interrupted", "Interruptible", "Undisturbed", "interruptible", "interruption"]

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


class Undisturbed:
    """Ctrl-C waits inside ``with Undisturbed() as gate``, except while ``gate.call`` runs somebody else's code.

    Setting up and putting back then happen wholly or not at all. An interrupt that came meanwhile is raised at the next
    ``gate.call`` or at the end. Python delivers Ctrl-C to the main thread only; in other threads this does nothing.
    """

    def __init__(self) -> None:
        self._handler: Any = None  # the one that was installed before
        self._waiting: tuple[int, FrameType | None] | None = None
        self._open = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._arrived)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._deliver()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run code that Ctrl-C may end at once."""
        self.open()
        try:
            return function(*args, **kwargs)
        finally:
            self.shut()

    def open(self) -> None:
        """From here on Ctrl-C ends what runs at once."""
        self._deliver()
        self._open = True

    def shut(self) -> None:
        """From here on Ctrl-C waits."""
        self._open = False

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self._open:
            self._handler(number, frame)
        else:
            self._waiting = number, frame

    def _deliver(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._handler(*waiting)
