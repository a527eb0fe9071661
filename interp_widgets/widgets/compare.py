"""``compare``: maps side by side, under one cursor, with where and how much they disagree."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Self

import ipywidgets as widgets
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from interp_widgets import zoo
from interp_widgets.errors import InterpError, ParameterError
from interp_widgets.evaluation.agreement import disagreement, on_one_grid, rank_correlations, ranks
from interp_widgets.explainers import EXPLAINERS, Attribution, Explainer
from interp_widgets.inputs import Preprocess
from interp_widgets.render.colours import colour_table, default_colormap
from interp_widgets.render.snapshot import reduced
from interp_widgets.session.jobs import Worker
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.trace.arguments import as_list, as_names, check_is, check_text, is_name_of, plain_module, shown
from interp_widgets.trace.interrupt import Interrupted, interruptible
from interp_widgets.widgets.kit.browser_widget import close_whole
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.status_line import StatusLine

__all__ = ["Comparison", "compare"]

METHODS = ("GradCAM", "LayerCAM", "InputXGradient", "IntegratedGradients", "Occlusion")
MOST = 36  # maps: more are no comparison
SIDE = 152  # CSS pixels of a map
BASE_SIDE = 304
PAINT_EVERY = 0.1  # seconds between two estimates that are painted
SCALES = [("each map on its own scale", "own"), ("all maps on one scale", "one")]


@dataclass(frozen=True)
class Cell:
    """One map of the grid: what is asked, and what tells it from the others."""

    session: Session
    explainer: Explainer
    layer: str | None
    target: Any
    title: str


class Comparison(widgets.VBox):
    """Linked maps; made by ``compare``.

    Slow methods refine one after the other. Usable as a context manager; ``close`` frees the traces and every child
    widget.
    """

    _closed = True  # until it is built, there is nothing to close

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = tuple(as_list(cells))
        if not self.cells:
            raise ParameterError("a Comparison shows at least one map; iw.compare(model, inputs) makes one")
        for cell in self.cells:
            check_is(cell, Cell, "a Comparison shows Cells; iw.compare(model, inputs) makes them")
        self.attributions: list[Attribution | None] = [None] * len(cells)
        self._stopped = False
        self._worker = Worker(self._fail)
        self._pictures = [_picture(cell) for cell in cells]
        self._difference = Picture(size=SIDE, view="map", signed=True, units="ranks", label="first less second")
        self._difference.table, self._difference.colormap = colour_table("RdBu_r").tobytes(), "RdBu_r"
        self._disagreement = Picture(size=SIDE, view="map", units="ranks", label="disagreement of all")
        self._disagreement.table, self._disagreement.colormap = colour_table("cividis").tobytes(), "cividis"
        self._matrix = widgets.HTML(layout={"min_width": "0", "flex": "1 1 0%", "overflow": "auto"})
        names = [(cell.title, str(place)) for place, cell in enumerate(cells)]
        growing = {"flex": "1 1 0%", "min_width": "0", "width": "auto"}
        last = str(min(1, len(cells) - 1))
        self._first = Menu(options=names, value="0", label="the map that the other is taken from", layout=growing)
        self._second = Menu(options=names, value=last, label="the map that is taken off", layout=growing)
        self.scale = Menu(options=SCALES, value="own", label="scale of the colours", layout={"width": "220px"})
        self.opacity = Slider(label="opacity", value=0.6, step=0.01, layout={"width": "200px"})
        self._status = StatusLine(layout={"flex": "1 1 0%", "min_width": "0"})
        self._stop = widgets.Button(
            description="Stop", tooltip="stop what is being computed", layout={"width": "56px", "visibility": "hidden"}
        )
        super().__init__(self._arrange(), layout={"width": "100%", "overflow": "hidden"})
        self.add_class("iw-explorer")
        self._links = self._link()
        self._closed = False
        self._first.observe(lambda _: self._guard(self._contrast), "value")
        self._second.observe(lambda _: self._guard(self._contrast), "value")
        self.scale.observe(lambda _: self._guard(self._rescale), "value")
        self._stop.on_click(lambda _button: self.stop())
        self._worker.submit(self._compute)

    # What a user asks of it in Python

    @property
    def correlations(self) -> NDArray[np.float64]:
        """Spearman's rank correlation of each two maps that are there, ``(n, n)``.

        Raises:
            InputError: there are none.
        """
        return rank_correlations([found.array for _, found in self._maps()])

    @property
    def disagreement(self) -> NDArray[np.float64]:
        """The standard deviation of each position's rank over the maps, ``(H, W)``.

        Raises:
            InputError: there are none.
        """
        return disagreement([found.array for _, found in self._maps()])

    @property
    def status(self) -> str:
        """How far it is, in words."""
        return self._status.text

    @property
    def error(self) -> str:
        """The sentence shown for the last thing that went wrong."""
        return self._status.error

    def wait(self, timeout: float | None = 120.0) -> bool:
        """Block until nothing is being computed; whether that was reached in ``timeout`` seconds."""
        return self._worker.wait(timeout)

    def stop(self) -> None:
        """Give up what is being computed; what is on the screen stays."""
        self._stopped = True
        self._worker.cancel()
        self._stop.layout.visibility = "hidden"
        self._status.text = "stopped; what is shown is what was there by then"

    def close(self) -> None:
        """Free the traces and close every child widget. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._worker.close()
        for link in self._links:
            link.close()
        for session in {cell.session for cell in self.cells}:
            session.close()
        for child in self.children:
            close_whole(child)
        self.layout.close()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.cells)} maps{': closed' if self._closed else ''}>"

    # The screen

    def _arrange(self) -> list[widgets.Widget]:
        head = widgets.HBox([self.scale, self.opacity], layout={"align_items": "center", "grid_gap": "8px"})
        wrapped = {"width": "100%", "flex_flow": "row wrap", "grid_gap": "8px", "align_items": "flex-start"}
        grid = widgets.HBox(self._pictures, layout=wrapped)
        less = widgets.Label("less", layout={"flex": "0 0 auto"})
        chosen = widgets.HBox([self._first, less, self._second], layout={"width": f"{2 * SIDE + 8}px"})
        beside = widgets.HBox([self._difference, self._disagreement], layout={"grid_gap": "8px"})
        below = widgets.HBox([widgets.VBox([chosen, beside]), self._matrix], layout=wrapped)
        foot = widgets.HBox([self._status, self._stop], layout={"width": "100%"})
        return [head, grid, below, foot] if len(self.cells) > 1 else [head, grid, foot]

    def _link(self) -> list[widgets.Widget]:
        """One cursor and one opacity, in the browser."""
        first, *others = [*self._pictures, self._difference, self._disagreement]
        cursors = [widgets.jslink((first, "cursor"), (other, "cursor")) for other in others]
        return cursors + [widgets.jsdlink((self.opacity, "value"), (each, "opacity")) for each in self._pictures]

    def _guard(self, action: Callable[[], object]) -> None:
        if self._closed:
            return
        try:
            with TURN:
                self._status.error = ""
                action()
        except Exception as error:  # noqa: BLE001 - ipywidgets would swallow it
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._closed:
            with TURN:
                own = isinstance(error, InterpError)
                self._status.error = str(error) if own else f"{type(error).__name__}: {error}"
                self._stop.layout.visibility = "hidden"

    # The maps

    def _maps(self) -> list[tuple[int, Attribution]]:
        """The maps that are there, by their place."""
        found = enumerate(self.attributions)
        return [(place, each) for place, each in found if each is not None and each.values.ndim == 2]

    def _compute(self) -> Iterator[None]:
        started = time.perf_counter()
        self._stop.layout.visibility = "visible"
        for place, cell in enumerate(self.cells):
            with TURN:
                self._pictures[place].busy = True
            yield from self._refine(place, cell)
        with TURN:
            self._rescale()
            self._contrast()
            self._stop.layout.visibility = "hidden"
            shown = len(self._maps())
            self._status.text = f"{shown} of {len(self.cells)} maps in {time.perf_counter() - started:.1f} s"

    def _refine(self, place: int, cell: Cell) -> Iterator[None]:
        started, painted = time.perf_counter(), 0.0
        unwanted = partial(self._unwanted)
        stream = cell.session.stream(cell.layer, cell.target, cell.explainer)
        while not unwanted():
            try:
                with interruptible(unwanted):
                    found = next(stream, None)
            except Interrupted:
                return
            except InterpError as error:
                with TURN:
                    self._refuse(place, str(error))
                return
            if found is None:
                return
            last = found.done >= found.total
            if last or time.perf_counter() - painted > PAINT_EVERY:
                painted = time.perf_counter()
                with TURN:
                    self._paint(place, found, painted - started)
            yield

    def _unwanted(self) -> bool:
        return self._closed or self._stopped

    def _paint(self, place: int, found: Attribution, seconds: float) -> None:
        if found.values.ndim != 2:
            self._refuse(place, f"values of shape {tuple(found.values.shape)} and no map: see iw.explore")
            return
        self.attributions[place] = found
        picture, values = self._pictures[place], found.array
        low = float(values.min()) if found.signed else min(0.0, float(values.min()))
        picture.put(0, 0, values, lo=low, hi=float(values.max()))
        with picture.hold_sync():
            picture.signed, picture.alt, picture.busy = found.signed, found.describe(), False
        words = (f"map {place + 1} of {len(self.cells)}: {self.cells[place].title}", found.progress(seconds))
        self._status.text = ", ".join(filter(None, words))

    def _refuse(self, place: int, reason: str) -> None:
        picture = self._pictures[place]
        with picture.hold_sync():
            picture.view, picture.busy = "base", False
            picture.label = f"{self.cells[place].title}: no map"
            picture.alt = f"no map: {reason}"
        self._status.error = f"{self.cells[place].title}: {reason}"

    def _rescale(self) -> None:
        """Colours over each map's own range, or over that of all of them."""
        found = [each.array for _, each in self._maps()]
        if not found:
            return
        low, high = min(float(each.min()) for each in found), max(float(each.max()) for each in found)
        signed = any(each.signed for _, each in self._maps())
        if signed:
            low, high = -max(-low, high), max(-low, high)
        shared = self.scale.value == "one"
        for place, each in self._maps():
            picture = self._pictures[place]
            name = default_colormap(signed=signed if shared else each.signed)
            with picture.hold_sync():
                picture.own_range, picture.low, picture.high = not shared, min(0.0, low), high
                picture.colormap, picture.table = name, colour_table(name).tobytes()

    def _contrast(self) -> None:
        """The difference of two maps, where all of them disagree, and how much each two do."""
        maps = dict(self._maps())
        if len(maps) < 2:
            return
        arrays = [found.array for found in maps.values()]
        apart = disagreement(arrays)
        self._disagreement.put(0, 0, apart, lo=0.0)
        self._disagreement.alt = f"standard deviation of the ranks over {len(maps)} maps, mean {apart.mean():.2f}"
        titles = [self.cells[place].title for place in maps]
        self._matrix.value = _table(titles, rank_correlations(arrays))
        first, second = (int(menu.value or 0) for menu in (self._first, self._second))
        if first in maps and second in maps:
            a, b = (ranks(each) for each in on_one_grid([maps[first].array, maps[second].array]))
            self._difference.put(0, 0, a - b)
            self._difference.alt = (
                f"{self.cells[first].title} less {self.cells[second].title}, by rank: {(a - b).min():.2f} to "
                f"{(a - b).max():.2f}"
            )


