"""``MapView``: one map by itself, small: a cell of a comparison."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ipywidgets as widgets

from interp_widgets.explainers import Attribution, Explainer
from interp_widgets.render.colours import colour_table, default_colormap
from interp_widgets.render.look import Look, ends_of
from interp_widgets.render.snapshot import reduced
from interp_widgets.session.jobs import Jobs
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.widgets.kit.links import mirror
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.widgets.views.status_bar import StatusBar
from interp_widgets.words import say

__all__ = ["MapState", "MapView"]

SIDE = 156  # CSS pixels, at least; small, so that a caption keeps its title beside a value


@dataclass(frozen=True)
class MapState:
    """One map: what is asked, and the answer as far as it is known."""

    example: int
    layer: str
    target: Any
    explainer: Explainer
    found: Attribution | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)


class MapView(SessionView):
    """The map of one question about a session's input.

    Args:
        session: what is looked at.
        explainer, layer, target: the question; what is not given is the session's own and follows it.
        name: what the map is called; by default by its method.
        on_change: called, on any thread, when the map is complete, or cannot be had.
    """

    watches = ("trace", "layer", "target", "explainer", "at_layer")

    def __init__(
        self,
        session: Session,
        *,
        explainer: Explainer | None = None,
        layer: str | None = None,
        target: Any = None,
        name: str = "",
        on_change: Callable[[], object] = lambda: None,
        bar: StatusBar | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        self._question = (explainer, layer, target)
        self._name = name
        self._on_change = on_change
        self._dress: tuple[Look, bool] | None = None
        self.refusal = ""  # why there is no map
        self.found: Attribution | None = None
        super().__init__(session, bar=bar, jobs=jobs)

    def build(self) -> list[widgets.Widget]:
        """The picture, and why there is no map over it."""
        self.picture = Picture(size=SIDE, fluid=True, noted=True)
        self._reason = widgets.HTML(layout={"display": "none", "width": "auto"})
        return [self.picture, self._reason]

    def bind(self) -> None:
        """The browser asks again for what it has dropped."""
        self.picture.on_need(lambda _row, _column: self._send_again())

    def resolve(self, session: Session) -> MapState:
        """The question, with its answer when that is known."""
        explainer, layer, target = self._question
        state = MapState(
            example=session.example,
            layer=session.layer if layer is None else layer,
            target=session.target if target is None else target,
            explainer=session.method if explainer is None else explainer,
        )
        found = session.known(state.layer, state.target, state.explainer)
        return replace(state, found=found)

    def pending(self, state: MapState) -> bool:
        """Until the last estimate is there."""
        return state.found is None or state.found.done < state.found.total

    def takes_long(self, state: MapState) -> bool:
        """Methods that refine run the model many times."""
        return state.explainer.refines

    def work(self, state: MapState) -> Iterator[MapState | None]:
        """One estimate after another."""
        started = time.perf_counter()
        with TURN:
            self._begin(state)
        stream = self.session.stream(state.layer, state.target, state.explainer)
        for found in self.jobs.refine(stream):
            yield None if found is None else replace(state, found=found, seconds=time.perf_counter() - started)

    def draw(self, state: MapState) -> None:
        """The input at first, then the map over it."""
        if self.drawn is None or state.example != self.drawn.example:
            shown = self.session.picture()
            if shown is not None:
                self.picture.set_base(reduced(shown, 2 * SIDE))
        if state != self.drawn:
            self.found = None
            self.picture.clear()
            self.picture.view = "overlay"
            self.picture.label = self._title(state)
            self.picture.alt = say("{title}, not computed yet", title=self._title(state))
            self.picture.doing = say("{title} waits for its turn", title=self._title(state))
            self._explain("")
        if state.found is not None and state is not self.drawn:
            self._show(state, state.found)

    def describe(self, state: MapState) -> str:
        """The map in words."""
        if state.found is None:
            return say("{title}, not computed yet", title=self._title(state))
        return state.found.describe()

    def show_busy(self, *, busy: bool) -> None:
        """Not over an estimate."""
        self.picture.busy = busy and self.found is None

    @property
    def error(self) -> str:
        """Why there is no map; empty when nothing went wrong."""
        return self.complaint(self.refusal) if self.refusal else super().error

    @property
    def note(self) -> str:
        """What was done to the map to show it, or why there is none."""
        return self.refusal or self.picture.note

    def complaint(self, sentence: str) -> str:
        """Which map it is that cannot be had."""
        return f"{self._name}: {sentence}" if self._name else sentence

    def failed(self, sentence: str) -> None:
        """The input alone, and why there is no map over it; an estimate that was there when it was stopped stays."""
        if sentence:
            if self.bar not in self.children:  # several maps share it: told here, it need not hide how far they are
                self.bar.forgive(self)
            self.refuse(sentence)
        elif self.found is None and self.drawn is not None:
            self.picture.label = self.picture.alt = say("{title}: stopped, no map yet", title=self._title(self.drawn))

    def refuse(self, reason: str) -> None:
        """Show the input alone, and say why."""
        self.found = None
        self.picture.view = "base"
        self.picture.label = say("{name}: no map", name=self._name or say("map"))
        self.picture.alt = say("no map: {reason}", reason=reason)
        self._explain(reason)
        self._on_change()

    def dress(self, look: Look, *, signed: bool) -> None:
        """Show this map, and those after it, in a look other than its own; ``signed``: with colours around zero."""
        self._dress = (look, signed)
        if self.found is not None:
            self._show_look(self.found)

    def _title(self, state: MapState) -> str:
        return self._name or state.explainer.title

    def _caption(self, state: MapState, found: Attribution) -> str:
        """The title, and how far an estimate is that gets better."""
        if found.done >= found.total:
            return self._title(state)
        return say("{share:.0%} of {title}", title=self._title(state), share=found.done / found.total)

    def _send_again(self) -> None:
        """The map, where there is one: a browser that shows a method that failed is no reason to try it again."""
        if self.found is not None:
            self.draw_again()

    def _explain(self, reason: str) -> None:
        """Say below the picture why there is no map."""
        self.refusal = reason
        self._reason.value = f"<div class='iw iw-reason' role='alert'>{html.escape(reason)}</div>" if reason else ""
        self._reason.layout.display = "" if reason else "none"

    def _begin(self, state: MapState) -> None:
        """Say that the worker has come to this map."""
        if state == self._asked and not (self.closed or self._stopped):
            self.picture.doing = say("computing {title}…", title=self._title(state))
            self.bar.say(self.picture.doing)

    def _show_look(self, found: Attribution) -> None:
        look, signed = (found.look, found.signed) if self._dress is None else self._dress
        colours = default_colormap(signed=signed)
        with self.picture.hold_sync():
            self.picture.signed, self.picture.colormap = signed, colours
            self.picture.table = colour_table(colours).tobytes()
            mirror(self.picture, "look", look)

    def _show(self, state: MapState, found: Attribution) -> None:
        if found.values.ndim != 2:
            reason = say("values of shape {shape} and no map: see iw.explore", shape=tuple(found.values.shape))
            self.refuse(reason)
            return
        self.found = found
        self._show_look(found)
        low, high = ends_of(found.array)
        self.picture.put(0, 0, found.array, lo=low, hi=high, exact=True)
        self.picture.label = self._caption(state, found)
        self.picture.alt = found.describe()
        self.picture.busy = False
        self.bar.say(", ".join(filter(None, (self._title(state), found.progress(state.seconds)))))
        if found.done >= found.total:
            self._on_change()
