"""Links that the browser follows without the kernel, and the kernel's part: not to send back what they have moved.

A slider that is dragged is further in the browser than the kernel knows. What it is linked to has moved there already,
so the kernel, which hears of an older place, must not put it back.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

__all__ = ["BrowserLinks", "led_by", "mirror"]

Place = tuple[widgets.Widget, str]  # a widget and one of its traits

_FOLLOWERS: weakref.WeakKeyDictionary[widgets.Widget, dict[str, list[Place]]] = weakref.WeakKeyDictionary()
_LED: list[set[Place]] = [set()]  # guarded by TURN: what the browser has moved by itself, of the event handled now


class BrowserLinks:
    """Some links between traits, closed together."""

    def __init__(self) -> None:
        self._links: dict[tuple[Place, Place], widgets.Widget] = {}

    def one_way(self, source: Place, target: Place) -> None:
        """Let ``target`` follow ``source``."""
        self._add(source, target, widgets.jsdlink(source, target))

    def both_ways(self, first: Place, second: Place) -> None:
        """Let each follow the other."""
        self._add(first, second, widgets.jslink(first, second))
        _followers(*second).append(first)

    def remove(self, source: Place, target: Place) -> None:
        """Take a link away; nothing happens where there is none."""
        link = self._links.pop((source, target), None)
        if link is None:
            return
        for one, other in ((source, target), (target, source)):
            if other in _followers(*one):
                _followers(*one).remove(other)
        if link.comm is not None:
            link.unlink()
            link.close()

    def close(self) -> None:
        """Take all links away."""
        for source, target in list(self._links):
            self.remove(source, target)

    def _add(self, source: Place, target: Place, link: widgets.Widget) -> None:
        self._links[source, target] = link
        _followers(*source).append(target)


def _followers(widget: widgets.Widget, name: str) -> list[Place]:
    return _FOLLOWERS.setdefault(widget, {}).setdefault(name, [])


@contextmanager
def led_by(widget: widgets.Widget, name: str) -> Iterator[None]:
    """Handle a change of a trait: when the browser made it, ``mirror`` sends nothing back to what follows there."""
    came_from_browser = bool(widget._property_lock)  # noqa: SLF001 - only there
    _LED.append(set(_reached((widget, name))) if came_from_browser else set())
    try:
        yield
    finally:
        _LED.pop()


def _reached(place: Place) -> Iterator[Place]:
    """A trait and all that follow it, however many links away."""
    seen, waiting = {place}, [place]
    while waiting:
        current = waiting.pop()
        yield current
        for follower in _followers(*current):
            if follower not in seen:
                seen.add(follower)
                waiting.append(follower)


def mirror(widget: widgets.Widget, name: str, value: Any) -> None:
    """Set a trait; what a link in the browser has set already is not sent there again."""
    if (widget, name) in _LED[-1]:
        with widget._lock_property(**{name: value}):  # noqa: SLF001 - ipywidgets' own way not to echo
            setattr(widget, name, value)
    else:
        setattr(widget, name, value)
