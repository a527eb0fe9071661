"""``ChannelsView``: one page of a layer's channels as tiles or bars, the chosen channel large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import ipywidgets as widgets
import numpy as np

from interp_widgets.inspectors.channels import (
    Ranked,
    Ranking,
    channel_maps,
    draft,
    fit,
    quantise,
    rank_channels,
)
from interp_widgets.inspectors.outline import outline_of, row_of, shortened, times
from interp_widgets.render.colours import colour_table
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.trace import Trace
from interp_widgets.widgets.kit.figures import figures
from interp_widgets.widgets.kit.heading import heading
from interp_widgets.widgets.kit.links import mirror
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.tiles import Tiles
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.words import say

__all__ = ["ChannelsState", "ChannelsView"]

TILES = 18  # on a page
BARS = 22
WHOLE = 6  # figures of a value in a tooltip
TILE_RESOLUTION = 20  # a page of tiles stays under 8 kB
NEIGHBOURS = 2  # layers up and down whose channel is prefetched
# Bytes of a layer's channels in the browser; a larger layer is averaged down there, the chosen channel is exact.
STACK_BYTES = 1_000_000
BYTE_LIMIT = 4_000_000  # of frames; an Explorer that is left alone keeps no more than two of these


# The chosen channel on the left, the page of all beside it.
GRID = {
    "display": "grid",
    "width": "100%",
    "grid_template_areas": '"name name order" "picture tiles tiles" "slider tiles tiles" ". tiles tiles" "bar bar bar"',
    "grid_template_columns": "minmax(132px, var(--iw-channel, 28%)) minmax(0, 1fr) auto",
    "grid_template_rows": "auto auto auto 1fr auto",
    "grid_gap": "0 8px",
    "align_items": "flex-start",
}


@dataclass(frozen=True)
class ChannelsState:
    """The channels of one layer.

    Args:
        recording: which pass of the model.
        row: the layer's row in the ``Outline``; negative for the site of an operation that is no module's output.
        target: what a contribution is a contribution to; ``None`` for the other rankings.
        ranked: the channels in order, ``None`` when ranking them takes a backward pass.
    """

    recording: int
    layer: str
    row: int
    channel: int
    ranking: Ranking
    page: int
    target: Any
    ranked: Ranked | None = field(default=None, compare=False)

    def same_channels(self, other: ChannelsState | None) -> bool:
        """Whether the other state ranks the same channels in the same way."""
        if other is None:
            return False
        ours = (self.recording, self.layer, self.ranking, self.target)
        return ours == (other.recording, other.layer, other.ranking, other.target)


class ChannelsView(SessionView):
    """Choose a channel: a tile, or a step of the slider; ranked by a statistic, contribution or number."""

    watches = ("trace", "layer", "channel", "target")
    box = GRID

    def build(self) -> list[widgets.Widget]:
        """The layer's name and the order; the chosen channel, its slider and the tiles."""
        grey = colour_table("gray").tobytes()
        self._page = 0
        self.picture = Picture(
            size=160,
            fluid=True,
            byte_limit=BYTE_LIMIT,
            view="map",
            table=grey,
            colormap="gray",
            layout={"grid_area": "picture", "width": "auto"},
        )
        self.slider = Slider(
            label=say("channel"),
            help=say("the number of the channel that is shown large"),
            max=0.0,
            readout=True,
            layout={"grid_area": "slider", "width": "auto", "height": "auto"},
        )
        self.tiles = Tiles(
            fluid=True,
            tile_size=48,
            table=grey,
            help=say("channels in the order chosen above: number and value; arrow keys choose, Page Down goes on"),
            layout={"grid_area": "tiles", "min_width": "0"},
        )
        self.ranking = Menu(
            options=[(words, ranking) for ranking, words in _orders().items()],
            value="activation",
            label=say("order of the channels"),
            meanings=_meanings(),
            layout={"grid_area": "order", "width": "auto", "margin": "0 2px 4px 2px", "min_width": "0"},
        )
        self.layer_name = heading("")
        self.layer_name.layout.grid_area = "name"
        self.bar.layout.grid_area = self.bar.layout.grid_area or "bar"
        return [self.layer_name, self.ranking, self.picture, self.slider, self.tiles]

    def bind(self) -> None:
        """Tiles and slider set the channel; the order and the page are the view's own."""
        self.on(self.tiles, "selected", self._choose)
        self.on(self.slider, "value", self._choose)
        self.on(self.tiles, "page", self._turn_page)
        self.on(self.ranking, "value", lambda _name: self._turn_page(0))
        self.picture.on_need(lambda _row, _column: self.draw_again())

    def link(self) -> None:
        """Dragging over channels needs no kernel."""
        self.links.both_ways((self.tiles, "selected"), (self.slider, "value"))
        self.links.one_way((self.slider, "value"), (self.picture, "column"))

    def resolve(self, session: Session) -> ChannelsState:
        """The layer, the channel and their order; another layer begins with its first page."""
        trace, layer = session.ready(), session.layer
        last: ChannelsState | None = self.drawn
        ranking = cast("Ranking", self.ranking.value)
        if session.target is None and ranking == "contribution":
            ranking = "activation"
        state = ChannelsState(
            recording=session.recordings,
            layer=layer,
            row=row_of(trace, layer),
            channel=session.channel,
            ranking=ranking,
            page=self._page if last is None or last.layer == layer else 0,
            target=session.target if ranking == "contribution" else None,
        )
        if last is not None and last.ranked is not None and state.same_channels(last):
            return replace(state, ranked=last.ranked)
        if ranking == "contribution" and not trace.has_gradient(layer, state.target):
            return state
        return replace(state, ranked=rank_channels(trace, layer, ranking, state.target))

    def pending(self, state: ChannelsState) -> bool:
        """Contributions need a gradient."""
        return state.ranked is None

    def work(self, state: ChannelsState) -> Iterator[ChannelsState]:
        """One backward pass."""
        trace = self.session.ready()
        yield replace(state, ranked=rank_channels(trace, state.layer, state.ranking, state.target))

    def draw(self, state: ChannelsState) -> None:
        """The tiles when they are others, the chosen channel when it is another."""
        last: ChannelsState | None = self.drawn
        trace = self.session.ready()
        self._page = state.page
        if last is None or state.recording != last.recording:
            self._show_recording()
        if last is None or (state.recording, state.layer) != (last.recording, last.layer):
            self._show_layer(trace, state.layer)
        is_shown = (
            last is not None and last.ranked is not None and state.same_channels(last) and state.page == last.page
        )
        if state.ranked is not None and not is_shown:
            self._show_page(trace, state, state.ranked)
        self._show_channel(trace, state)

    def place(self, state: ChannelsState, last: ChannelsState | None) -> None:
        """Tiles, slider and picture say which channel it is."""
        if last is None or (state.layer, state.channel) != (last.layer, last.channel):
            self.slider.max = self.session.ready().channels(state.layer) - 1
            mirror(self.slider, "value", state.channel)
            mirror(self.tiles, "selected", state.channel)
            mirror(self.picture, "column", state.channel)
        if last is None or state.row != last.row:
            mirror(self.picture, "row", state.row)

    def describe(self, state: ChannelsState) -> str:
        """The layer, its channels and the chosen one."""
        return say(
            "Channels of {layer}, {order}; chosen: channel {number}",
            layer=state.layer,
            order=_orders()[state.ranking],
            number=state.channel,
        )

    def prefetch(self, state: ChannelsState) -> Iterator[Callable[[], object]]:
        """The chosen channel as it is, all others of the layer, the same channel of the layers beside it."""
        yield partial(self._send_channel, state.row, state.layer, state.channel)
        yield partial(self._send_all, state)
        rows = outline_of(self.session.ready()).rows
        for step in range(1, NEIGHBOURS + 1):
            for row in (state.row + step, state.row - step):
                if 0 <= row < len(rows):
                    yield partial(self._send_channel, row, rows[row], state.channel)

    def strongest(self) -> int:
        """The channel that ranks first."""
        ranked = None if self.drawn is None else self.drawn.ranked
        return 0 if ranked is None or not len(ranked.order) else int(ranked.order[0])

    # Parts of drawing

    def _show_recording(self) -> None:
        self.picture.clear()
        shown = self.session.picture()
        if shown is not None:
            self.picture.base_size = (shown.shape[1], shown.shape[0])

    def _show_layer(self, trace: Trace, layer: str) -> None:
        """The heading, and whether there are maps."""
        is_spatial = trace.is_spatial(layer)
        size = times(trace.site(layer).shape[1:])
        name = f"{shortened(layer, 23 - len(size))} · {size}"
        self.layer_name.value = name if is_spatial else say("{name} (no maps)", name=name)
        self.layer_name.tooltip = layer
        self.picture.layout.display = self.slider.layout.display = "" if is_spatial else "none"

    def _show_page(self, trace: Trace, state: ChannelsState, ranked: Ranked) -> None:
        is_spatial = trace.is_spatial(state.layer)
        size = TILES if is_spatial else BARS
        pages = max(1, -(-len(ranked.order) // size))
        page = min(state.page, pages - 1)
        chosen = ranked.order[page * size : (page + 1) * size]
        scores = ranked.scores[chosen].tolist()
        captions = [figures(score, 3 if channel < 100 else 2) for score, channel in zip(scores, chosen, strict=True)]
        place = {"numbers": chosen.tolist(), "captions": captions, "page": page, "pages": pages, "offset": page * size}
        self.tiles.measure = _measure(state, is_spatial=is_spatial)
        self.tiles.alt = say("channels of {layer}, {order}", layer=state.layer, order=_orders()[state.ranking])
        if is_spatial:
            maps = channel_maps(trace, state.layer)[chosen]
            self.tiles.show_tiles(
                quantise(fit(maps, TILE_RESOLUTION)), details=[figures(score, WHOLE) for score in scores], **place
            )
        else:
            self.tiles.show_bars(scores, limit=float(np.abs(ranked.scores).max()), **place)

    def _show_channel(self, trace: Trace, state: ChannelsState) -> None:
        """The chosen channel and its text alternative; a large one as a draft, the rest is prefetched."""
        if not trace.is_spatial(state.layer):
            return
        values = channel_maps(trace, state.layer)[state.channel].numpy()
        low, high, mean = float(values.min()), float(values.max()), float(values.mean())
        if not self.picture.has(state.row, state.channel):
            self.picture.put(state.row, state.channel, draft(values), lo=low, hi=high)
        self.picture.label = say("channel {number}", number=state.channel)
        self.picture.alt = say(
            "Channel {number} of {layer}: values {low:.3g} to {high:.3g}, mean {mean:.3g}.",
            number=state.channel,
            layer=state.layer,
            low=low,
            high=high,
            mean=mean,
        )

    def _send_channel(self, row: int, layer: str, channel: int) -> None:
        """One channel of one layer as it is, a frame of the picture."""
        trace = self.session.ready()
        if not trace.is_spatial(layer) or channel >= trace.channels(layer):
            return
        values = channel_maps(trace, layer)[channel].numpy()
        with TURN:
            is_current = trace is self.session.trace and not self.closed
            if is_current and self.picture.resolution(row, channel) != values.shape:
                self.picture.put(row, channel, values)

    def _send_all(self, state: ChannelsState) -> None:
        """All channels of the layer in one message, so that dragging over them needs no kernel."""
        trace = self.session.ready()
        if not trace.is_spatial(state.layer):
            return
        maps = channel_maps(trace, state.layer)
        if maps.numel() > STACK_BYTES:
            maps = fit(maps, max(4, int((STACK_BYTES / maps.shape[0]) ** 0.5)))
        with TURN:
            if trace is not self.session.trace or self.closed:
                return
            missing = [channel for channel in range(len(maps)) if not self.picture.has(state.row, channel)]
            self.picture.put_many([(state.row, channel, maps[channel].numpy()) for channel in missing])

    # What the controls do

    def _choose(self, number: float) -> None:
        channel = int(number)
        if 0 <= channel < self.session.ready().channels(self.session.layer):
            self.session.channel = channel

    def _turn_page(self, page: int) -> None:
        self._page = page
        self.update()


def _measure(state: ChannelsState, *, is_spatial: bool) -> str:
    """What the number at each channel is."""
    if state.ranking == "contribution":
        return say("contribution to the score")
    if state.ranking == "maximum":
        return say("maximum")
    if state.ranking == "zeros":
        return say("share of zeros")
    return say("mean activation") if is_spatial else say("activation")


def _orders() -> dict[Ranking, str]:
    """What each order of the channels is called."""
    return {
        "activation": say("by activation"),
        "maximum": say("by maximum"),
        "zeros": say("by zeros"),
        "contribution": say("by contribution"),
        "number": say("by number"),
    }


def _meanings() -> dict[str, str]:
    """What each order of the channels puts first."""
    return {
        "activation": say("the largest mean activation first"),
        "maximum": say("the largest activation at any place first"),
        "zeros": say("the largest share of zeros first: channels that seldom fire"),
        "contribution": say(
            "the largest activation times gradient first, summed: a share of the score, to first order"
        ),
        "number": say("channel 0 first"),
    }