def compare(  # noqa: PLR0913 - what can vary
    model: nn.Module | str | None = None,
    inputs: Any = None,
    *,
    methods: Sequence[str | Explainer] | None = None,
    layers: Sequence[str] | None = None,
    targets: Sequence[Any] | None = None,
    images: Sequence[Any] | None = None,
    models: Sequence[nn.Module | str] | Mapping[str, nn.Module | str] | None = None,
    class_names: Iterable[object] | None = None,
    preprocess: Preprocess | Callable[[Any], torch.Tensor] | None = None,
) -> Comparison:
    """Maps of one question asked in several ways, side by side under one cursor.

    Whatever is given as a list varies: methods, layers, targets, images, models, or several of them (then every
    combination, at most 36). Below the maps: the difference of two, where all of them disagree (both by rank, so that
    units do not matter), and the matrix of their rank correlations.

    Args:
        model: an ``nn.Module`` or the name of a zoo or torchvision model; not with ``models``.
        inputs: a path, image, array or tensor; not with ``images``.
        methods: names in ``EXPLAINERS``, or explainers; five common ones when nothing else varies, else Grad-CAM.
        layers: module paths, for methods that explain a layer.
        targets: class indices or names, or target objects; the prediction by default.
        models: a list, or a mapping from what each is called.

    Raises:
        ParameterError: no such method, nothing to vary, or too much.
        Whatever ``explore`` raises.
    """
    if (model is None) == (models is None):
        raise ParameterError("give either model or models")
    given = [model] if model is not None else as_list(models)
    chosen = dict(models) if isinstance(models, Mapping) else _named(given)
    layers = None if layers is None else [check_text(layer, "a layer") for layer in as_list(layers)]
    targets = None if targets is None else as_list(targets)
    images = None if images is None else as_list(images)
    pictures: list[Any] = images or [inputs]
    if methods is None:
        alone = not (layers or targets or len(pictures) > 1 or len(chosen) > 1)
        methods = METHODS if alone else ("GradCAM",)
    explainers = [_explainer(each) for each in as_list(methods)]
    count = len(chosen) * len(pictures) * len(layers or [0]) * len(targets or [0]) * len(explainers)
    if not 0 < count <= MOST:
        raise ParameterError(f"compare shows 1 to {MOST} maps, got {count}: give fewer methods, layers, or images")
    cells = []
    places: Sequence[str | None] = layers or [None]
    for (name, each), (number, picture) in product(chosen.items(), enumerate(pictures)):
        session = _session(each, picture, class_names, preprocess)
        for layer, target, explainer in product(places, targets or [None], explainers):
            parts = [
                name if len(chosen) > 1 else "",
                f"image {number + 1}" if len(pictures) > 1 else "",
                layer if layers is not None and len(layers) > 1 else "",
                session.name_of_target(target) if targets is not None and len(targets) > 1 else "",
                explainer.title if len(explainers) > 1 else "",
            ]
            title = " · ".join(part for part in parts if part) or explainer.title
            cells.append(Cell(session, explainer, layer, target, title))
    return Comparison(cells)


