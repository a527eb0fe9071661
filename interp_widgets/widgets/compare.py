"""``compare``: maps side by side, under one cursor, with where and how much they disagree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

import ipywidgets as widgets
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from interp_widgets import zoo
from interp_widgets.errors import ParameterError
from interp_widgets.evaluation.agreement import disagreement, rank_correlations
from interp_widgets.explainers import EXPLAINERS, Attribution, Explainer
from interp_widgets.inputs import Preprocess
from interp_widgets.render.colours import colour_table, default_colormap
from interp_widgets.session.jobs import Jobs, Rank, Steps
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.trace.arguments import as_list, as_names, check_is, check_text, is_name_of, plain_module, shown
from interp_widgets.widgets.kit.agreement import Agreement
from interp_widgets.widgets.kit.browser_widget import close_whole
from interp_widgets.widgets.kit.links import BrowserLinks
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.views.map import SIDE, MapView
from interp_widgets.widgets.views.status_bar import StatusBar, in_words
from interp_widgets.words import did_you_mean, say

__all__ = ["Comparison", "compare"]

METHODS = ("GradCAM", "LayerCAM", "InputXGradient", "IntegratedGradients", "Occlusion")
MOST = 36  # maps: more are no comparison


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

    Slow methods refine one after the other; one that fails says so in its place, and the others go on. Usable as a
    context manager; ``close`` frees the traces and every child widget.
    """

    _closed = True  # until it is made: ipywidgets closes what is half made, too

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = tuple(as_list(cells))
        if not self.cells:
            raise ParameterError(say("a Comparison shows at least one map; iw.compare(model, inputs) makes one"))
        for cell in self.cells:
            check_is(cell, Cell, say("a Comparison shows Cells; iw.compare(model, inputs) makes them"))
        self._stopped = False
        self._started = time.perf_counter()
        self._jobs = Jobs()  # one worker for all maps, whatever session they are of
        self._bar = StatusBar()
        scales = [(say("each map on its own scale"), "own"), (say("all maps on one scale"), "one")]
        self.scale = Menu(options=scales, value="own", label=say("scale of the colours"), layout={"width": "220px"})
        self.opacity = Slider(label=say("opacity"), value=0.6, step=0.01, layout={"width": "200px"})
        self.agreement = Agreement([cell.title for cell in self.cells], SIDE)
        self.views: tuple[MapView, ...] = ()
        self.views = tuple(self._view(cell) for cell in self.cells)
        super().__init__(self._arrange(), layout={"width": "100%", "overflow": "hidden"})
        self.add_class("iw-explorer")
        self._links = self._link()
        self.scale.observe(lambda _change: self._rescale(), "value")
        self._bar.on_stop(self._give_up)
        self._closed = False
        self._agree()

    # What a user asks of it in Python

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
        return self._bar.error

    def wait(self, timeout: float | None = 120.0) -> bool:
        """Block until nothing is being computed; whether that was reached in ``timeout`` seconds."""
        return self._jobs.wait(timeout)

    def stop(self) -> None:
        """Give up what is being computed; what is on the screen stays."""
        self._bar.stop.click()

    def close(self) -> None:
        """Free the traces and close every child widget. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._jobs.close()
        self._links.close()
        for view in self.views:
            view.close()
        for session in {cell.session for cell in self.cells}:
            session.close()
        for child in (*self.children, self.agreement):
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
        view.layout.width = "auto"
        return view

    def _arrange(self) -> list[widgets.Widget]:
        head = widgets.HBox([self.scale, self.opacity], layout={"align_items": "center", "grid_gap": "8px"})
        wrapped = {"width": "100%", "flex_flow": "row wrap", "grid_gap": "8px", "align_items": "flex-start"}
        grid = widgets.HBox(self.views, layout=wrapped)
        return [head, grid, self.agreement, self._bar] if len(self.cells) > 1 else [head, grid, self._bar]

    def _link(self) -> BrowserLinks:
        """One cursor and one opacity, in the browser."""
        links = BrowserLinks()
        pictures = [view.picture for view in self.views]
        first, *others = [*pictures, self.agreement.difference, self.agreement.disagreement]
        for other in others:
            links.both_ways((first, "cursor"), (other, "cursor"))
        for picture in pictures:
            links.one_way((self.opacity, "value"), (picture, "opacity"))
        return links

    def _maps(self) -> dict[int, Attribution]:
        """The maps that are there, by their place."""
        return {place: found for place, found in enumerate(self.attributions) if found is not None}

    def _agree(self) -> None:
        """Compare the maps anew, as soon as the worker has nothing else to do."""
        self._jobs.submit(self, self._compare_maps, on_error=self._fail, rank=Rank.LATER)

    def _compare_maps(self) -> Steps:
        with TURN:
            if not self._closed:
                self._rescale()
                self.agreement.show({place: found.array for place, found in self._maps().items()})
                if not (self._bar.at_work() or self._stopped):
                    seconds = time.perf_counter() - self._started
                    self._bar.say(
                        say(
                            "{count} of {all} maps in {seconds:.1f} s",
                            count=len(self._maps()),
                            all=len(self.cells),
                            seconds=seconds,
                        )
                    )
        yield

    def _give_up(self) -> None:
        self._stopped = True

    def _fail(self, error: BaseException) -> None:
        with TURN:
            if not self._closed:
                self._bar.complain(self, in_words(error))

    def _rescale(self) -> None:
        """Colours over each map's own range, or up to the value where those of the strongest map end."""
        maps = self._maps()
        if not maps:
            return
        is_shared = self.scale.value == "one"
        signed = any(found.signed or found.array.min() < 0 for found in maps.values())
        limit = max(max(-display.low, display.high) for display in (found.display() for found in maps.values()))
        for place, found in maps.items():
            picture = self.views[place].picture
            look = replace(found.look, limit=limit) if is_shared and limit > 0 else found.look
            picture_signed = signed if is_shared else found.signed
            name = default_colormap(signed=picture_signed)
            with picture.hold_sync():
                picture.look, picture.signed = look, picture_signed
                picture.colormap, picture.table = name, colour_table(name).tobytes()


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
        raise ParameterError(say("give either model or models"))
    given = [model] if model is not None else as_list(models)
    chosen = dict(models) if isinstance(models, Mapping) else _named(given)
    layers = None if layers is None else [check_text(layer, say("a layer")) for layer in as_list(layers)]
    targets = None if targets is None else as_list(targets)
    images = None if images is None else as_list(images)
    pictures: list[Any] = images or [inputs]
    if methods is None:
        alone = not (layers or targets or len(pictures) > 1 or len(chosen) > 1)
        methods = METHODS if alone else ("GradCAM",)
    explainers = [_explainer(each) for each in as_list(methods)]
    count = len(chosen) * len(pictures) * len(layers or [0]) * len(targets or [0]) * len(explainers)
    if not 0 < count <= MOST:
        raise ParameterError(
            say(
                "compare shows 1 to {most} maps, got {count}: give fewer methods, layers, or images",
                most=MOST,
                count=count,
            )
        )
    cells = []
    places: Sequence[str | None] = layers or [None]
    for (name, each), (number, picture) in product(chosen.items(), enumerate(pictures)):
        session = _session(each, picture, class_names, preprocess)
        for layer, target, explainer in product(places, targets or [None], explainers):
            parts = [
                name if len(chosen) > 1 else "",
                say("image {number}", number=number + 1) if len(pictures) > 1 else "",
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


def _explainer(method: str | Explainer | type[Explainer]) -> Explainer:
    if isinstance(method, Explainer):
        return method
    if isinstance(method, type) and issubclass(method, Explainer):
        return method()
    if not is_name_of(method, EXPLAINERS):
        close = did_you_mean(str(method), EXPLAINERS)
        raise ParameterError(
            say(
                "no explainer is named {name}{close}: {known}",
                name=shown(method),
                close=close,
                known=", ".join(EXPLAINERS),
            )
        )
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
            raise ParameterError(say("give an input: a path, image, array or tensor, got None"))
        return Session(module, inputs, class_names=class_names, preprocess=preprocess)
    entry = zoo.load(model)
    if inputs is None and not entry.examples:
        raise ParameterError(
            say("{model!r} comes without examples: give an input, a path, image, array or tensor", model=model)
        )
    given = entry.examples[0].image if inputs is None else inputs
    return Session(
        entry.model,
        given,
        class_names=as_names(class_names) or entry.class_names,
        preprocess=preprocess or entry.preprocess,
    )
