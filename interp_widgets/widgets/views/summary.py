"""``SummaryTable``: the model as a table of its modules; the chosen row is the layer that is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import ipywidgets as widgets

from interp_widgets.inspectors.module_rows import ModuleRow
from interp_widgets.inspectors.summary import Summary, summary
from interp_widgets.session.session import Session
from interp_widgets.widgets.kit.table import Table
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.widgets.views.per_trace import PerTrace
from interp_widgets.widgets.views.tables import Place, show_table
from interp_widgets.words import say

__all__ = ["SUMMARIES", "SummaryState", "SummaryTable"]

FIRST_ROWS = 40  # that are open at first: whole levels, as many as stay below this

SUMMARIES: PerTrace[Summary] = PerTrace(summary)


@dataclass(frozen=True)
class SummaryState:
    """The table of one recorded pass, ``None`` until it is counted, and the layer looked at."""

    recording: int
    layer: str
    summary: Summary | None = field(default=None, compare=False)


class SummaryTable(SessionView):
    """Choose a layer among the modules, sorted by parameters, FLOPs, time or memory.

    Shapes, times and bytes are those of the recorded pass; the model is not run again.

    >>> import torch, interp_widgets as iw
    >>> session = iw.Session(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), torch.rand(1, 4))
    >>> table = iw.SummaryTable(session)
    >>> table.wait()
    True
    >>> table.alt
    'The modules of Sequential: 15 parameters, 15 of them trainable; 24 FLOPs (2 a multiply-add). Chosen: 1'
    >>> session.close()
    """

    watches = ("trace", "layer")

    def build(self) -> list[widgets.Widget]:
        """The table."""
        self.table = Table(
            label=say("the model's modules"),
            help=say("the module chosen here is looked at; a title sorts; left and right arrow keys close and open"),
            layout={"width": "100%"},
        )
        return [self.table]

    def bind(self) -> None:
        """A row sets the layer."""
        self.on(self.table, "selected", self._choose)

    def resolve(self, session: Session) -> SummaryState:
        """The layer, and the table if it has been counted."""
        trace = session.ready()
        return SummaryState(session.recordings, session.layer, SUMMARIES.known(trace))

    def pending(self, state: SummaryState) -> bool:
        """Counting takes a while: 0.2 s for a ResNet-50."""
        return state.summary is None

    def work(self, state: SummaryState) -> Iterator[SummaryState]:
        """Count operations from the recording."""
        yield replace(state, summary=SUMMARIES.found(self.session.ready()))

    def draw(self, state: SummaryState) -> None:
        """Another recording replaces the rows; those of the one before stay until then."""
        last: SummaryState | None = self.drawn
        found = state.summary
        if found is None or (last is not None and last.summary is found):
            return
        if not self.table.rows:
            self.table.depth = _depth_that_fits(found.rows)
        places = {row.path: place for place, row in enumerate(found.rows)}
        show_table(self.table, found, lambda row: _place(row, places))

    def place(self, state: SummaryState, _last: SummaryState | None) -> None:
        """The row of the layer; what is no module's output has none."""
        self.table.selected = state.layer

    def describe(self, state: SummaryState) -> str:
        """The model with its sums, and the layer."""
        if state.summary is None:
            return say("The modules of the model are being counted. Chosen: {layer}", layer=state.layer)
        return say(
            "The modules of {model}: {sums}. Chosen: {layer}",
            model=state.summary.rows[0].type,
            sums="; ".join(state.summary.notes()),
            layer=state.layer,
        )

    def _choose(self, path: str) -> None:
        if path in self.session.ready().layers:
            self.session.layer = path


def _place(row: ModuleRow, places: Mapping[str, int]) -> Place:
    """Where the row of a module stands: in that of the module it is in."""
    parent = places[row.path.rpartition(".")[0]] if row.path else -1
    return Place(row.path, parent, _reason(row))


def _reason(row: ModuleRow) -> str:
    """Why a module cannot be looked at; empty where it can."""
    if not row.path:
        return say("the model as a whole is no layer: choose a module in it")
    if not row.calls:
        return say("{path} was not called itself, so there is no output of it to look at", path=row.path)
    if row.output_shape is None:
        return say("{path} returned no tensor, so there is no output of it to look at", path=row.path)
    return ""


def _depth_that_fits(rows: tuple[ModuleRow, ...]) -> int:
    """The largest depth at which no more than ``FIRST_ROWS`` rows are open; 1 at least."""
    deepest = max(row.depth for row in rows)
    fitting = [depth for depth in range(2, deepest + 1) if sum(row.depth <= depth for row in rows) <= FIRST_ROWS]
    return max(fitting, default=1)
