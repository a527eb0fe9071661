"""What `tests.benchmarks.browser` does with each control: every function adds moves and a drag to its line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice, repeat
from typing import Any

import numpy as np

from tests.benchmarks.desk import ATTRIBUTION, CHANNEL, FRAME, METHOD, METHOD_IS_SHOWN, Desk, Drag, Move, to_and_fro

TARGET = 2 * FRAME  # ms, the median
DRAG = 3.0  # s
CLASSES = 5  # that the Explorer prefetches
LAYERS = 2  # that it prefetches on each side
PAGE_DOWN = 0.1  # of a slider's range, in Chromium: more steps than are prefetched on both sides


@dataclass
class Line:
    """One line of the table."""

    model: str
    network: str
    control: str
    has_target: bool
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    moves: list[Move] = field(default_factory=list)
    drag: Drag | None = None

    def add(self, move: Move | None) -> None:
        """Count a move that brought new pixels."""
        if move is not None:
            self.moves.append(move)

    def quantile(self, name: str, part: float) -> float:
        """Of what the moves took or received."""
        return float(np.quantile([getattr(move, name) for move in self.moves], part))

    @property
    def is_met(self) -> bool | None:
        """Whether the target is; ``None`` where there is none."""
        return self.quantile("shown", 0.5) <= TARGET if self.has_target else None

    def as_json(self) -> dict[str, Any]:
        """All of it, and what the table says."""
        quantiles = {
            f"{name}_{title}": self.quantile(name, part)
            for name in ("shown", "drawn", "frames", "received", "messages")
            for title, part in (("median", 0.5), ("p95", 0.95), ("most", 1.0))
        }
        return asdict(self) | quantiles | {"target": TARGET if self.has_target else None, "met": self.is_met}


def channel(desk: Desk, line: Line, moves: int) -> None:
    """Along the channels of the layer, one a move."""
    row, _ = desk.key(CHANNEL)
    start, last = (int(end) for end in desk.slider("channel"))
    for number in range(last + 1):
        desk.wait_for_frame(CHANNEL, row, number)
    desk.control("channel").focus()
    for before, place in _steps(start, last, moves):
        line.add(desk.press(_arrow("Right", "Left", place > before), {CHANNEL: f"{row},{place}"}))
    line.drag = desk.sweep(CHANNEL, "channel", (0, 1), last, DRAG)


def opacity(desk: Desk, line: Line, moves: int) -> None:
    """A hundredth a move."""
    desk.control("opacity").focus()
    for before, place in _steps(round(100 * desk.slider("opacity")[0]), 99, moves, first=1):
        line.add(desk.press(_arrow("Right", "Left", place > before), {ATTRIBUTION: None}))
    line.drag = desk.sweep(ATTRIBUTION, "opacity", (0, 1), 100, DRAG)


def class_held(desk: Desk, line: Line, moves: int) -> None:
    """Up and down among the most probable classes."""
    desk.choose(0)
    row, _ = desk.key(ATTRIBUTION)
    ranked = desk.ranked()[:CLASSES]
    for index in ranked:
        desk.wait_for_frame(ATTRIBUTION, row, index)
    desk.control("class").focus()
    rank = 0
    for before, rank in _steps(0, CLASSES - 1, moves):
        line.add(desk.press(_arrow("Down", "Up", rank > before), {ATTRIBUTION: f"{row},{ranked[rank]}"}))
        desk.quiet()
    keys = (_arrow("Down", "Up", place > before) for before, place in _steps(rank, CLASSES - 1))
    line.drag = desk.hold(ATTRIBUTION, keys, DRAG)


def class_fresh(desk: Desk, line: Line, moves: int) -> None:
    """Down the list behind the prefetched classes; at its end at another layer, or for another input."""
    for _ in range(_inputs(desk)):
        _next_input(desk)
        while len(line.moves) < moves and _page_down(desk) >= 0:
            _down_the_list(desk, line, moves)
            desk.control("layer").press("PageDown")
            desk.settle()
    if len(desk.ranked()) > moves + 100:
        desk.control("class").focus()
        line.drag = desk.hold(ATTRIBUTION, repeat("ArrowDown"), DRAG)


def _down_the_list(desk: Desk, line: Line, moves: int) -> None:
    desk.choose(CLASSES - 1)
    row, _ = desk.key(ATTRIBUTION)
    desk.control("class").focus()
    for index in desk.ranked()[CLASSES : CLASSES + moves - len(line.moves)]:
        is_fresh = not desk.holds(ATTRIBUTION, row, index)
        move = desk.press("ArrowDown", {ATTRIBUTION: f"{row},{index}"})
        desk.quiet()
        if is_fresh:
            line.add(move)


def layer_held(desk: Desk, line: Line, moves: int) -> None:
    """Through depth, one a move; both pictures must show the layer."""
    desk.python(f"explorer.session.layer, explorer.session.channel = {desk.start}, 0")  # every layer has channel 0
    desk.choose(0)
    start = int(desk.slider("layer")[0])
    row = start
    for before, row in _steps(start, start, moves):
        wanted = _pictures(desk, row)
        for picture, (_, column) in wanted.items():
            desk.wait_for_frame(picture, row, column)
        desk.quiet()
        desk.control("layer").focus()
        line.add(desk.press(_arrow("Right", "Left", row > before), _as_text(wanted)))
    desk.quiet()
    last = desk.slider("layer")[1]
    low, high = max(0, row - LAYERS), min(start, row + LAYERS)
    line.drag = desk.sweep(ATTRIBUTION, "layer", (low / last, high / last), high - low, DRAG)


def layer_fresh(desk: Desk, line: Line, moves: int) -> None:
    """Jumps through depth, again for each input; both pictures must show the layer."""
    for _ in range(_inputs(desk)):
        _next_input(desk)
        _jump_up(desk, line, moves)
    _next_input(desk)
    row, last = desk.slider("layer")
    line.drag = desk.sweep(ATTRIBUTION, "layer", (0, row / last), int(row), DRAG)


def _jump_up(desk: Desk, line: Line, moves: int) -> None:
    desk.control("layer").focus()
    while (row := _page_down(desk)) >= 0 and len(line.moves) < moves:
        wanted = _pictures(desk, row)
        are_fresh = not any(desk.holds(picture, *key) for picture, key in wanted.items())
        move = desk.press("PageDown", _as_text(wanted))
        desk.quiet()
        if are_fresh:
            line.add(move)


def _page_down(desk: Desk) -> int:
    """Where a Page Down will take the layer's slider; below zero when it is too near to its end."""
    row, last = desk.slider("layer")
    return round(row - PAGE_DOWN * last)


