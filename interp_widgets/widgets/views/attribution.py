"""``AttributionView``: a method's map over the input, with the method's own controls.

A map that the recording has is drawn at once, any other as soon as the worker has it, estimate by estimate where the
method refines. Then the maps that may be asked for next are sent ahead: other classes here, this class at the layers
beside it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets as t
from numpy.typing import NDArray

from interp_widgets.errors import InterpError
from interp_widgets.evaluation import Finding, diagnose, is_odd
from interp_widgets.explainers import EXPLAINERS, Attribution
from interp_widgets.inspectors.channels import draft
from interp_widgets.inspectors.outline import outline_of, row_of
from interp_widgets.render.colours import DIVERGING, SEQUENTIAL, colour_table, default_colormap
from interp_widgets.render.look import USUAL_OPACITY, ends_of
from interp_widgets.render.snapshot import reduced
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.widgets.kit.figures import figures
from interp_widgets.widgets.kit.links import mirror
from interp_widgets.widgets.kit.look_controls import LookControls
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.parameters import Parameters
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.tiles import Tiles
from interp_widgets.widgets.views.attribution_state import (
    AttributionState,
    being_computed,
    refusal_of,
    sentence,
    way_on,
)
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.words import say

__all__ = ["AttributionView"]

SIZE = 320  # CSS pixels that the map is drawn for; the page shows it as large as there is room
BASE_SIDE = 448  # pixels of the input's longer side in the browser; more would make every draw slower than a frame
BYTE_LIMIT = 4_000_000  # of frames; an Explorer that is left alone keeps no more than two of these
VECTOR = 12  # values shown of an attribution that is no map, the largest first
CLASSES = 5  # whose maps are prefetched
MENU = {"width": "auto", "margin": "0 2px 4px 2px", "min_width": "0"}
NEIGHBOURS = 2  # layers up and down whose maps are prefetched


class AttributionView(SessionView):
    """The map of the chosen method, and the controls of that method.

    ``follows_layer`` says whether the map belongs to the layer that is looked at.
    """

    watches = ("trace", "layer", "target", "explainer", "at_layer", "tolerance")
    follows_layer = t.Bool(False)
    _doing = ""  # what is being computed, in words
    _unfinished: tuple[int, int] | None = None  # row and column of an estimate that is held

    def build(self) -> list[widgets.Widget]:
        """A column with the picture, and the row of parameters."""
        methods = [(kind.title, name) for name, kind in EXPLAINERS.items()]
        self.method = Menu(options=methods, value=methods[0][1], label=say("method"), layout={**MENU, "flex": "2 1 0%"})
        self.method.groups = {name: say(kind.family) for name, kind in EXPLAINERS.items()}
        self.method.meanings = {name: say(kind.summary) for name, kind in EXPLAINERS.items()}
        colours = [(name, name) for name in SEQUENTIAL]
        self.colormap = Menu(
            options=colours,
            value=colours[0][1],
            label=say("colours"),
            help=say("how the values of the map are coloured"),
            layout={**MENU, "flex": "1 1 0%"},
        )
        self.look = LookControls(layout={"flex": "0 1 auto", "width": "auto"})
        self.picture = Picture(
            size=SIZE, fluid=True, accepts=True, byte_limit=BYTE_LIMIT, noted=True, look=self.look.look
        )
        self._bars: Tiles | None = None
        self.opacity = Slider(
            label=say("opacity"),
            help=say("how much the map covers the input"),
            value=USUAL_OPACITY,
            step=0.01,
            layout={"flex": "1 1 120px", "width": "auto"},
        )
        self.parameters = Parameters()
        choice = widgets.HBox([self.method, self.colormap])
        shades = widgets.HBox([self.opacity, self.look], layout={"flex_flow": "row wrap", "align_items": "center"})
        self._column = widgets.VBox([choice, self.picture, shades])
        return [self._column, self.parameters.root]

    def bind(self) -> None:
        """Method and parameters set the explainer; colours are the view's own."""
        self.on(self.method, "value", self._choose_method)
        self.on(self.colormap, "value", lambda _name: self._colour())
        self.on(self.parameters.at_layer, "value", lambda value: self.session.set_trait("at_layer", value))
        self.parameters.on_change(lambda name, value: self.act(lambda: self._choose_parameter(name, value)))
        self.picture.on_need(lambda _row, _column: self.draw_again())
        self.listen(self.bar, "waiting", lambda change: self.show_busy(busy=change["new"]))

    def close(self) -> None:
        """Close the view, with the controls of methods that are not shown."""
        self.parameters.close()
        super().close()

    def link(self) -> None:
        """Opacity and look need no kernel."""
        self.links.one_way((self.opacity, "value"), (self.picture, "opacity"))
        self.links.one_way((self.look, "look"), (self.picture, "look"))

    # The state

    def resolve(self, session: Session) -> AttributionState:
        """What is asked, with the map when it is known or costs nothing."""
        trace, method, target = session.ready(), session.method, session.target
        layer = session.layer if session.explains_layer() else ""
        state = AttributionState(
            recording=session.recordings,
            layer=layer,
            row=row_of(trace, layer) if layer else 0,
            column=target if isinstance(target, int) else -1,
            target=target,
            explainer=method,
            at_layer=session.at_layer,
            tolerance=session.tolerance,
            unmet=session.unmet_needs(),
        )
        started = time.perf_counter()
        try:
            refusal = refusal_of(session)
            found = session.attribution() if not refusal and session.is_cheap() else None
        except InterpError as error:
            return replace(state, refusal=str(error))
        finding = None if found is None or is_odd(trace, method, found) else diagnose(trace, method, found)
        seconds = time.perf_counter() - started
        return replace(state, refusal=refusal, found=found, finding=finding, seconds=seconds, is_cached=True)

    def pending(self, state: AttributionState) -> bool:
        """The map is computed, or getting better, or it is to be found out why it says nothing."""
        if state.refusal:
            return False
        if state.found is None or state.found.done < state.found.total:
            return True
        return state.finding is None and is_odd(self.session.ready(), state.explainer, state.found)

    def takes_long(self, state: AttributionState) -> bool:
        """Methods that refine run the model many times."""
        return state.explainer.refines

    def work(self, state: AttributionState) -> Iterator[AttributionState | None]:
        """The map, or one estimate after another."""
        started = time.perf_counter()
        try:
            if state.found is None and state.explainer.refines:
                stream = self.session.stream(state.layer or None, state.target, state.explainer)
                for found in self.jobs.refine(stream):
                    seconds = time.perf_counter() - started
                    yield None if found is None else self._with(state, found, seconds)
                return
            found = self._attribution(state, state.layer or None, state.target)
        except InterpError as error:
            yield replace(state, refusal=str(error))
            return
        yield self._with(state, found, time.perf_counter() - started)

    def _attribution(self, state: AttributionState, layer: str | None, target: Any) -> Attribution:
        """The state's method, whatever the session says by now."""
        return self.session.attribution(layer, target, state.explainer)

    def _with(self, state: AttributionState, found: Attribution, seconds: float) -> AttributionState:
        is_last = found.done >= found.total
        finding = diagnose(self.session.ready(), state.explainer, found) if is_last else None
        return replace(state, found=found, finding=finding, seconds=seconds, is_cached=False)

    # The screen

    def draw(self, state: AttributionState) -> None:
        """The method's controls when it is another, the map under its key, the words below."""
        last: AttributionState | None = self.drawn
        if last is None or state.recording != last.recording:
            self._show_input()
        if not state.shares_frames(last):
            self._show_method(state)
        if last is None or (state.explainer, state.at_layer) != (last.explainer, last.at_layer):
            self.parameters.show(state.explainer, at_layer=state.at_layer)
        self.method.unavailable = dict(state.unmet)
        self.follows_layer = state.explains_layer
        if state is last:
            return
        if state.refusal:
            self._refuse(state.refusal)
        elif state.found is not None:
            self._show_map(state, state.found)
        else:
            self._announce(state)

    def place(self, state: AttributionState, last: AttributionState | None) -> None:
        """The key of the map in the browser; menu and parameters."""
        if last is None or state.row != last.row:
            mirror(self.picture, "row", state.row)
        if last is None or state.column != last.column:
            mirror(self.picture, "column", state.column)
        if last is None:
            self.method.value = type(state.explainer).__name__
            self.parameters.show(state.explainer, at_layer=state.at_layer)

    def describe(self, state: AttributionState) -> str:
        """The map in words."""
        if state.found is None:
            return state.refusal or say("the map is being computed")
        return state.found.describe()

    @property
    def bars(self) -> Tiles:
        """The values of an attribution that is no map; made when there is one."""
        if self._bars is None:
            self._bars = Tiles(
                mode="bars",
                measure=say("value"),
                help=say("the largest values of the attribution, by size"),
                layout={"width": "100%"},
            )
            self._column.children = [*self._column.children, self._bars]
        return self._bars

    def show_busy(self, *, busy: bool) -> None:
        """Not over an estimate: that is there to be looked at."""
        has_estimate = self.drawn is not None and self.drawn.found is not None and self.drawn == self._asked
        is_busy = self.bar.waiting or (busy and not has_estimate)
        self.picture.doing = say("running the model…") if self.bar.waiting else self._doing
        self.picture.busy = is_busy

    def failed(self, sentence: str) -> None:
        """The input alone, where nothing was computed of what was asked for: an older map would pass for it."""
        state = self.drawn
        is_on_its_way = self._asked is not None and not self._stopped
        if is_on_its_way or state is None or state.refusal or state.found is not None:
            return
        self._show_no_map(say("no map: the status line says why") if sentence else say("stopped: no map yet"))

    def late(self, state: AttributionState) -> None:
        """What was scrubbed over is shown on the way, but no early estimate: nothing would make it better."""
        is_current = state.recording == self.session.recordings and state.shares_frames(self._asked)
        if is_current and state.found is not None and state.found.done >= state.found.total:
            self._put(state.row, state.column, state.found, is_draft=True)

    def _show_input(self) -> None:
        """Another input, or the model has changed: everything drawn so far is out of date."""
        self.picture.clear()
        shown = self.session.picture()
        if shown is not None:
            self.picture.set_base(reduced(shown, BASE_SIDE))

    def _show_method(self, state: AttributionState) -> None:
        method, name = state.explainer, type(state.explainer).__name__
        if name not in [value for _, value in self.method.options]:
            with self.method.hold_sync():
                self.method.groups = {**self.method.groups, name: say(method.family)}
                self.method.meanings = {**self.method.meanings, name: say(method.summary)}
                self.method.options = [*self.method.options, (method.title, name)]
        self.method.value = name
        self.picture.clear()
        self.picture.signed = method.signed
        self.parameters.show_baseline(self.session.baseline_picture())
        options = DIVERGING if method.signed else SEQUENTIAL
        if self.colormap.value not in options:
            with self.colormap.hold_sync():
                self.colormap.value = ""
                self.colormap.options = [(name, name) for name in options]
                self.colormap.value = default_colormap(signed=method.signed)
        self._colour()

    def _announce(self, state: AttributionState) -> None:
        """Name what is being computed, over and below the map before it."""
        self._doing = being_computed(state, self.session)
        self.picture.label = " · ".join((state.explainer.title, self.session.name_of_target(state.target)))
        if state.explainer.refines:
            self.bar.offer_nothing()
            self.bar.say(self._doing)

    def _show_map(self, state: AttributionState, found: Attribution) -> None:
        is_map = found.values.ndim == 2
        self.picture.view = "overlay"
        self.picture.layout.display = "" if is_map else "none"
        if self._bars is not None:
            self._bars.layout.display = "none" if is_map else ""
        self.opacity.layout.visibility = self.look.layout.visibility = "visible" if is_map else "hidden"
        if is_map:
            self._offer_look(found)
            refines = state.explainer.refines
            self._put(state.row, state.column, found, is_draft=not refines or self.pending(state), anew=refines)
        else:
            self._show_values(found)
        self.picture.label = " · ".join(filter(None, (found.method, found.label, found.doubt)))
        self.picture.alt = found.describe()
        self.picture.units = say("relevance") if found.change is None else say("score")  # what adds up is score
        self.picture.busy = self.bar.waiting
        words = sentence(state, found, self.session)
        finding = state.finding or way_on(state, found)
        if finding is not None:
            words = say("{reason}. {description}", reason=finding.reason, description=words)
        self.bar.say(words)
        self._advise(finding)

    def _offer_look(self, found: Attribution) -> None:
        """The look that was chosen for maps of this kind, or their usual one."""
        before = self.look.look
        self.look.offer(found.look, found.display().high)
        if self.look.look != before:  # while it is dragged, the browser is further than the kernel knows
            self.picture.look = self.look.look

    def _show_values(self, found: Attribution) -> None:
        """Bars for an attribution that is a list of values."""
        values = found.array.ravel()
        order = np.argsort(-np.abs(values), kind="stable")[:VECTOR]
        captions = [figures(float(values[i])) for i in order]
        labels = found.feature_labels
        names = [labels[i] for i in order] if labels else []
        self.bars.alt = found.describe()
        self.bars.show_bars(values[order].tolist(), numbers=order.tolist(), captions=captions, names=names)

    def _refuse(self, reason: str) -> None:
        """The input alone, and why there is no map over it."""
        self.bar.offer_nothing()
        self.bar.say(reason)
        self._show_no_map(say("no map: the status line says why"))

    def _show_no_map(self, words: str) -> None:
        if self._bars is not None:  # values of another method, or input
            self._bars.layout.display = "none"
        self.picture.layout.display = "" if self.picture.base else "none"
        self.picture.view = "base"
        self.picture.label = self.picture.alt = words

    def _advise(self, finding: Finding | None) -> None:
        """Offer the way out of a map that says nothing."""
        if finding is None or not finding.remedy:
            self.bar.offer_nothing()
            return
        words = finding.remedy[:1].upper() + finding.remedy[1:]
        self.bar.offer(words, finding.reason, lambda: self.act(lambda: self._take_way_out(finding)))

    def _put(self, row: int, column: int, found: Attribution, *, is_draft: bool = False, anew: bool = False) -> None:
        """Hold a map in the browser; ``anew``: also where there is one, an earlier estimate.

        Then an estimate that was given up for it goes, which nobody could tell from a finished one.
        """
        self._hold(row, column, found.array, is_draft=is_draft, anew=anew)
        given_up = self._unfinished
        if given_up is not None and given_up != (row, column):
            self.picture.drop(*given_up)
        self._unfinished = (row, column) if found.done < found.total else None

    def _hold(self, row: int, column: int, values: NDArray[np.float32], *, is_draft: bool, anew: bool) -> None:
        if values.ndim != 2 or (self.picture.resolution(row, column) == values.shape and not anew):
            return
        if anew or not (is_draft and self.picture.has(row, column)):
            sent = draft(values) if is_draft else values
            is_whole = sent.shape == values.shape  # a draft of fewer values is soon replaced: bytes will do
            low, high = ends_of(values)
            self.picture.put(row, column, sent, lo=low, hi=high, exact=is_whole)

    def _colour(self) -> None:
        self.picture.colormap = self.colormap.value
        self.picture.table = colour_table(self.colormap.value).tobytes()

    # What may be asked for next

    def prefetch(self, state: AttributionState) -> Iterator[Callable[[], object]]:
        """The map itself where a draft is shown, this class at the layers beside, the likeliest classes here."""
        if state.refusal or state.explainer.refines:
            return
        yield partial(self._fetch, state, state.row, state.layer, state.column)
        rows = outline_of(self.session.ready()).rows
        if state.explains_layer:
            for step in range(1, NEIGHBOURS + 1):
                for row in (state.row + step, state.row - step):
                    if 0 <= row < len(rows):
                        yield partial(self._fetch, state, row, rows[row], state.column)
        probabilities = self.session.probabilities()
        likeliest = [] if probabilities is None else np.argsort(-probabilities)[:CLASSES].tolist()
        for index in likeliest:
            yield partial(self._fetch, state, state.row, state.layer, index)

    def _fetch(self, state: AttributionState, row: int, layer: str, column: int) -> None:
        found = self._attribution(state, layer or None, column if column >= 0 else state.target)
        with TURN:
            # The session may have moved on meanwhile: the map belongs to the state it was computed for.
            is_current = state.recording == self.session.recordings and not self.closed
            if is_current and state.shares_frames(self._asked):
                self._put(row, column, found)

    # What the controls do

    def _choose_method(self, name: str) -> None:
        if name and name != type(self.session.method).__name__:
            self.session.explainer = name

    def _choose_parameter(self, name: str, value: Any) -> None:
        self.session.explainer = dataclasses.replace(self.session.method, **{name: value})

    def _take_way_out(self, finding: Finding) -> None:
        for name, value in finding.change.items():
            setattr(self.session, name, value)
