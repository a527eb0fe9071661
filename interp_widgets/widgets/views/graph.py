"""``ModelGraph``: the model's data flow as boxes and lines; the chosen box is the layer that is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import ipywidgets as widgets
import traitlets as t

from interp_widgets.errors import ParameterError
from interp_widgets.inspectors.graph import Graph, graph
from interp_widgets.inspectors.graph_picture import checked_scopes
from interp_widgets.render.diagram import Diagram as Drawing
from interp_widgets.session.jobs import Jobs
from interp_widgets.session.session import Session
from interp_widgets.trace.arguments import is_name_of, shown
from interp_widgets.widgets.kit.diagram import Diagram
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.widgets.views.graph_facts import Facts, layer_of, measures, reason
from interp_widgets.widgets.views.per_trace import PerTrace
from interp_widgets.widgets.views.status_bar import StatusBar
from interp_widgets.widgets.views.summary import SUMMARIES
from interp_widgets.words import say

__all__ = ["GraphState", "ModelGraph"]

GRAPHS: PerTrace[Graph] = PerTrace(graph)


@dataclass(frozen=True)
class GraphState:
    """What is open, how it is coloured, and the layer looked at.

    Args:
        opened: names of open module calls; ``None``: whole levels, as many as give at most 60 boxes.
        facts, drawing: of the recorded pass, ``None`` until they are known.
        card: pairs of a term and its value, for the layer; ``None`` until they are known.
    """

    recording: int
    layer: str
    opened: tuple[str, ...] | None
    colour: str
    facts: Facts | None = field(default=None, compare=False)
    drawing: Drawing | None = field(default=None, compare=False)
    card: list[tuple[str, str]] | None = field(default=None, compare=False)


class ModelGraph(SessionView):
    """Choose a layer in the data flow of the recorded pass; modules open and close.

    Args:
        opened: names of the module calls that are open, such as ``["layer1", "layer1.0"]``; by default as many levels
            as give at most 60 boxes. A trait: it can be set later, and follows what is opened by hand.
        colour: what boxes are coloured by: ``"type"``, ``"parameters"``, ``"flops"``, ``"time"`` or ``"memory"``. A
            trait, too.

    Raises:
        LayerError: ``opened`` has a name that no module call has.
        ParameterError: no such ``colour``.

    >>> import torch, interp_widgets as iw
    >>> session = iw.Session(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), torch.rand(1, 4))
    >>> view = iw.ModelGraph(session)
    >>> view.wait()
    True
    >>> view.alt
    'Data flow of Sequential, from top to bottom: input, 0 · Linear, 1 · ReLU, output. Chosen: 1'
    >>> session.close()
    """

    watches = ("trace", "layer")

    opened = t.Any(None, allow_none=True, help="names of open module calls; None: whole levels, at most 60 boxes")
    colour = t.Any("type", help="what boxes are coloured by")

    def __init__(
        self,
        session: Session,
        *,
        opened: Iterable[str] | None = None,
        colour: str = "type",
        bar: StatusBar | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        super().__init__(session, bar=bar, jobs=jobs)
        with ExitStack() as undo:
            undo.callback(self.close)
            self.colour, self.opened = colour, opened
            undo.pop_all()

    def build(self) -> list[widgets.Widget]:
        """The drawing, with its search, its colours and its card."""
        self.diagram = Diagram(
            label=say("the model's data flow"),
            help=say(
                "a click or the space bar chooses a layer, a double click or Enter opens and closes a module; "
                "arrow keys walk along the data flow, Backspace to the module around, + - 0 zoom"
            ),
            measures=list(measures().items()),
            measure="type",
            measure_help=say("what the boxes are coloured by; figures are those of the recorded pass"),
            layout={"width": "100%"},
        )
        return [self.diagram]

    def bind(self) -> None:
        """A box sets the layer, a scope what is open, the menu what colours mean."""
        self.on(self.diagram, "selected", self._choose)
        self.on(self.diagram, "opened", self._open)
        self.on(self.diagram, "measure", self._colour)

    def resolve(self, session: Session) -> GraphState:
        """What is asked for, with what is known of it from before."""
        session.ready()
        opened = None if self.opened is None else tuple(self.opened)
        state = GraphState(session.recordings, session.layer, opened, self.colour)
        last: GraphState | None = self.drawn
        if last is None or last.recording != state.recording:
            return state
        return replace(
            state,
            facts=last.facts,
            drawing=last.drawing if last.opened == state.opened else None,
            card=last.card if last.layer == state.layer else None,
        )

    def pending(self, state: GraphState) -> bool:
        """Counting takes 0.2 s for a ResNet-50, laying out hundreds of boxes less."""
        return state.drawing is None or state.card is None

    def work(self, state: GraphState) -> Iterator[GraphState]:
        """The boxes first, then the figures of the layer."""
        trace = self.session.ready()
        facts = state.facts or Facts(GRAPHS.found(trace), SUMMARIES.found(trace))
        drawing = state.drawing
        if drawing is None:
            opened = state.opened
            known = None if opened is None else [name for name in opened if name in facts.graph.scopes]
            drawing = facts.graph.diagram(known)
            drawing.layout  # noqa: B018 - computed here, not where it is drawn
        yield replace(state, facts=facts, drawing=drawing)
        yield replace(state, facts=facts, drawing=drawing, card=facts.card(trace, state.layer))

    def draw(self, state: GraphState) -> None:
        """Other boxes, colours and figures; those of before stay until they are known."""
        last: GraphState | None = self.drawn
        facts, drawing = state.facts, state.drawing
        if facts is None or drawing is None:
            return
        is_new = last is None or last.drawing is not drawing
        if is_new:
            self._show(facts, drawing)
        if is_new or last is None or last.colour != state.colour:
            paint = facts.paint(drawing.plates, state.colour)
            self.diagram.paint(paint.colours, paint.legend, solid=paint.is_solid)
        if state.card is not None:
            self.diagram.card = state.card
        self.diagram.selected = facts.entry(state.layer)

    def place(self, state: GraphState, _last: GraphState | None) -> None:
        """The menu, the chosen box, and what is open."""
        self.diagram.measure = state.colour
        if state.facts is not None and state.drawing is not None:
            self.diagram.selected = state.facts.entry(state.layer)
            self.diagram.opened = [plate.name for plate in state.drawing.plates if plate.role == "open"]

    def describe(self, state: GraphState) -> str:
        """The outer boxes, and the layer."""
        if state.drawing is None:
            return say("The data flow of the model is being laid out. Chosen: {layer}", layer=state.layer)
        return say("{flow}. Chosen: {layer}", flow=state.drawing.alt, layer=state.layer)

    def _show(self, facts: Facts, drawing: Drawing) -> None:
        trace = self.session.ready()
        reasons = {plate.name: reason(plate.name, facts, trace) for plate in drawing.plates}
        entries = [entry._asdict() for entry in facts.nesting.entries()]
        if self.diagram.entries != entries:
            self.diagram.entries = entries
        self.diagram.show(drawing, reasons)

    def _choose(self, name: str) -> None:
        trace = self.session.ready()
        facts = Facts(GRAPHS.found(trace), SUMMARIES.found(trace))
        if name and not reason(name, facts, trace):
            self.session.layer = layer_of(name, facts, trace)

    def _open(self, names: list[str]) -> None:
        self.opened = names

    def _colour(self, name: str) -> None:
        self.colour = name

    @t.validate("opened")
    def _validate_opened(self, proposal: dict[str, Any]) -> list[str] | None:
        opened: Any = proposal["value"]
        if opened is None:
            return None
        return checked_scopes(opened, GRAPHS.found(self.session.ready()).scopes)

    @t.validate("colour")
    def _validate_colour(self, proposal: dict[str, Any]) -> str:
        colour: Any = proposal["value"]
        if not is_name_of(colour, measures()):
            sentence = say(
                "colour must be one of {known}, got {given}", known=", ".join(measures()), given=shown(colour)
            )
            raise ParameterError(sentence)
        return str(colour)

    @t.observe("opened", "colour")
    def _look_changed(self, _change: object) -> None:
        self.update()
