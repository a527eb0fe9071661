"""``StatusBar``: what is shown, in words, or what went wrong; a way out of it; Stop."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import ipywidgets as widgets
import traitlets as t

from interp_widgets.errors import InterpError
from interp_widgets.widgets.kit.status_line import StatusLine
from interp_widgets.words import say

__all__ = ["StatusBar", "in_words"]


class StatusBar(widgets.HBox):
    """The line below one view, or below several that share it.

    ``waiting`` is true while the model has to run before anything else can be answered.
    """

    waiting = t.Bool(False)

    def __init__(self) -> None:
        self._errors: dict[Hashable, str] = {}
        self._busy: dict[Hashable, bool] = {}  # who is at work, and whether the others wait for it
        self._stops: list[Callable[[], object]] = []
        self._way_out: Callable[[], object] = lambda: None
        self._line = StatusLine(layout={"flex": "1 1 0%", "min_width": "0"})
        self.remedy = widgets.Button(layout={"display": "none", "width": "auto", "flex": "0 0 auto"})
        self.stop = widgets.Button(
            description=say("Stop"),
            tooltip=say("stop what is being computed"),
            layout={"width": "56px", "visibility": "hidden"},
        )
        super().__init__([self._line, self.remedy, self.stop], layout={"width": "100%"})
        self.remedy.on_click(lambda _button: self._way_out())
        self.stop.on_click(lambda _button: self._give_up())

    @property
    def text(self) -> str:
        """What is shown, in words."""
        return str(self._line.text)

    @property
    def error(self) -> str:
        """What went wrong, in words; empty when nothing did."""
        return str(self._line.error)

    def say(self, text: str) -> None:
        """Show a sentence."""
        self._line.text = text

    def complain(self, who: Hashable, sentence: str) -> None:
        """Show what went wrong, until ``who`` is forgiven."""
        self._errors[who] = sentence
        self._show_errors()

    def forgive(self, who: Hashable) -> None:
        """Take away what went wrong with ``who``."""
        if self._errors.pop(who, None) is not None:
            self._show_errors()

    def begin(self, who: Hashable, *, others_wait: bool = False) -> None:
        """Say that ``who`` is at work."""
        self._busy[who] = others_wait
        self._show_busy()

    def end(self, who: Hashable) -> None:
        """Say that ``who`` is done."""
        if self._busy.pop(who, None) is not None:
            self._show_busy()

    def at_work(self) -> list[Hashable]:
        """Who is at work."""
        return list(self._busy)

    def offer(self, words: str, reason: str, way_out: Callable[[], object]) -> None:
        """A button for the way out of something that says nothing."""
        self.remedy.description, self.remedy.tooltip = words, reason
        self.remedy.layout.display = ""
        self._way_out = way_out

    def offer_nothing(self) -> None:
        """No such button."""
        self.remedy.layout.display = "none"

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when Stop is pressed."""
        self._stops.append(callback)

    def forget(self, callback: Callable[[], object]) -> None:
        """Do not call it any more."""
        self._stops.remove(callback)

    def _give_up(self) -> None:
        for callback in tuple(self._stops):
            callback()
        self.say(say("stopped; what is shown is what was there by then"))

    def _show_errors(self) -> None:
        self._line.error = " · ".join(dict.fromkeys(self._errors.values()))

    def _show_busy(self) -> None:
        self.stop.layout.visibility = "visible" if self._busy else "hidden"
        self.waiting = any(self._busy.values())


def in_words(error: BaseException) -> str:
    """What went wrong: our own sentence, or the kind and message of somebody else's error."""
    if isinstance(error, InterpError):
        return str(error)
    notes = " ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error} {notes}".strip()
