"""The histogram view shows the counts of the layer that is looked at."""

from __future__ import annotations

from interp_widgets.inspectors.histogram import histogram
from interp_widgets.inspectors.outline import times
from interp_widgets.session.session import Session
from interp_widgets.widgets.views.histogram import HistogramView
from tests.widgets.models import cnn, images


def test_its_bars_are_the_counts_of_the_layer() -> None:
    with Session(cnn(), images(2)) as session:
        view = HistogramView(session)
        for layer, size in (("0", (8, 32, 32)), ("2", (16, 16, 16)), ("6", (5,))):
            session.layer = layer
            expected = histogram(session.ready(), layer)
            assert view.bars.values == expected.counts.tolist()
            assert view.bars.names == [f"{edge:.3g}" for edge in expected.edges[:-1]]
            assert view.title.value == f"{layer} · {times(size)}"
            assert f"Values of {layer} · {times(size)}: " in view.bars.alt
        view.close()
