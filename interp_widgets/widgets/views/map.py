"""``MapView``: one map by itself, small: a cell of a comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ipywidgets as widgets

from interp_widgets.explainers import Attribution, Explainer
from interp_widgets.render.colours import colour_table, default_colormap
from interp_widgets.render.look import ends_of
from interp_widgets.render.snapshot import reduced
from interp_widgets.session.jobs import Jobs
from interp_widgets.session.session import Session
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.widgets.views.status_bar import StatusBar
from interp_widgets.words import say

__all__ = ["MapState", "MapView"]

SIDE = 152  # CSS pixels


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
        self.found: Attribution | None = None
        super().__init__(session, bar=bar, jobs=jobs)

    def build(self) -> list[widgets.Widget]:
        """The picture."""
        self.picture = Picture(size=SIDE, noted=True)
        return [self.picture]

    def bind(self) -> None:
        """The browser asks again for what it has dropped."""
        self.picture.on_need(lambda _row, _column: self.draw_again())

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

    def complaint(self, sentence: str) -> str:
        """Which map it is that cannot be had."""
        return f"{self._name}: {sentence}" if self._name else sentence

    def failed(self, sentence: str) -> None:
        """The input alone, and why there is no map over it."""
        if sentence:
            self.refuse(sentence)

    def refuse(self, reason: str) -> None:
        """Show the input alone, and say why."""
        self.found = None
        self.picture.view = "base"
        self.picture.label = say("{name}: no map", name=self._name or say("map"))
        self.picture.alt = say("no map: {reason}", reason=reason)
        self._on_change()

    def _title(self, state: MapState) -> str:
        return self._name or state.explainer.title

    def _show(self, state: MapState, found: Attribution) -> None:
        if found.values.ndim != 2:
            reason = say("values of shape {shape} and no map: see iw.explore", shape=tuple(found.values.shape))
            self.bar.complain(self, self.complaint(reason))
            self.refuse(reason)
            return
        self.found = found
        colours = default_colormap(signed=found.signed)
        self.picture.signed, self.picture.colormap, self.picture.look = found.signed, colours, found.look
        self.picture.table = colour_table(colours).tobytes()
        low, high = ends_of(found.array)
        self.picture.put(0, 0, found.array, lo=low, hi=high, exact=True)
        self.picture.alt = found.describe()
        self.picture.busy = False
        self.bar.say(", ".join(filter(None, (self._title(state), found.progress(state.seconds)))))
        if found.done >= found.total:
            self._on_change()