def method(desk: Desk, line: Line, moves: int) -> None:
    """Through the methods of the menu, in the middle of the network, where no two draw the same map.

    Of a method that refines the first picture counts; then it is stopped.
    """
    desk.control("layer").focus()
    for _ in range(3):
        desk.control("layer").press("PageDown")
        desk.settle()
    last = desk.page.locator(f"{METHOD} option").count() - 1
    desk.control("method").focus()
    place = 0
    for before, place in _steps(0, last, moves):
        line.add(desk.press(_arrow("Down", "Up", place > before), {ATTRIBUTION: None}, METHOD_IS_SHOWN))
        desk.stop()
    keys = (_arrow("Down", "Up", after > before) for before, after in _steps(place, last))
    line.drag = desk.hold(ATTRIBUTION, keys, DRAG, settle=desk.stop)


CONTROLS: dict[str, tuple[Callable[[Desk, Line, int], None], bool]] = {
    "channel": (channel, True),
    "opacity": (opacity, True),
    "class, held": (class_held, True),
    "class, fresh": (class_fresh, False),
    "layer, held": (layer_held, True),
    "layer, fresh": (layer_fresh, False),
    "method": (method, False),
}


def _steps(start: int, last: int, moves: int | None = None, *, first: int = 0) -> Iterator[tuple[int, int]]:
    """``(before, after)`` of each step."""
    before = start
    for after in islice(to_and_fro(start, last, first), moves):
        yield before, after
        before = after


def _arrow(forward: str, back: str, is_forward: bool) -> str:
    return f"Arrow{forward if is_forward else back}"


def _pictures(desk: Desk, row: int) -> dict[int, tuple[int, int]]:
    """What both pictures show at a row of the network."""
    return {picture: (row, desk.key(picture)[1]) for picture in (ATTRIBUTION, CHANNEL)}


def _as_text(wanted: dict[int, tuple[int, int]]) -> dict[int, str | None]:
    return {picture: f"{row},{column}" for picture, (row, column) in wanted.items()}


def _inputs(desk: Desk) -> int:
    return int(desk.notebook.execute("len(explorer.session.inputs)"))


def _next_input(desk: Desk) -> None:
    """Another input: nothing that was computed before is held."""
    desk.python(
        "session = explorer.session\n"
        "session.example = (session.example + 1) % len(session.inputs)\n"
        f"session.layer, session.channel = {desk.start}, 0"
    )
