"""``Contents``: what some containers hold, so that an exchange is noticed later, and can be taken back."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

__all__ = ["Contents", "Table"]

Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any]
Table = tuple[str, Container]
"""A container and what it is called: ``layer1.0.conv1`` for the attributes of a module."""

NUMBERS = (bool, int, float, complex, str, bytes)
# Attributes of a module that say nothing of what it computes with: its mode, and what torch.compile notes.
BOOKKEEPING = frozenset(("training", "_compiled_call_impl", "_is_torch_compile"))


class _Snapshot:
    """What some containers held at one moment; never changed afterwards, so any thread may read it."""

    def __init__(self, tables: Sequence[Table]) -> None:
        # Most tables of a model are those of hooks, and empty: that they still are is asked at once.
        self._empty = [held for _, held in tables if not held]
        self._filled = [held for _, held in tables if held]
        self._views = [held.values() if isinstance(held, dict) else held for held in self._filled]
        self._sizes = list(map(len, self._filled))
        self._values = list(chain.from_iterable(self._views))
        self._keys = list(chain.from_iterable(held for held in self._filled if isinstance(held, dict)))

    def is_present(self) -> bool:
        """The quick look that is enough nearly always: the very same entries in the same order."""
        return (
            not any(self._empty)
            and list(map(len, self._filled)) == self._sizes
            and all(map(operator.is_, chain.from_iterable(self._views), self._values))
        )

    def different(self, tables: Sequence[Table]) -> Iterator[tuple[str, Container, Container]]:
        """Each entry that changed: its name, its container, and what that held."""
        values, keys = iter(self._values), iter(self._keys)
        sizes = dict(zip(map(id, self._filled), self._sizes, strict=True))
        for label, held in tables:
            size = sizes.get(id(held), 0)
            before: Container
            if isinstance(held, dict):
                before = {next(keys): next(values) for _ in range(size)}
                for key in _changed_keys(before, held):
                    yield f"{label}.{key}" if label else str(key), held, before
                continue
            before = type(held)(next(values) for _ in range(size))
            if not _same_items(before, held):
                yield label, held, before


class Contents:
    """What containers held when this was made: entries are compared by identity, numbers and words by value.

    Args:
        tables: the containers to watch, dicts, lists, sets or deques, each with its name.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        self._before = _Snapshot(tables)

    def changes(self, ignored: frozenset[str] = frozenset()) -> list[str]:
        """The names of the entries that are no longer what they were, such as ``layer1.0.conv1.stride``.

        Args:
            ignored: names of entries that may change. Once only those have, their present values are the ones known.
        """
        before = self._before
        if before.is_present():
            return []
        changed = [name for name, *_ in before.different(self._tables)]
        wanted = [name for name in changed if name not in ignored and _last(name) not in BOOKKEEPING]
        if not wanted:
            self._before = _Snapshot(self._tables)
        return wanted

    def take_back(self) -> frozenset[str]:
        """Give the containers back what they held; the names of the entries that had changed."""
        before = self._before
        if before.is_present():
            return frozenset()
        changed = set()
        for name, held, content in before.different(self._tables):
            changed.add(name)
            _fill(held, content)
        self._before = _Snapshot(self._tables)
        return frozenset(name for name in changed if _last(name) not in BOOKKEEPING)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _changed_keys(before: dict[Any, Any], now: dict[Any, Any]) -> list[Any]:
    missing = object()
    keys = dict.fromkeys((*before, *now))
    return [key for key in keys if not _same(before.get(key, missing), now.get(key, missing))]


def _same_items(before: Iterable[Any], now: Iterable[Any]) -> bool:
    before, now = list(before), list(now)
    return len(before) == len(now) and all(map(_same, before, now))


def _same(before: Any, now: Any) -> bool:
    if before is now:
        return True
    if type(before) is not type(now):
        return False
    if isinstance(before, tuple):
        return _same_items(before, now)
    return isinstance(before, NUMBERS) and before == now


def _fill(held: Container, before: Container) -> None:
    """Exchange the content; what a dict or a list keeps is there at every moment, for threads that look."""
    if isinstance(held, dict):
        for key in held.keys() - before:
            del held[key]
        dict.update(held, before)  # a Counter's own would add
    elif isinstance(held, list):
        held[:] = before
    else:
        held.clear()
        (held.extend if isinstance(held, deque) else held.update)(before)
