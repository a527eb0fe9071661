"""What is explained: the chosen class, that class rather than another, the likeliest together, or a unit of a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from interp_widgets.trace import Against, ClassScore, ClassSum, Contrast, SiteScore
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.words import say

__all__ = ["Goal"]

RIVALS = 10  # classes to contrast with
SUMS = (3, 5)
CLASS, AGAINST, UNIT = "class", "against", "unit"


class Goal:
    """A menu, and a dial between "a" and "a rather than b"."""

    def __init__(self) -> None:
        self._callback: Callable[[Any], object] = lambda _target: None
        self._here: Callable[[], tuple[str, int]] = lambda: ("", 0)
        self._class = 0
        self._likeliest: tuple[int, ...] = ()
        self._showing = False
        self.menu = Menu(
            options=[(say("the chosen class"), CLASS)],
            value=CLASS,
            label=say("what is explained"),
            help=say("the score that the map explains"),
            layout={"flex": "1.4 1 0%", "min_width": "0", "width": "auto"},
        )
        self.dial = Slider(
            label=say("by"),
            help=say("how much of the other class's score is taken off: 0 none of it, 1 all"),
            value=1.0,
            step=0.05,
            readout=True,
            layout={"flex": "1 1 0%", "min_width": "0", "width": "auto", "display": "none"},
        )
        self.root = widgets.HBox([self.menu, self.dial], layout={"width": "100%", "align_items": "center"})
        self.menu.observe(lambda _change: self._choose(), "value")
        self.dial.observe(lambda _change: self._choose(), "value")

    def on_change(self, callback: Callable[[Any], object], here: Callable[[], tuple[str, int]]) -> None:
        """Call ``callback(target)`` for another target; ``here()`` is the layer and channel that are looked at."""
        self._callback, self._here = callback, here

    def offer(self, names: Sequence[str], probabilities: NDArray[np.float32]) -> None:
        """The likeliest classes to contrast with, and how many may be taken together; without classes units only.

        A name without a probability is that of the one value of a model without classes.
        """
        is_value = len(names) > 0 and not len(probabilities)
        by_probability = np.argsort(-probabilities, kind="stable")
        rivals = [int(index) for index in by_probability[:RIVALS]] if len(names) > 1 else []
        self._likeliest = tuple(rivals)
        options = (_of_value() if is_value else _of_class()) if names else []
        options += [(say("rather than {name}", name=names[index]), f"rather {index}") for index in rivals]
        counts = [count for count in SUMS if count < len(names)]
        options += [(say("the {count} likeliest classes", count=count), f"top {count}") for count in counts]
        options += [(say("the channel looked at"), UNIT)]
        groups = {value: say("the chosen class ...") for _, value in options if value.startswith("rather")}
        meanings = {
            CLASS: say("what makes the score of the class chosen in the list"),
            AGAINST: say("what lowers the score of the class chosen in the list"),
            UNIT: say("what makes the sum over the channel chosen among the channels"),
        }
        if is_value:
            meanings |= {CLASS: say("what makes the model's value"), AGAINST: say("what lowers the model's value")}
        self._showing = True
        try:
            with self.menu.hold_sync():
                self.menu.value = ""
                self.menu.options = options
                self.menu.groups = groups
                self.menu.meanings = {**meanings, **_meanings(options)}
                self.menu.value = CLASS if names else ""
        finally:
            self._showing = False

    def show(self, target: Any) -> None:
        """The entry of a target; none for one that only Python can give."""
        self._showing = True
        try:
            value, weight = self._entry(target)
            known = [option for _, option in self.menu.options]
            self.menu.value = value if value in known else ""
            self.dial.layout.display = "none" if weight is None else ""
            if weight is not None:
                self.dial.value = weight
        finally:
            self._showing = False

    def _entry(self, target: Any) -> tuple[str, float | None]:
        """The menu's value for a target, empty when it has none, and the dial's value where there is a dial."""
        if isinstance(target, (int, ClassScore)):
            self._class = target if isinstance(target, int) else target.index
            return CLASS, None
        if isinstance(target, Against):
            self._class = target.index
            return AGAINST, None
        if isinstance(target, Contrast):
            self._class = target.a
            return f"rather {target.b}", target.weight
        if isinstance(target, ClassSum):
            count = len(target.indices)
            is_offered = target.indices == self._likeliest[:count]
            return (f"top {count}" if is_offered else ""), None
        if isinstance(target, SiteScore):
            return UNIT, None
        return "", None

    def _choose(self) -> None:
        if self._showing or not self.menu.value:
            return
        kind, _, number = self.menu.value.partition(" ")
        if kind == "rather":
            self._callback(Contrast(self._class, int(number), round(self.dial.value, 2)))
        elif kind == "top":
            self._callback(ClassSum(self._likeliest[: int(number)]))
        elif kind == AGAINST:
            self._callback(Against(self._class))
        elif kind == UNIT:
            self._callback(SiteScore(*self._here()))
        else:
            self._callback(self._class)


def _of_class() -> list[tuple[str, str]]:
    """What can be asked of any class."""
    return [(say("the chosen class"), CLASS), (say("what speaks against it"), AGAINST)]


def _of_value() -> list[tuple[str, str]]:
    """What can be asked of the one value of a model without classes."""
    return [(say("the value"), CLASS), (say("what lowers it"), AGAINST)]


def _meanings(options: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What the contrasts and the sums of classes mean, by value."""
    contrast = say("what tells the chosen class from that one: the difference of their scores")
    together = say("what makes the sum of their scores")
    found = {value: contrast for _, value in options if value.startswith("rather")}
    return found | {value: together for _, value in options if value.startswith("top")}
