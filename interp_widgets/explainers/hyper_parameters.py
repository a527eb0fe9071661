"""Hyper-parameters: dataclass fields whose metadata says what is allowed, and the sentence that refuses the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field
from types import MappingProxyType
from typing import Any

from interp_widgets.words import say

__all__ = ["allowed", "is_allowed", "limits"]


def limits(
    low: float | None = None,
    high: float | None = None,
    *,
    options: tuple[Any, ...] = (),
    help: str = "",  # noqa: A002 - the word users know
    convert: Callable[[Any], Any] | None = None,
    only_with: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Metadata of a hyper-parameter, from which widgets build its control: what is allowed, and what it does.

    Args:
        low, high: the least and the largest number allowed.
        options: the values allowed; with ``convert`` the choices to show, not all there are.
        help: what it does, in a few words.
        convert: makes the hyper-parameter of what a user gives, and refuses what cannot be.
        only_with: values of other hyper-parameters that this one needs in order to change the map.
    """
    return {
        "low": low,
        "high": high,
        "options": options,
        "help": help,
        "convert": convert,
        "only_with": only_with,
    }


def is_allowed(value: Any, field: Field[Any]) -> bool:
    """Whether a hyper-parameter may have this value."""
    options = field.metadata.get("options")
    if options:
        return isinstance(value, tuple(map(type, options))) and value in options
    if isinstance(field.default, bool):
        return isinstance(value, bool)
    if not isinstance(field.default, (int, float)):
        return True
    kind = int if isinstance(field.default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
        return False
    low, high = field.metadata.get("low"), field.metadata.get("high")
    return (low is None or value >= low) and (high is None or value <= high)


def allowed(field: Field[Any]) -> str:
    """What a hyper-parameter may be, in words."""
    options = field.metadata.get("options")
    if options:
        return say("one of {options}", options=", ".join(repr(option) for option in options))
    if isinstance(field.default, bool):
        return say("True or False")
    kind = say("a whole number") if isinstance(field.default, int) else say("a number")
    low, high = field.metadata.get("low"), field.metadata.get("high")
    if low is not None and high is not None:
        return say("{kind} in {low}..{high}", kind=kind, low=low, high=high)
    if low is not None:
        return say("{kind} of {low} or more", kind=kind, low=low)
    if high is not None:
        return say("{kind} of {high} or less", kind=kind, high=high)
    return kind
