"""``ActivationView``: how the values of all layers are distributed through depth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ipywidgets as widgets
import numpy as np

from interp_widgets.inspectors.activation_curve import ActivationCurve, activation_curve
from interp_widgets.inspectors.activations import ActivationReport, activations
from interp_widgets.session.session import Session
from interp_widgets.widgets.kit.check_box import CheckBox
from interp_widgets.widgets.kit.curve import Curve
from interp_widgets.widgets.kit.profile import Profile
from interp_widgets.widgets.kit.table import Table
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.widgets.views.tables import Place, show_table
from interp_widgets.words import say

__all__ = ["ActivationState", "ActivationView"]


@dataclass(frozen=True)
class ActivationState:
    """The distributions of one recorded pass, ``None`` until they are known, and the layer looked at.

    Args:
        site: the layer's site, by which rows are called: a module that was called twice has two.
        target: whose gradients are shown; ``None``: none are.
        is_missed: whether gradients were asked for, and there is no target.
        curve: of the layer, ``None`` where it is no activation function.
        is_complete: whether the curve has been looked for.
    """

    recording: int
    layer: str
    site: str
    target: Any
    is_missed: bool
    report: ActivationReport | None = field(default=None, compare=False)
    curve: ActivationCurve | None = field(default=None, compare=False)
    is_complete: bool = field(default=False, compare=False)


class ActivationView(SessionView):
    """Where signals vanish or explode, which units are dead: a box for each layer, in execution order.

    Values are those of the recorded pass, over all its inputs; the model is not run again.

    >>> import torch, interp_widgets as iw
    >>> session = iw.Session(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), torch.rand(1, 4))
    >>> view = iw.ActivationView(session)
    >>> view.wait()
    True
    >>> view.alt
    'Activations through depth: 2 layers; chosen: 1'
    >>> session.close()
    """

    watches = ("trace", "layer", "target")

    def build(self) -> list[widgets.Widget]:
        """The profile with its check boxes; below it the table, and the curve of an activation function."""
        self.logarithmic = CheckBox(
            label=say("logarithmic"),
            help=say("a scale that is logarithmic on both sides of zero: small layers are seen beside large ones"),
            layout={"flex": "none"},
        )
        self.gradients = CheckBox(
            label=say("gradients"),
            help=say("the norm of the target's gradient at each layer, below the boxes; it takes one backward pass"),
            layout={"flex": "none"},
        )
        self.profile = Profile(
            label=say("values of the layers through depth"),
            help=say("a click or the arrow keys choose a layer; boxes go from 25 % to 75 %, lines from 5 % to 95 %"),
            layout={"width": "100%"},
        )
        self.table = Table(
            label=say("how the layers' values are distributed"),
            help=say("the layer chosen here is looked at; a title sorts"),
            height=240,
            layout={"flex": "1 1 300px", "min_width": "0", "width": "auto"},
        )
        self.curve = Curve(layout={"flex": "0 1 260px", "min_width": "180px", "display": "none"})
        below = widgets.Box([self.table, self.curve], layout={"width": "100%", "flex_flow": "row wrap"})
        self.add_class("iw-activations")
        return [widgets.Box([self.logarithmic, self.gradients], layout={"flex": "none"}), self.profile, below]

    def bind(self) -> None:
        """Profile and table set the layer; gradients are measured on demand."""
        self.on(self.profile, "selected", self._choose)
        self.on(self.table, "selected", self._choose)
        self.on(self.gradients, "value", lambda _value: self.update())

    def link(self) -> None:
        """The scale is the browser's."""
        self.links.one_way((self.logarithmic, "value"), (self.profile, "log"))

    def resolve(self, session: Session) -> ActivationState:
        """The layer and the target; the report, when it is of this pass and has these gradients."""
        trace = session.ready()
        is_asked = self.gradients.value
        state = ActivationState(
            recording=session.recordings,
            layer=session.layer,
            site=trace.site(session.layer).name,
            target=session.target if is_asked else None,
            is_missed=is_asked and session.target is None,
        )
        last: ActivationState | None = self.drawn
        if last is None or last == state:
            return last or state
        is_same = (last.recording, last.target) == (state.recording, state.target)
        return replace(state, report=last.report) if is_same else state

    def pending(self, state: ActivationState) -> bool:
        """Until the values are looked through, and the layer's inputs are counted."""
        return not state.is_complete

    def takes_long(self, state: ActivationState) -> bool:
        """The values of all layers: 1 s for an EfficientNet-Lite0."""
        return state.report is None

    def work(self, state: ActivationState) -> Iterator[ActivationState]:
        """Look through the values that were recorded."""
        trace = self.session.ready()
        report = state.report or activations(trace, target=state.target)
        yield replace(state, report=report, curve=activation_curve(trace, state.layer), is_complete=True)

    def draw(self, state: ActivationState) -> None:
        """Another report replaces boxes and rows; another layer the curve, which stays until then."""
        last: ActivationState | None = self.drawn
        report = state.report
        if state.is_complete and state is not last:
            self._show_curve(state.curve, state.layer)
        if report is None:
            return
        if last is None or last.report is not report:
            self._show_report(report)
        missed = [say("there is no target to measure gradients of")] if state.is_missed else []
        self.table.notes = [*missed, *report.notes()]

    def place(self, state: ActivationState, _last: ActivationState | None) -> None:
        """The layer in the profile and in the table; what no module returned is in neither."""
        self.profile.selected = self.table.selected = state.site

    def describe(self, state: ActivationState) -> str:
        """How many layers there are, and which is looked at."""
        if state.report is None:
            return say("The values of the layers are being looked through. Chosen: {layer}", layer=state.layer)
        return say(
            "Activations through depth: {count} layers; chosen: {layer}",
            count=len(state.report.rows),
            layer=state.layer,
        )

    def _show_report(self, report: ActivationReport) -> None:
        """Boxes, norms and rows."""
        rows = report.rows
        norms = [_finite(row.gradient_norm) for row in rows]
        self.profile.show(
            [row.layer for row in rows],
            [row.quantiles if np.isfinite(row.quantiles).all() else () for row in rows],
            [_finite(row.mean) for row in rows],
            norms if any(norm is not None for norm in norms) else (),
        )
        show_table(self.table, report, lambda row: Place(row.layer))

    def _show_curve(self, found: ActivationCurve | None, layer: str) -> None:
        """The function of a layer that is one, over the values that it was given."""
        self.curve.layout.display = "none" if found is None else ""
        if found is None:
            return
        with self.curve.hold_sync():
            self.curve.x, self.curve.y = found.x.tolist(), found.y.tolist()
            self.curve.counts, self.curve.edges = found.inputs.counts.tolist(), found.inputs.edges.tolist()
            self.curve.label = say("{name} in {layer}, over its inputs", name=found.name, layer=layer)
            self.curve.alt = say(
                "The function {name} of {layer}, and the histogram of its {count} inputs from {low:.3g} to {high:.3g}, "
                "mean {mean:.3g}.",
                name=found.name,
                layer=layer,
                count=found.inputs.counts.sum(),
                low=found.inputs.edges[0],
                high=found.inputs.edges[-1],
                mean=found.inputs.mean,
            )

    def _choose(self, site: str) -> None:
        """Look at a layer by the name of its site."""
        trace = self.session.ready()
        if site not in trace.sites:
            return
        path = trace.sites[site].module or ""
        is_last_call = path in trace.layers and trace.site(path).name == site
        self.session.layer = path if is_last_call else site


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
