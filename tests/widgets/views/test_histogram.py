"""The histogram view shows the counts of the layer that is looked at."""

from __future__ import annotations

from interp_widgets.inspectors.histogram import histogram
from interp_widgets.session.session import Session
from interp_widgets.widgets.views.histogram import HistogramView
from tests.widgets.models import cnn, images


def test_its_bars_are_the_counts_of_the_layer() -> None:
    with Session(cnn(), images(2)) as session:
        view = HistogramView(session)
        for layer in ("0", "1", "6"):
            session.layer = layer
            expected = histogram(session.ready(), layer)
            assert view.bars.values == expected.counts.tolist()
            assert view.bars.names == [f"{edge:.3g}" for edge in expected.edges[:-1]]
            assert f"Values of {layer}" in view.bars.alt
        view.close()