def _named(models: Any) -> dict[str, nn.Module | str]:
    """Each model by its name or its class; further ones of a class with a number."""
    found: dict[str, nn.Module | str] = {}
    for each in models:
        name = each if isinstance(each, str) else type(each).__name__
        found[f"{name} {len(found) + 1}" if name in found else name] = each
    return found


def _explainer(method: str | Explainer) -> Explainer:
    if isinstance(method, Explainer):
        return method
    if not is_name_of(method, EXPLAINERS):
        raise ParameterError(f"no explainer is named {shown(method)}: {', '.join(EXPLAINERS)}")
    return EXPLAINERS[method]()


def _session(
    model: nn.Module | str | None,
    inputs: Any,
    class_names: Iterable[object] | None,
    preprocess: Preprocess | Callable[[Any], torch.Tensor] | None,
) -> Session:
    if not isinstance(model, str):
        module = plain_module(model)
        if inputs is None:
            raise ParameterError("give an input: a path, image, array or tensor, got None")
        return Session(module, inputs, class_names=class_names, preprocess=preprocess)
    entry = zoo.load(model)
    if inputs is None and not entry.examples:
        raise ParameterError(f"{model!r} comes without examples: give an input, a path, image, array or tensor")
    given = entry.examples[0].image if inputs is None else inputs
    return Session(
        entry.model,
        given,
        class_names=as_names(class_names) or entry.class_names,
        preprocess=preprocess or entry.preprocess,
    )


