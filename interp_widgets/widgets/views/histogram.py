"""``HistogramView``: how the values of the layer's activation are distributed."""

from __future__ import annotations

from dataclasses import dataclass, field

import ipywidgets as widgets

from interp_widgets.inspectors.histogram import Histogram, histogram
from interp_widgets.inspectors.outline import shortened, times
from interp_widgets.session.session import Session
from interp_widgets.widgets.kit.heading import heading
from interp_widgets.widgets.kit.tiles import Tiles
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.words import say

__all__ = ["HistogramState", "HistogramView"]

NAME = 40  # letters of a layer's name in the title


@dataclass(frozen=True)
class HistogramState:
    """The values of one layer for one input; ``title`` is the layer with its output's shape."""

    recording: int
    layer: str
    title: str
    values: Histogram = field(compare=False)


class HistogramView(SessionView):
    """One bar for each range of values of the layer that is looked at, called by its lower limit."""

    watches = ("trace", "layer")

    def build(self) -> list[widgets.Widget]:
        """The layer with its output's shape, and the bars."""
        self.bars = Tiles(
            mode="bars",
            measure=say("number of values"),
            help=say("how many values lie in each range, which is called by its lower end"),
            layout={"width": "100%"},
        )
        self.title = heading("")
        return [self.title, self.bars]

    def resolve(self, session: Session) -> HistogramState:
        """Count the values."""
        trace, layer = session.ready(), session.layer
        title = " · ".join(filter(None, (shortened(layer, NAME), times(trace.site(layer).shape[1:]))))
        return HistogramState(session.recordings, layer, title, histogram(trace, layer))

    def draw(self, state: HistogramState) -> None:
        """Replace the bars."""
        if state == self.drawn:
            return
        edges = [f"{edge:.3g}" for edge in state.values.edges]
        counts = state.values.counts.tolist()
        self.title.value, self.title.tooltip = state.title, state.layer
        self.bars.alt = self.describe(state)
        self.bars.show_bars(
            counts,
            numbers=range(len(counts)),
            captions=[f"{count}" for count in counts],
            names=edges[:-1],
        )

    def describe(self, state: HistogramState) -> str:
        """Range, mean, and how much of it is zero."""
        values = state.values
        return say(
            "Values of {layer}: {count} from {low:.3g} to {high:.3g}, mean {mean:.3g}, {zeros:.0%} of them zero.",
            layer=state.title,
            count=values.counts.sum(),
            low=values.edges[0],
            high=values.edges[-1],
            mean=values.mean,
            zeros=values.zeros,
        )
