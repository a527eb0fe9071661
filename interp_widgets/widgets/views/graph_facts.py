"""What ``ModelGraph`` says of a box of the graph: its colour by a measure, its layer, its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from interp_widgets.errors import InterpError
from interp_widgets.inspectors.activations import activations
from interp_widgets.inspectors.graph import Graph
from interp_widgets.inspectors.module_rows import ModuleRow
from interp_widgets.inspectors.nesting import Nesting
from interp_widgets.inspectors.nodes import Node
from interp_widgets.inspectors.summary import Summary
from interp_widgets.inspectors.table import compact, figure_text, shape_text
from interp_widgets.render.colours import KIND_COLOURS, colour_table
from interp_widgets.render.diagram import Plate
from interp_widgets.trace import Trace
from interp_widgets.trace.names import SiteName
from interp_widgets.words import say

__all__ = ["Facts", "Paint", "layer_of", "measures", "reason"]

STOPS = 5  # of a legend
UNKNOWN = "#8a9199"  # of a box that has no figure
NEUTRAL = KIND_COLOURS["block"]  # of an open scope, whose parts have colours of their own


@dataclass(frozen=True)
class Paint:
    """Colours of boxes, with their legend as pairs of a colour and what it means."""

    colours: Sequence[str]
    legend: Sequence[tuple[str, str]]
    is_solid: bool


@dataclass(frozen=True)
class Measure:
    """A figure of a module that boxes are coloured by."""

    figure: Callable[[ModuleRow], float]
    text: Callable[[float], str]


MEASURES: Mapping[str, Measure] = {
    "parameters": Measure(lambda row: row.parameters, lambda value: compact(value) if value else "0"),
    "flops": Measure(lambda row: row.flops, lambda value: compact(value) if value else "0"),
    "time": Measure(lambda row: row.seconds, lambda value: f"{value * 1e3:.3g} ms"),
    "memory": Measure(lambda row: row.nbytes, lambda value: compact(value, "B") if value else "0 B"),
}


def measures() -> dict[str, str]:
    """What boxes can be coloured by, and how each is called."""
    return {
        "type": say("type"),
        "parameters": say("parameters"),
        "flops": say("FLOPs"),
        "time": say("time"),
        "memory": say("memory"),
    }


def _kinds() -> dict[str, str]:
    return {
        "convolution": say("convolution"),
        "attention": say("attention"),
        "linear": say("linear or recurrent"),
        "normalisation": say("normalisation"),
        "activation": say("activation function"),
        "pooling": say("pooling"),
        "block": say("module with parts"),
        "other": say("other"),
    }


@dataclass(frozen=True)
class Facts:
    """The data flow of a pass with what each module costs."""

    graph: Graph
    summary: Summary

    @cached_property
    def nesting(self) -> Nesting:
        """What lies in what."""
        return Nesting(self.graph.nodes, self.graph.scopes)

    @cached_property
    def _rows(self) -> dict[str, ModuleRow]:
        return {row.path: row for row in self.summary.rows}

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.graph.nodes}

    @cached_property
    def _last_calls(self) -> dict[str, str]:
        """The name of each module's last call, by its path."""
        return {scope.path: name for name, scope in self.graph.scopes.items()}

    def row(self, name: str) -> ModuleRow | None:
        """The module of a box: of all its calls; ``None`` for an operation."""
        scope = self.graph.scopes.get(name)
        return None if scope is None else self._rows.get(scope.path)

    def entry(self, layer: str) -> str:
        """The name of the box that shows a layer when everything around it is open; empty where none does."""
        name = self._last_calls.get(layer, layer)
        found = self.nesting.entry(name)
        if found or name in self.graph.scopes:
            return found
        around = SiteName.parse(name).path  # of an operation that is folded away
        return self.nesting.entry(self._last_calls.get(around, around))

    def paint(self, plates: Sequence[Plate], measure: str) -> Paint:
        """Colours by type, or by a figure from 0 to the largest one shown."""
        if measure == "type":
            kinds = {KIND_COLOURS[kind]: words for kind, words in _kinds().items()}
            shown = {plate.colour for plate in plates}
            return Paint(
                [plate.colour for plate in plates],
                [(colour, words) for colour, words in kinds.items() if colour in shown],
                is_solid=False,
            )
        figures = [None if plate.role == "open" else self._figure(plate.name, measure) for plate in plates]
        largest = max((figure for figure in figures if figure is not None), default=0.0)
        table = ["#" + bytes(entry).hex() for entry in colour_table("viridis")]
        colours = []
        for plate, figure in zip(plates, figures, strict=True):
            if plate.role == "open":
                colours.append(NEUTRAL)
            elif figure is None:
                colours.append(UNKNOWN)
            else:
                colours.append(table[round(255 * figure / largest) if largest else 0])
        shares = [stop / (STOPS - 1) for stop in range(STOPS)]
        legend = [(table[round(255 * share)], MEASURES[measure].text(share * largest)) for share in shares]
        if UNKNOWN in colours:
            legend.append((UNKNOWN, say("not measured by itself")))
        return Paint(colours, legend, is_solid=True)

    def _figure(self, name: str, measure: str) -> float | None:
        """Of a module, or how many parameters an operation reads; ``None`` for what else an operation costs."""
        row = self.row(name)
        if row is not None:
            return MEASURES[measure].figure(row)
        node = self._nodes.get(name)
        return None if node is None or measure != "parameters" else node.parameters

    def card(self, trace: Trace, layer: str) -> list[tuple[str, str]]:
        """What a layer is, costs and gave out: pairs of a term and its value."""
        name = self._last_calls.get(layer, layer)
        found = [(say("layer"), layer)]
        row = self.row(name)
        if row is None:
            node = self._nodes.get(name)
            kind = trace.site(layer).operation if node is None else node.kind
            found += [(say("type"), kind), (say("output"), shape_text(trace.site(layer).shape))]
        else:
            found += [(column.title, column.text(row)) for column in self.summary.columns()[1:]]
        return [(term, value) for term, value in [*found, *_statistics(trace, layer)] if value]


def reason(name: str, facts: Facts, trace: Trace) -> str:
    """Why a box is no layer; empty where it is one."""
    if name in trace.sites:
        return ""
    if name in facts.graph.scopes:
        return say("{path} returned no tensor, so there is no output of it to look at", path=name)
    return say("{name} is no layer: choose a box that it is computed from", name=name)


def layer_of(name: str, facts: Facts, trace: Trace) -> str:
    """The layer of a box that is one: the module's path where it is the module's last call."""
    scope = facts.graph.scopes.get(name)
    if scope is None or scope.path not in trace.layers:
        return name
    return scope.path if trace.site(scope.path).name == trace.site(name).name else name


def _statistics(trace: Trace, layer: str) -> list[tuple[str, str]]:
    """Of the values that a layer gave out."""
    try:
        values = activations(trace, layers=[layer]).rows[0]
    except InterpError as error:  # a value that cannot be trusted is not shown
        return [(say("activation"), str(error))]
    return [
        (say("mean"), figure_text(values.mean)),
        (say("standard deviation"), figure_text(values.std)),
        (say("smallest"), figure_text(values.minimum)),
        (say("largest"), figure_text(values.maximum)),
        (say("zeros"), f"{values.sparsity:.1%}"),
    ]
