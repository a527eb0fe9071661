"""``WeightView``: the parameters of the model as a table, and the filters of the layer as a picture."""

from __future__ import annotations

import html
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray
from torch import nn

from interp_widgets.errors import InputError
from interp_widgets.inspectors.filters import Filters
from interp_widgets.inspectors.outline import times
from interp_widgets.inspectors.tensors import NamedTensor, parameters_of
from interp_widgets.inspectors.weights import WeightReport, weights
from interp_widgets.render.snapshot import reduced
from interp_widgets.session.session import Session
from interp_widgets.trace import Trace
from interp_widgets.trace.checksum import Memory
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.kit.table import Table
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.widgets.views.per_trace import PerTrace
from interp_widgets.widgets.views.tables import Place, show_table
from interp_widgets.words import say

__all__ = ["WeightState", "WeightView"]

WIDTH = 240  # pixels of a picture of small filters, which the browser enlarges
SIDE = 640  # pixels of a larger one
GREY, WHITE = 128, 255  # between filters, the same in both themes

Held = tuple[tuple[int, bool], ...]
_REPORTS: weakref.WeakKeyDictionary[nn.Module, tuple[Held, WeightReport]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class WeightState:
    """The parameters of one model, ``None`` until they are looked through.

    Args:
        parameter: whose filters are shown; empty where the layer has none.
        chosen: whether it is a parameter of the layer itself, or was chosen by hand, so that its row is marked.
        filters: ``None`` where there is no picture; ``reason`` says why.
    """

    recording: int
    layer: str
    parameter: str
    chosen: bool
    report: WeightReport | None = field(default=None, compare=False)
    filters: Filters | None = field(default=None, compare=False)
    reason: str = field(default="", compare=False)


class WeightView(SessionView):
    """Norms, ranks, dead and duplicate filters of each parameter; a row chooses the layer and shows its filters.

    The model is not run.

    >>> import torch, interp_widgets as iw
    >>> session = iw.Session(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), torch.rand(1, 4), layer="0")
    >>> view = iw.WeightView(session)
    >>> view.wait()
    True
    >>> view.alt.partition(":")[0]
    'Weights of Sequential'
    >>> session.close()
    """

    watches = ("trace", "layer")
    box: ClassVar[dict[str, str]] = {
        "width": "100%",
        "flex_flow": "row wrap",
        "align_items": "flex-start",
    }

    def build(self) -> list[widgets.Widget]:
        """The table; beside it the picture and what is odd about the parameter."""
        self._hand = ("", "")  # the layer, and the parameter that was chosen while that was looked at
        self.table = Table(
            label=say("the model's parameters"),
            help=say("the layer of the parameter chosen here is looked at, its filters are shown; a title sorts"),
            layout={"flex": "1 1 300px", "min_width": "0", "width": "auto"},
        )
        self.picture = Picture(fluid=True, view="base", layout={"width": "auto"})
        self.remarks = widgets.HTML(layout={"width": "auto"})
        self.beside = widgets.VBox([self.picture, self.remarks], layout={"flex": "0 1 280px", "min_width": "180px"})
        self.add_class("iw-weights")
        return [self.table, self.beside]

    def bind(self) -> None:
        """A row sets the layer."""
        self.on(self.table, "selected", self._choose)

    def resolve(self, session: Session) -> WeightState:
        """The layer and its parameter; what was found for them, when it is on the screen."""
        trace, layer = session.ready(), session.layer
        by_hand = self._hand[1] if self._hand[0] == layer else ""
        own, inside = _parameters_of(trace, layer)
        state = WeightState(session.recordings, layer, by_hand or own or inside, bool(by_hand or own))
        last: WeightState | None = self.drawn
        return last if last == state else state

    def pending(self, state: WeightState) -> bool:
        """Until the parameters are looked through."""
        return state.report is None

    def takes_long(self, _state: WeightState) -> bool:
        """Singular values of all weights: 0.6 s for an EfficientNet-Lite0."""
        return self.session.ready().model not in _REPORTS

    def work(self, state: WeightState) -> Iterator[WeightState]:
        """Look through the parameters, unless they are as they were, and paint the filters."""
        report = _report_on(self.session.ready().model)
        found = replace(state, report=report)
        if not state.parameter:
            yield replace(found, reason=say("{layer} has no weights", layer=state.layer))
            return
        try:
            yield replace(found, filters=report.filters(state.parameter))
        except InputError as error:  # a bias has no filters
            yield replace(found, reason=str(error))

    def draw(self, state: WeightState) -> None:
        """The table when it is another one, and the filters."""
        last: WeightState | None = self.drawn
        report = state.report
        if report is None:
            return
        if last is None or last.report is not report:
            show_table(self.table, report, lambda row: Place(row.path))
        if state is not last:
            self._show_filters(state, report)

    def place(self, state: WeightState, _last: WeightState | None) -> None:
        """The row of the layer's parameter; a layer without one has none."""
        self.table.selected = state.parameter if state.chosen else ""

    def describe(self, state: WeightState) -> str:
        """The model with the number of its parameters, and what is shown of them."""
        if state.report is None:
            return say("The parameters of the model are being looked through. Layer: {layer}", layer=state.layer)
        return say(
            "Weights of {model}: {sums}. {shown}",
            model=type(self.session.ready().model).__name__,
            sums=state.report.notes()[0],
            shown=state.reason if state.filters is None else _caption(state.filters),
        )

    def _show_filters(self, state: WeightState, report: WeightReport) -> None:
        found = state.filters
        self.picture.layout.display = "none" if found is None else ""
        remarks = [state.reason]
        if found is not None:
            self.picture.set_base(_pixels(found))
            self.picture.label, self.picture.alt = state.parameter, f"{_caption(found)}; {_limits(found)}"
            row = next(row for row in report.rows if row.path == state.parameter)
            whose = (
                "" if state.chosen else say("the first weight in {layer}, which has none of its own", layer=state.layer)
            )
            remarks = [whose, _caption(found), _limits(found), *row.remarks()]
        lines = "".join(f"<p>{html.escape(remark)}</p>" for remark in remarks if remark)
        self.remarks.value = f"<div class='iw iw-notes iw-muted'>{lines}</div>"

    def _choose(self, path: str) -> None:
        """Show the filters of a parameter; its layer is looked at, where its module is one."""
        trace = self.session.ready()
        known = {each.paths[0]: each for each in parameters_of(trace.model)}
        if path not in known:
            return
        modules = map(_module_of, known[path].paths)
        layer = next((module for module in modules if module in trace.layers), self.session.layer)
        self._hand = (layer, path)
        self.session.layer = layer
        self.update()


def _report_on(model: nn.Module) -> WeightReport:
    """What the parameters hold now; looked through again only when they have changed."""
    parameters = dict(model.named_parameters())
    memory = Memory(parameters)
    trainable = [parameter.requires_grad for parameter in parameters.values()]
    held = tuple(zip(memory.sums(memory.names), trainable, strict=True))
    known = _REPORTS.get(model)
    if known is not None and known[0] == held:
        return known[1]
    report = weights(model)
    _REPORTS[model] = (held, report)
    return report


def _parameters_of(trace: Trace, layer: str) -> tuple[str, str]:
    """The first parameter of a layer's own module, and the first of those in it; matrices before biases."""
    path = trace.site(layer).module
    if path is None:
        return "", ""
    found = _NAMED.found(trace)
    own = (each.paths[0] for each in found if path in map(_module_of, each.paths))
    inside = (each.paths[0] for each in found if any(name.startswith(f"{path}.") for name in each.paths))
    return next(own, ""), next(inside, "")


def _is_vector(named: NamedTensor) -> bool:
    return named.shape is None or len(named.shape) < 2


_NAMED = PerTrace(lambda trace: sorted(parameters_of(trace.model), key=_is_vector))  # matrices before biases


def _module_of(name: str) -> str:
    return name.rpartition(".")[0]


def _caption(found: Filters) -> str:
    """What the picture shows."""
    return say(
        "{title}; {count} of {size}",
        title=found.title,
        count=len(found.values),
        size=times(found.values.shape[1:3]),
    )


def _limits(found: Filters) -> str:
    """The values, and where the colours end."""
    finite = found.values[np.isfinite(found.values)]
    low, high = found.limits
    return say(
        "values from {smallest:.3g} to {largest:.3g}; colours ({name}) from {low:.3g} to {high:.3g}",
        smallest=finite.min(initial=np.inf),
        largest=finite.max(initial=-np.inf),
        name=found.colormap,
        low=low,
        high=high,
    )


def _pixels(found: Filters) -> NDArray[np.uint8]:
    """The filters in a grid ``(H, W, 3)``; between them what is not the colour of zero."""
    between = WHITE if found.colormap == "gray" else GREY
    pixels = found.pixels(width=WIDTH)
    shown = np.where(pixels[..., 3:] > 0, pixels[..., :3], np.uint8(between))
    return reduced(shown, SIDE)
