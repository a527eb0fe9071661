"""``Autocast``: in which precisions torch casts by itself, so that what ran under it runs again as it did.

Autocast casts below the torch calls that are recorded, and it is a state of one thread. A pass, or one of its
operations, is done again in the state it was recorded in, whatever the state of who asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch

__all__ = ["Autocast"]

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True)
class Autocast:
    """The autocast state of a thread.

    Args:
        dtypes: what is cast to for each of ``DEVICE_TYPES``, ``None`` where autocast is off.
    """

    dtypes: tuple[torch.dtype | None, ...] = (None,) * len(DEVICE_TYPES)

    @classmethod
    def now(cls) -> Self:
        """The state of this thread."""
        if not torch._C._is_any_autocast_enabled():
            return cls()
        return cls(
            tuple(
                torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
                for device_type in DEVICE_TYPES
            )
        )

    @contextmanager
    def on(self) -> Iterator[None]:
        """This state, in this thread."""
        current = type(self).now()
        with ExitStack() as stack:
            for device_type, dtype, present in zip(DEVICE_TYPES, self.dtypes, current.dtypes, strict=True):
                if dtype != present:
                    stack.enter_context(torch.autocast(device_type, dtype, enabled=dtype is not None))
            yield

    def bound(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that runs in this state; the function itself where autocast is off."""
        return function if self == type(self)() else _Bound(function, self)


@dataclass(frozen=True)
class _Bound:
    """A function in an autocast state; two are equal where both are."""

    function: Callable[..., Any]
    autocast: Autocast

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.autocast.on():
            return self.function(*args, **kwargs)
