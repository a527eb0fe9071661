"""The Explorer's attribution: at once when the recording has it, else from the worker; then what may be asked next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from interp_widgets.errors import InterpError
from interp_widgets.evaluation import Finding, diagnose
from interp_widgets.explainers import Attribution
from interp_widgets.inspectors.channels import draft
from interp_widgets.inspectors.outline import Outline
from interp_widgets.session.jobs import Worker
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.trace.interrupt import Interrupted, interruptible
from interp_widgets.widgets.views.channels import ChannelView
from interp_widgets.widgets.views.panel import Panel
from interp_widgets.widgets.views.view import View

__all__ = ["AttributionView"]

PREFETCHED_CLASSES = 5
PREFETCHED_LAYERS = 2  # up and down
PAINT_EVERY = 0.1  # seconds between two estimates that are painted
REST = 0.15  # seconds without a change before prefetching begins


@dataclass
class _Refinement:
    """An attribution on its way: it goes on while the view changes in other respects."""

    view: View
    stream: Iterator[Attribution]
    started: float = field(default_factory=time.perf_counter)
    painted: float = 0.0


class AttributionView:
    """Draws the attribution's map and keeps the browser supplied with the maps beside it."""

    def __init__(self, panel: Panel, session: Session, channels: ChannelView, worker: Worker) -> None:
        self._panel = panel
        self._session = session
        self._channels = channels
        self._worker = worker
        self._view: View | None = None
        self._outline: Outline | None = None
        self._refining: _Refinement | None = None
        self.finding: Finding | None = None  # what is wrong with the map that is shown
        self._stopped: View | None = None  # whose refinement the user has stopped

    def stop(self) -> None:
        """Refine no more what is being refined; what is on the screen stays."""
        self._stopped = self._view

    def draw(self, view: View, outline: Outline) -> None:
        """Show the map and the channels of a view, now or as soon as they are computed."""
        self._view, self._outline = view, outline
        if not view.same_map(self._stopped):
            self._stopped = None
        started = time.perf_counter()
        here, ranked = bool(view.refusal) or self._session.is_cheap(), self._channels.ready(view)
        if ranked:
            self._channels.draw(view)
        if here:
            self._show(view, started, cached=True)
        going = self._refining is not None and view.same_map(self._refining.view)
        self._panel.set_busy(busy=not ((here and ranked) or view.same_map(self._stopped)), shown=going)
        self._worker.submit(self._prefetch if here and ranked else self._compute)

    def _compute(self) -> Iterator[None]:
        started, view = time.perf_counter(), self._view
        if view is None:
            return
        if view.explainer.refines and not view.refusal:
            yield from self._refine(view)
            if not self._channels.ready(view):
                self._session.ready().gradient(view.layer, view.target)
                yield
            with TURN:
                if view is self._view:
                    self._channels.draw(view)
            yield from self._prefetch()
            return
        if not view.refusal:
            with contextlib.suppress(InterpError):  # raised again, and shown, when it is drawn
                self._attribution(view)
            yield
        if not self._channels.ready(view):
            self._session.ready().gradient(view.layer, view.target)
            yield
        with TURN:
            current = view.same_method(self._view) and view.recording == self._session.recordings
            if current and view is not self._view and not view.refusal:
                with contextlib.suppress(InterpError):  # late: what was scrubbed over is shown on the way
                    self._put(view.row, view.column, self._attribution(view), drafted=True)
            elif current:
                self._show(view, started, cached=False)
                self._panel.set_busy(busy=False)
                self._channels.draw(view)
        yield from self._prefetch()

    def _refine(self, view: View) -> Iterator[None]:
        """Paint estimate after estimate, as long as the view asks for this map."""
        if self._refining is None or not view.same_map(self._refining.view):
            stream = self._session.stream(view.layer, view.target, view.explainer)
            self._refining = _Refinement(view, stream)
        run, unwanted = self._refining, partial(self._unwanted, view)
        while not unwanted():
            try:
                with interruptible(unwanted):
                    found = next(run.stream, None)
            except Interrupted:
                break
            except InterpError as error:
                with TURN:
                    if not unwanted():
                        self._refuse(str(error))
                        self._panel.set_busy(busy=False)
                break
            if found is None:
                break
            with TURN:
                if not unwanted():
                    self._paint(view, found, run)
            yield
        self._refining = None

    def _unwanted(self, view: View) -> bool:
        return self._worker.closed or not view.same_map(self._view) or view.same_map(self._stopped)

    def _paint(self, view: View, found: Attribution, run: _Refinement) -> None:
        """An estimate: the first and the last at once, those between not more often than they can be seen."""
        now, last = time.perf_counter(), found.done >= found.total
        if not last and run.painted and now - run.painted < PAINT_EVERY:
            return
        run.painted = now
        panel = self._panel
        panel.show_attribution(found)
        self._put(view.row, view.column, found, drafted=not last, anew=True)
        with panel.attribution.hold_sync():
            panel.attribution.label = f"{found.method} · {found.label}"
            panel.attribution.alt = found.describe()
        panel.set_busy(busy=not last, shown=True)
        panel.status.text = self._progress(found, now - run.started)
        if last:
            self._advise(view, found)

    def _progress(self, found: Attribution, seconds: float | None) -> str:
        """How far a refinement is, how sure, and how long it will take, in words."""
        sure = "" if found.error is None else f"; {found.error_name} {found.error:.1%}"
        sure += f"; {found.additivity}" if found.additivity else ""
        if seconds is None:
            so_far = f"{found.total} evaluations, done before{sure}"
        elif found.done < found.total:
            so_far = f"{found.progress(seconds)}{sure}"
        else:
            so_far = f"{found.total} evaluations in {seconds:.1f} s{sure}"
        return f"{found.method} for “{found.label}” at {found.layer}, score {found.score:.3g}; {so_far}"

    def _attribution(self, view: View) -> Attribution:
        """What the view asks for, whatever the session says by now."""
        return self._session.attribution(view.layer, view.target, view.explainer)

    def _show(self, view: View, started: float, *, cached: bool) -> None:
        panel = self._panel
        if view.refusal:
            self._refuse(view.refusal)
            return
        try:
            found = self._attribution(view)
        except InterpError as error:
            self._refuse(str(error))
            return
        panel.show_attribution(found)
        self._put(view.row, view.column, found, drafted=not view.explainer.refines, anew=view.explainer.refines)
        with panel.attribution.hold_sync():
            panel.attribution.label = f"{found.method} · {found.label}"
            panel.attribution.alt = found.describe()
        panel.status.text = self._sentence(view, found, time.perf_counter() - started, cached=cached)
        self._advise(view, found)

    def _advise(self, view: View, found: Attribution) -> None:
        """Say why a map says nothing, and offer the way out."""
        self.finding = diagnose(self._session.ready(), view.explainer, found)
        self._panel.offer(self.finding)
        if self.finding is not None:
            self._panel.status.text = f"{self.finding.reason}. {self._panel.status.text}"

    def _refuse(self, reason: str) -> None:
        """The input alone, and why there is no map over it."""
        self._panel.offer(None)
        self._panel.status.text, self._panel.attribution.view = reason, "base"
        self._panel.attribution.label = self._panel.attribution.alt = "no map: the line below says why"

    def _sentence(self, view: View, found: Attribution, seconds: float, *, cached: bool) -> str:
        moved = view.at_layer and found.layer != view.layer
        where = f"at {found.layer}" + (f" ({view.layer} has no maps)" if moved else "")
        if found.values.ndim != 2:
            where += ", values and no map"
        elif not self._session.ready().is_spatial(found.layer):
            where += ", a matrix and no map of the input"
        if view.explainer.refines:
            return self._progress(found, None)
        source = "from the recording" if cached else "one backward pass"
        return (
            f"{found.method} for “{found.label}” {where}, score {found.score:.3g}; {source}, {seconds * 1000:.1f} ms "
            f"(recording the input took {self._session.record_seconds * 1000:.0f} ms)"
        )

    def _put(self, row: int, column: int, found: Attribution, *, drafted: bool = False, anew: bool = False) -> None:
        picture, values = self._panel.attribution, found.array
        if values.ndim != 2 or (picture.resolution(row, column) == values.shape and not anew):
            return
        if anew or not (drafted and picture.has(row, column)):
            low = float(values.min()) if found.signed else min(0.0, float(values.min()))
            picture.put(row, column, draft(values) if drafted else values, lo=low, hi=float(values.max()))

    def _prefetch(self) -> Iterator[None]:
        """What was drafted; the layer's channels; maps of the top classes here, of this class at the layers beside."""
        self._worker.pause(REST)
        yield
        view, outline = self._view, self._outline
        if view is None or outline is None:
            return
        for action in self._wishes(view, outline):
            with contextlib.suppress(InterpError):  # a neighbour without maps is simply not prefetched
                action()
            yield

    def _wishes(self, view: View, outline: Outline) -> Iterator[Callable[[], None]]:
        if not view.refusal and not view.explainer.refines:
            yield self._wish(view, view.row, view.column, view.layer)
        yield self._channel_wish(view.layer_row, view.layer, view.channel)
        yield lambda: self._channels.send_all(view)
        rows = [view.layer_row + sign * step for step in range(1, PREFETCHED_LAYERS + 1) for sign in (1, -1)]
        neighbours = [(row, outline.rows[row]) for row in rows if 0 <= row < len(outline.rows)]
        if not view.refusal and not view.explainer.refines:
            if view.at_layer:
                yield from (self._wish(view, row, view.column, layer) for row, layer in neighbours)
            yield from (self._wish(view, view.row, index, view.layer) for index in self._top_classes())
        yield from (self._channel_wish(row, layer, view.channel) for row, layer in neighbours)

    def _wish(self, view: View, row: int, column: int, layer: str) -> Callable[[], None]:
        def fetch() -> None:
            target = column if column >= 0 else view.target
            found = self._session.attribution(layer, target, view.explainer)
            with TURN:
                # The session may have moved on meanwhile: the map belongs to the view it was computed for.
                if view.same_method(self._view) and view.recording == self._session.recordings:
                    self._put(row, column, found)

        return fetch

    def _channel_wish(self, row: int, layer: str, channel: int) -> Callable[[], None]:
        return lambda: self._channels.send(row, layer, channel)

    def _top_classes(self) -> list[int]:
        probabilities = self._session.probabilities()
        return [] if probabilities is None else [int(i) for i in np.argsort(-probabilities)[:PREFETCHED_CLASSES]]
