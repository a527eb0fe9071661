"""``Comparison``: maps side by side, under one cursor, with where and how much they disagree."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from interp_widgets.errors import InterpError, ParameterError
from interp_widgets.evaluation.agreement import disagreement, rank_correlations
from interp_widgets.explainers import Attribution, Explainer
from interp_widgets.render.snapshot import maps_png
from interp_widgets.session.jobs import Jobs, Rank, Steps
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.trace.arguments import as_list, check_is, check_text
from interp_widgets.widgets.kit.agreement import Agreement
from interp_widgets.widgets.kit.browser_widget import close_whole
from interp_widgets.widgets.kit.heading import heading
from interp_widgets.widgets.kit.links import BrowserLinks
from interp_widgets.widgets.screen import Screen
from interp_widgets.widgets.views.map import SIDE, MapView
from interp_widgets.widgets.views.shared_look import SharedLook
from interp_widgets.widgets.views.status_bar import StatusBar, in_words
from interp_widgets.words import say

__all__ = ["Cell", "Comparison"]

NAMED = ["trace", "layer", "target"]  # traits of a session that the title follows


@dataclass(frozen=True)
class Cell:
    """One map of the grid: what is asked, and what tells it from the others."""

    session: Session
    explainer: Explainer
    layer: str | None
    target: Any
    title: str


class Comparison(Screen):
    """Linked maps; made by ``compare``.

    Slow methods refine one after the other; one that fails says so in its place, and the others go on. Usable as a
    context manager; ``close`` frees the traces and every child widget.

    Args:
        cells: one for each map.
        title: what the models are called; by default by their classes.
        still: whether a saved notebook shows a picture of it, which follows the state.
    """

    def __init__(self, cells: Sequence[Cell], title: str = "", *, still: bool = True) -> None:
        self.cells = tuple(as_list(cells))
        if not self.cells:
            raise ParameterError(say("a Comparison shows at least one map; iw.compare(model, inputs) makes one"))
        for cell in self.cells:
            check_is(cell, Cell, say("a Comparison shows Cells; iw.compare(model, inputs) makes them"))
        self._sessions = tuple(dict.fromkeys(cell.session for cell in self.cells))
        kinds = dict.fromkeys(type(session.model).__name__ for session in self._sessions)
        self._models = check_text(title, "title") or ", ".join(kinds)
        self._stopped = False
        self._started = time.perf_counter()
        self._jobs = Jobs()  # one worker for all maps, whatever session they are of
        self._bar = StatusBar()
        self._title = heading("")
        self.agreement = Agreement([cell.title for cell in self.cells], SIDE)
        self.views: tuple[MapView, ...] = ()
        self.views = tuple(self._view(cell) for cell in self.cells)
        self._shared = SharedLook(self.views)
        self.scale, self.opacity, self.look = self._shared.scale, self._shared.opacity, self._shared.look
        super().__init__(self._arrange(), still=still)
        self._links = self._link()
        self._bar.on_stop(self._give_up)
        for session in self._sessions:
            session.observe(self._question_changed, NAMED)
        self._closed = False
        self._name_question()
        self._agree()

    # What a user asks of it in Python

    @property
    def title(self) -> str:
        """What is compared: the model, the input, the class and the layer, as far as all maps have them in common."""
        return str(self._title.value)

    @property
    def attributions(self) -> list[Attribution | None]:
        """The map of each cell, ``None`` where it is not computed yet, or cannot be had."""
        return [view.found for view in self.views]

    @property
    def correlations(self) -> NDArray[np.float64]:
        """Spearman's rank correlation of the evidence of each two maps that are there, ``(n, n)``.

        Which evidence, and in which cells, as ``evaluation.agreement.on_shared_cells`` says.

        Raises:
            InputError: there are none.
        """
        return rank_correlations(self._cells())

    @property
    def disagreement(self) -> NDArray[np.float64]:
        """The standard deviation of each cell's rank over the maps, ``(H, W)``; cells as for ``correlations``.

        Raises:
            InputError: there are none.
        """
        return disagreement(self._cells())

    def _cells(self) -> list[NDArray[np.float64]]:
        return list(self.agreement.cells([found.array for found in self._maps().values()]))

    @property
    def status(self) -> str:
        """How far it is, in words."""
        return self._bar.text

    @property
    def error(self) -> str:
        """The sentences shown for what went wrong."""
        refused = [view.error for view in self.views if view.refusal]
        return " · ".join(filter(None, (*refused, self._bar.error)))

    def wait(self, timeout: float | None = 120.0) -> bool:
        """Block until nothing is being computed; whether that was reached in ``timeout`` seconds."""
        return self._jobs.wait(timeout)

    def stop(self) -> None:
        """Give up what is being computed; what is on the screen stays."""
        self._bar.stop.click()

    def _free(self) -> None:
        self._jobs.close()
        self._links.close()
        for view in self.views:
            view.close()
        for session in self._sessions:
            session.unobserve(self._question_changed, NAMED)
            session.close()
        close_whole(self.agreement)

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.cells)} maps{': closed' if self._closed else ''}>"

    def _alt(self) -> str:
        return "; ".join((self.title, *(view.picture.alt for view in self.views)))

    def _png(self) -> bytes:
        """From what the widgets hold: the models need not be there any more."""
        with TURN:
            pictures = [(view.picture.label, view.note, view.picture.as_array()) for view in self.views]
            return maps_png(pictures, self.title, self.status)

    # The screen

    def _view(self, cell: Cell) -> MapView:
        view = MapView(
            cell.session,
            explainer=cell.explainer,
            layer=cell.layer,
            target=cell.target,
            name=cell.title,
            on_change=self._agree,
            bar=self._bar,
            jobs=self._jobs,
        )
        view.layout.width, view.layout.min_width = "auto", "0"
        return view

    def _arrange(self) -> list[widgets.Widget]:
        self._title.layout.flex, self._title.layout.min_width = "0 1 auto", "0"
        grid = widgets.Box(self.views, layout={"width": "100%"})
        grid.add_class("iw-compare-maps")
        agreement = [self.agreement] if len(self.cells) > 1 else []
        return [self._title, self._shared, grid, *agreement, self._bar]

    def _link(self) -> BrowserLinks:
        """One cursor, one opacity and one look, in the browser."""
        links = BrowserLinks()
        pictures = [view.picture for view in self.views]
        first, *others = [*pictures, self.agreement.difference, self.agreement.disagreement]
        for other in others:
            links.both_ways((first, "cursor"), (other, "cursor"))
        self._shared.link(links)
        return links

    def _maps(self) -> dict[int, Attribution]:
        """The maps that are there, by their place."""
        return {place: found for place, found in enumerate(self.attributions) if found is not None}

    # What is compared

    def _question_changed(self, _change: object) -> None:
        """Another class, layer or input: the maps are computed anew."""
        self._stopped, self._started = False, time.perf_counter()
        self._later("title", self._name_question, Rank.ASKED)
        self._agree()

    def _name_question(self) -> None:
        """Write the title."""
        inputs = [session.name_of(session.example) for session in self._sessions]
        label = _common([cell.session.name_of_target(cell.target) for cell in self.cells if _has_target(cell)])
        parts = [
            self._models,
            _common(inputs),
            say("for “{label}”", label=label) if label else "",
            _place(self.cells),
        ]
        self._title.value = " · ".join(part for part in parts if part)

    def _agree(self) -> None:
        """Show the maps that are there alike, and compare them before a slow one is gone on with."""
        if self._closed:  # while it is made, some maps may be known already
            return
        self._changed()
        self._shared.dress()
        self._later("agreement", self._compare_maps, Rank.ASKED)
        self._later("status", self._say_how_many, Rank.LATER)

    def _compare_maps(self) -> None:
        maps = {place: found for place, found in self._maps().items() if found.done >= found.total or self._stopped}
        self.agreement.show({place: found.array for place, found in maps.items()})

    def _say_how_many(self) -> None:
        """Say which maps there are, once nothing is computed any more."""
        if self._bar.at_work() or self._stopped:
            return
        seconds = time.perf_counter() - self._started
        count, of_all = len(self._maps()), len(self.cells)
        words = [say("{count} of {all} maps in {seconds:.1f} s", count=count, all=of_all, seconds=seconds)]
        refused = [cell.title for cell, view in zip(self.cells, self.views, strict=True) if view.refusal]
        if refused:
            words.append(say("no map of {titles}", titles=", ".join(refused)))
        self._bar.say("; ".join(words))

    def _later(self, kind: str, action: Callable[[], object], rank: Rank) -> None:
        """Do something on the worker's thread, unless it is closed by then; of one kind only the newest."""

        def steps() -> Steps:
            with TURN:
                if not self._closed:
                    action()
            yield

        self._jobs.submit((self, kind), steps, on_error=self._fail, rank=rank)

    def _give_up(self) -> None:
        """Compare the estimates that are there."""
        self._stopped = True
        self._agree()

    def _fail(self, error: BaseException) -> None:
        with TURN:
            if not self._closed:
                self._bar.complain(self, in_words(error))


def _common(values: Sequence[str]) -> str:
    """The one value that all have; empty where they differ, and where there are none."""
    return values[0] if len(set(values)) == 1 else ""


def _has_target(cell: Cell) -> bool:
    return cell.target is not None or cell.session.target is not None


def _place(cells: Sequence[Cell]) -> str:
    """Where the methods look, in words; empty where their layers differ, or none explains a layer."""
    explaining = [cell for cell in cells if cell.session.explains_layer(cell.explainer)]
    layers = []
    for cell in explaining:
        with suppress(InterpError):  # no layer has maps: the cell says so
            layers.append(cell.session.place(cell.layer, cell.explainer))
    layer = _common(layers)
    if not layer:
        return ""
    if len(explaining) < len(cells):
        return say("at {layer} and at the input", layer=layer)
    return say("at {layer}", layer=layer)
