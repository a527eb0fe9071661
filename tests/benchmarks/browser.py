"""From a control's event in the browser to new pixels on the canvas: ``python -m tests.benchmarks.browser``.

A real JupyterLab, as `interp-widgets demo` starts it, in a headless Chromium. One line per control, model and network:
this machine, or a proxy in front of it that adds 100 ms to each round trip.

- *shown*: from the event's own time stamp to the animation frame after the one that drew: by then the browser has
  handed the pixels to the screen. Headless Chromium has no screen, a clock gives it a frame every 16.7 ms. What is
  drawn in the first frame after the event is shown after 16.7 to 33.3 ms, 25 in the middle: no control can do better.
- *drawn*: until the canvas has the pixels.
- *frames*: animation frames from the event to *shown*; 2 is the least.
- *updates*: how often the picture changed per second of a drag (keys where there is no slider), of so many events.
- *kB*: the kernel's messages that came until the pixels were drawn, everything counted; the median and the most.

Events are keys through Chromium's own input queue, at random times within a frame; a drag of a slider gives the page
one mouse move a frame. Every wait is for a condition. *held*: the browser has the frame already; *fresh*: the
kernel computes it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice, repeat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from interp_widgets.cli import any_free_port
from tests.benchmarks.delayed import delayed
from tests.benchmarks.desk import (
    ATTRIBUTION,
    CHANNEL,
    FRAME,
    METHOD,
    METHOD_IS_SHOWN,
    WATCH,
    Desk,
    Drag,
    Move,
    WatchedLab,
    to_and_fro,
)
from tests.browser.conftest import AUTOSAVE_OFF, CHROMIUM_NAMES, EMPTY_NOTEBOOK
from tests.demo_server import running_demo

RESULTS = Path(__file__).parent / "results" / "browser.json"
TARGET = 2 * FRAME  # ms, the median
ROUND_TRIP = 0.1  # s
DRAG = 3.0  # s
CLASSES = 5  # that the Explorer prefetches
LAYERS = 2  # that it prefetches on each side
PAGE_DOWN = 5  # steps of a slider: more than are prefetched on both sides

MODELS = {
    "scenes": "import interp_widgets as iw\nexplorer = iw.explore('scenes')\nexplorer",
    "resnet18": """import torch, torchvision, interp_widgets as iw
