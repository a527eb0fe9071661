"""``PerTrace``: what an inspector found in a trace, found once for all views and freed with the trace."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from interp_widgets.trace import Trace

__all__ = ["PerTrace"]

Found = TypeVar("Found")


class PerTrace(Generic[Found]):
    """The answers of ``inspect``, by trace.

    Args:
        inspect: makes one; what it returns must not hold the trace.
    """

    def __init__(self, inspect: Callable[[Trace], Found]) -> None:
        self._inspect = inspect
        self._known: weakref.WeakKeyDictionary[Trace, Found] = weakref.WeakKeyDictionary()

    def known(self, trace: Trace) -> Found | None:
        """The answer, if there is one yet."""
        return self._known.get(trace)

    def found(self, trace: Trace) -> Found:
        """The answer, made now if need be."""
        answer = self._known.get(trace)
        if answer is None:
            answer = self._known[trace] = self._inspect(trace)
        return answer
