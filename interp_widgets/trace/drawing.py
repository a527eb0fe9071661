"""Whether a model's code draws from Python's or numpy's random generators.

These generators are one for all threads, and nobody can tell afterwards who drew from them. If a pass gave them back
the state from before it, whatever another thread drew meanwhile would be drawn again. So they are put back only after
code that names them: the methods of the model's classes, functions that hang on its modules, what those call.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
from torch import nn

__all__ = ["names_random"]

GENERATORS = (random.Random, np.random.RandomState, np.random.Generator)
OWNERS = ("random", "numpy.random")
NEVER = ("torch", "interp_widgets")  # torch's own modules draw from torch's generators
MOST_FUNCTIONS = 500  # of a call graph; a model whose code is larger than that counts as drawing


def names_random(model: nn.Module) -> bool:
    """Whether code of the model's own names Python's or numpy's random generators."""
    kinds: set[Any] = set(map(type, model.modules()))
    if any(map(_class_names_random, kinds)):
        return True
    held = [value for module in model.modules() for value in vars(module).values()]
    hooks = [value for table in held if isinstance(table, dict) and table for value in table.values()]
    return _any_names_random((*held, *hooks))


@lru_cache(maxsize=4096)
def _class_names_random(kind: Any) -> bool:
    members = [member for each in kind.__mro__ if not _is_skipped(each) for member in vars(each).values()]
    return _any_names_random(members)


def _any_names_random(members: Iterable[Any]) -> bool:
    """Whether one of some functions, or one that they call or have captured, names a generator."""
    waiting = [function for member in members if (function := _function(member)) is not None]
    seen: set[CodeType] = set()
    while waiting:
        function = waiting.pop()
        if function.__code__ in seen or _is_skipped(function):
            continue
        seen.add(function.__code__)
        if len(seen) > MOST_FUNCTIONS:
            return True
        captured = (cell.cell_contents for cell in function.__closure__ or () if cell != CellType())
        waiting += [inner for value in captured if (inner := _function(value)) is not None]
        for name in _names(function.__code__):
            value = function.__globals__.get(name)
            if name == "random" or _is_generator(value):
                return True
            called = _function(value)
            if called is not None:
                waiting.append(called)
    return False


def _function(member: Any) -> FunctionType | None:
    """The Python function behind a method, a property or a decorated function."""
    if isinstance(member, property):
        member = member.fget
    elif isinstance(member, (staticmethod, classmethod, MethodType)):
        member = member.__func__
    return inspect.unwrap(member) if isinstance(member, FunctionType) else None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_generator(value: Any) -> bool:
    """Whether a global is a generator, one of its methods, or the module ``random`` under another name."""
    if inspect.ismodule(value):
        return value.__name__ in OWNERS
    if isinstance(value, (BuiltinMethodType, MethodType)):
        value = value.__self__
    return isinstance(value, GENERATORS)


def _is_skipped(owner: Any) -> bool:
    return str(getattr(owner, "__module__", "")).partition(".")[0] in NEVER