def _picture(cell: Cell) -> Picture:
    picture = Picture(size=SIDE, label=cell.title, alt=f"{cell.title}, not computed yet")
    shown = cell.session.picture()
    if shown is not None:
        picture.set_base(reduced(shown, BASE_SIDE))
    return picture


def _table(titles: Sequence[str], correlations: NDArray[np.float64]) -> str:
    """The matrix as an HTML table: numbers, and a shade for how large they are."""

    def shown(value: float) -> str:
        if np.isnan(value):
            return "<td style='text-align:right'>none</td>"
        return f"<td style='text-align:right;background:rgba(33,113,181,{max(0.0, value) / 2:.2f})'>{value:.2f}</td>"

    head = "".join(f"<th scope='col'>{number + 1}</th>" for number in range(len(titles)))
    rows = [
        f"<tr><th scope='row' style='text-align:left;white-space:nowrap'>{number + 1} {html.escape(title)}</th>"
        f"{''.join(map(shown, row.tolist()))}</tr>"
        for number, (title, row) in enumerate(zip(titles, correlations, strict=True))
    ]
    caption = "<caption style='text-align:left'>rank correlation of each two maps</caption>"
    style = "line-height:1.4;border-spacing:2px;border-collapse:separate"
    return f"<table style='{style}'>{caption}<tr><th></th>{head}</tr>{''.join(rows)}</table>"