torch.manual_seed(0)
explorer = iw.explore(torchvision.models.resnet18(), torch.rand(7, 3, 224, 224))
explorer""",
}


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


# Controls: each adds moves and a drag to its line


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
    start = desk.notebook.execute("explorer.session.layer")
    for _ in range(_inputs(desk)):
        _next_input(desk, start)
        while len(line.moves) < moves and desk.slider("layer")[0] > PAGE_DOWN:
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
    desk.python("explorer.session.channel = 0")  # every layer has it
    desk.choose(0)
    start = int(desk.slider("layer")[0])  # the last with maps
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
    start = desk.notebook.execute("explorer.session.layer")
    for _ in range(_inputs(desk)):
        _next_input(desk, start)
        _jump_up(desk, line, moves)
    _next_input(desk, start)
    row, last = desk.slider("layer")
    line.drag = desk.sweep(ATTRIBUTION, "layer", (0, row / last), int(row), DRAG)


def _jump_up(desk: Desk, line: Line, moves: int) -> None:
    desk.control("layer").focus()
    row = int(desk.slider("layer")[0]) - PAGE_DOWN
    while row >= 0 and len(line.moves) < moves:
        wanted = _pictures(desk, row)
        are_fresh = not any(desk.holds(picture, *key) for picture, key in wanted.items())
        move = desk.press("PageDown", _as_text(wanted))
        desk.quiet()
        if are_fresh:
            line.add(move)
        row -= PAGE_DOWN


def method(desk: Desk, line: Line, moves: int) -> None:
    """Through the methods of the menu, in the middle of the network, where no two draw the same map."""
    desk.control("layer").focus()
    for _ in range(3):
        desk.control("layer").press("PageDown")
        desk.settle()
    last = desk.page.locator(f"{METHOD} option").count() - 1
    desk.control("method").focus()
    place = 0
    for before, place in _steps(0, last, moves):
        line.add(desk.press(_arrow("Down", "Up", place > before), {ATTRIBUTION: None}, METHOD_IS_SHOWN))
        desk.quiet()
    keys = (_arrow("Down", "Up", after > before) for before, after in _steps(place, last))
    line.drag = desk.hold(ATTRIBUTION, keys, DRAG)


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


def _arrow(forward: str, back: str, is_forward: bool) -> str:  # noqa: FBT001 - a condition, and the words for it
    return f"Arrow{forward if is_forward else back}"


def _pictures(desk: Desk, row: int) -> dict[int, tuple[int, int]]:
    """What both pictures show at a row of the network."""
    return {picture: (row, desk.key(picture)[1]) for picture in (ATTRIBUTION, CHANNEL)}


def _as_text(wanted: dict[int, tuple[int, int]]) -> dict[int, str | None]:
    return {picture: f"{row},{column}" for picture, (row, column) in wanted.items()}


def _inputs(desk: Desk) -> int:
    return int(desk.notebook.execute("len(explorer.session.inputs)"))


def _next_input(desk: Desk, layer: str) -> None:
    """Another input: nothing that was computed before is held."""
    desk.python(
        "session = explorer.session\n"
        "session.example = (session.example + 1) % len(session.inputs)\n"
        f"session.layer, session.channel = {layer}, 0"
    )


# The whole


@contextmanager
def jupyter(folder: Path) -> Iterator[tuple[Path, str]]:
    """The folder and the address of a JupyterLab that `interp-widgets demo` started."""
    settings = folder / AUTOSAVE_OFF
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"autosave": False}))
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    start = notebooks / "start.ipynb"
    start.write_text(json.dumps(EMPTY_NOTEBOOK))
    options = ("--port", str(any_free_port()), "--notebook", str(start), "--", "--LabApp.expose_app_in_browser=True")
    with running_demo(folder, *options) as (_, address):
        yield notebooks, address


def measure(browser: Browser, place: tuple[Path, str], network: str, options: argparse.Namespace) -> Iterator[Line]:
    """The lines of one network, as they are measured."""
    for model in options.models:
        lab = WatchedLab(browser, *place)
        desk = Desk(lab, MODELS[model])
        for name in options.controls:
            measured, has_target = CONTROLS[name]
            line = Line(model, network, name, has_target)
            measured(desk, line, options.moves)
            yield line
        errors = lab.close()
        assert not errors, "the browser reported:\n" + "\n".join(errors)


def main() -> None:
    """Measure, print the table line by line, write the JSON."""
    options = _options()
    lines: list[Line] = []
    with (
        tempfile.TemporaryDirectory() as name,
        sync_playwright() as playwright,
        jupyter(Path(name)) as (folder, address),
    ):
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, CHROMIUM_NAMES))),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        about = _about(browser)
        print(_words(about), flush=True)
        print(HEADING, flush=True)
        for network in options.networks:
            with _reached(address, network) as origin:
                for line in measure(browser, (folder, origin), network, options):
                    lines.append(line)
                    print(_row(line), flush=True)
                    _write(about, lines)
        browser.close()
    print(f"{_verdict(lines)}; written: {RESULTS}")


NETWORKS = {"here": 0.0, "+100 ms": ROUND_TRIP}
HEADING = (
    f"{'model':9}{'network':9}{'control':14}{'moves':>6}{'shown ms':>11}{'p95':>6}{'frames':>8}{'drawn ms':>10}"
    f"{'updates/s':>11}{'of events':>11}{'late ms':>9}{'kB':>7}{'most':>7}{'load':>6}  target"
)


@contextmanager
def _reached(address: str, network: str) -> Iterator[str]:
    """The server's address on that network."""
    parts = urlsplit(address)
    if not NETWORKS[network]:
        yield address
        return
    assert parts.port is not None
    with delayed(parts.port, NETWORKS[network] / 2) as port:
        yield parts._replace(netloc=f"{parts.hostname}:{port}").geturl()


def _row(line: Line) -> str:
    if not line.moves:
        return f"{line.model:9}{line.network:9}{line.control:14}{0:6}  no move was of this kind"
    verdict = "-" if line.is_met is None else f"<= {TARGET:.1f} ms {'met' if line.is_met else 'MISSED'}"
    drag = line.drag or Drag(float("nan"), float("nan"), float("nan"))
    return (
        f"{line.model:9}{line.network:9}{line.control:14}{len(line.moves):6}"
        f"{line.quantile('shown', 0.5):11.1f}{line.quantile('shown', 0.95):6.0f}{line.quantile('frames', 0.5):8.1f}"
        f"{line.quantile('drawn', 0.5):10.1f}{drag.updates:11.1f}{drag.events:11.1f}{drag.late:9.0f}"
        f"{line.quantile('received', 0.5) / 1000:7.1f}{line.quantile('received', 1.0) / 1000:7.1f}"
        f"{line.load:6.1f}  {verdict}"
    )


def _verdict(lines: list[Line]) -> str:
    judged = [line for line in lines if line.is_met is not None]
    return f"{sum(bool(line.is_met) for line in judged)} of {len(judged)} targets met"


def _about(browser: Browser) -> dict[str, Any]:
    """Where and when, and the frames of an idle page."""
    page = browser.new_page()
    page.add_init_script(path=WATCH)
    page.goto("about:blank")
    frames = page.evaluate("watch.intervals(120)")
    page.close()
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "chromium": browser.version,
        "frame_median": float(np.median(frames)),
        "frame_p95": float(np.quantile(frames, 0.95)),
    }


def _words(about: dict[str, Any]) -> str:
    return (
        f"{about['when']}, headless Chromium {about['chromium']}, {about['cores']} cores, load {about['load'][0]:.1f}; "
        f"an idle page has a frame every {about['frame_median']:.1f} ms (p95 {about['frame_p95']:.1f})"
    )


def _write(about: dict[str, Any], lines: list[Line]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(about | {"lines": [line.as_json() for line in lines if line.moves]}, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.browser", description=__doc__)
    parser.add_argument("--moves", type=int, default=60, help="per line (default: 60)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--controls", nargs="+", choices=CONTROLS, default=list(CONTROLS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
