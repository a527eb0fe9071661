"""The Explorer's channel panel: one page of tiles or bars, the chosen channel large."""

from __future__ import annotations

import numpy as np

from interp_widgets.inspectors.channels import (
    Ranking,
    channel_maps,
    channel_scores,
    channel_values,
    draft,
    fit,
    quantise,
)
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.widgets.views.panel import Panel
from interp_widgets.widgets.views.view import View

__all__ = ["ChannelView"]

TILES = 12  # on a page
BARS = 22
TILE_RESOLUTION = 24  # a page of tiles stays under 7 kB
# Bytes of a layer's channels in the browser; a larger layer is averaged down there, the chosen channel is exact.
STACK_BYTES = 1_000_000


class ChannelView:
    """Draws channels; knows nothing of targets but their contribution."""

    def __init__(self, panel: Panel, session: Session) -> None:
        self._panel = panel
        self._session = session
        self._scores = np.zeros(0, dtype=np.float32)
        self._order = np.zeros(0, dtype=np.intp)
        self._drawn: View | None = None

    def ready(self, view: View) -> bool:
        """Whether ranking the channels needs no backward pass."""
        return view.ranking != "contribution" or self._session.ready().has_gradient(view.layer, view.target)

    def draw(self, view: View) -> None:
        """Bring the panel to a view."""
        before, self._drawn = self._drawn, view
        if not view.same_channels(before):
            self._rank(view)
            self._panel.describe_layer(self._session.ready(), view.layer)
            self._draw_page(view)
        elif before is None or view.page != before.page:
            self._draw_page(view)
        self.serve(view)

    def strongest(self) -> int:
        """The channel that ranks first."""
        return int(self._order[0]) if len(self._order) else 0

    def _rank(self, view: View) -> None:
        trace = self._session.ready()
        measure: Ranking = "contribution" if view.ranking == "contribution" else "activation"
        self._scores = channel_scores(trace, view.layer, measure, view.target)
        natural = np.arange(len(self._scores))
        self._order = natural if view.ranking == "number" else np.argsort(-self._scores, kind="stable")
        self._panel.tiles.measure = "contribution" if view.ranking == "contribution" else "mean"
        self._panel.tiles.alt = f"channels of {view.layer}, by {view.ranking}"

    def _draw_page(self, view: View) -> None:
        trace = self._session.ready()
        spatial = trace.is_spatial(view.layer)
        size = TILES if spatial else BARS
        pages = max(1, -(-len(self._order) // size))
        page = min(view.page, pages - 1)
        chosen = self._order[page * size : (page + 1) * size]
        captions = [f"{self._scores[channel]:.3g}" for channel in chosen]
        place = {"numbers": chosen.tolist(), "captions": captions, "page": page, "pages": pages, "offset": page * size}
        if spatial:
            maps = channel_maps(trace, view.layer)[chosen]
            self._panel.tiles.show_tiles(quantise(fit(maps, TILE_RESOLUTION)), **place)
        else:
            values = self._scores if view.ranking == "contribution" else channel_values(trace, view.layer).numpy()
            self._panel.tiles.show_bars(values[chosen].tolist(), limit=float(np.abs(values).max()), **place)

    def serve(self, view: View) -> None:
        """The chosen channel and its text alternative; a large one as a draft, ``send`` is for the rest."""
        trace, picture = self._session.ready(), self._panel.channel
        if not trace.is_spatial(view.layer):
            return
        values = channel_maps(trace, view.layer)[view.channel].numpy()
        if not picture.has(view.layer_row, view.channel):
            picture.put(view.layer_row, view.channel, draft(values), lo=values.min(), hi=values.max())
        low, high, mean = (float(number) for number in (values.min(), values.max(), values.mean()))
        with picture.hold_sync():
            picture.label = f"channel {view.channel}"
            picture.alt = f"Channel {view.channel} of {view.layer}: values {low:.3g} to {high:.3g}, mean {mean:.3g}."

    def send(self, row: int, layer: str, channel: int) -> None:
        """One channel of one layer as it is, a frame of the picture."""
        trace, picture = self._session.ready(), self._panel.channel
        if not trace.is_spatial(layer) or channel >= trace.channels(layer):
            return
        values = channel_maps(trace, layer)[channel].numpy()
        with TURN:
            if picture.resolution(row, channel) != values.shape:
                picture.put(row, channel, values)

    def send_all(self, view: View) -> None:
        """All channels of the layer in one message, so that dragging over them needs no kernel."""
        trace, picture = self._session.ready(), self._panel.channel
        if not trace.is_spatial(view.layer):
            return
        maps = channel_maps(trace, view.layer)
        if maps.numel() > STACK_BYTES:
            maps = fit(maps, max(4, int((STACK_BYTES / maps.shape[0]) ** 0.5)))
        with TURN:
            missing = [channel for channel in range(len(maps)) if not picture.has(view.layer_row, channel)]
            picture.put_many([(view.layer_row, channel, maps[channel].numpy()) for channel in missing])
