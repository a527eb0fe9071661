"""From a control's event in the browser to new pixels on the canvas: ``python -m tests.benchmarks.browser``.

A real JupyterLab, as `interp-widgets demo` starts it, in a headless Chromium. One line per control, model and network:
this machine, or a proxy in front of it that adds 100 ms to each round trip.

- *shown*: from the event's own time stamp to the animation frame after the one that drew: by then the browser has
  handed the pixels to the screen. Headless Chromium has no screen, a clock gives it a frame every 16.7 ms. What is
  drawn in the first frame after the event is shown after 16.7 to 33.3 ms, 25 in the middle: no control can do better.
- *drawn*: until the canvas has the pixels.
- *frames*: animation frames from the event to *shown*; 2 is the least.
- *updates*: how often the picture changed per second of a drag (of a held key where there is no slider), and how many
  events there were.
- *kB*: the kernel's messages that came until the pixels were drawn, everything counted; the median and the most.

A missed target is no failure. A control that fails is reported, the others go on in a new notebook, and the exit code
is 1.

Events are keys through Chromium's own input queue, at random times within a frame; a drag of a slider gives the page
one mouse move a frame. Every wait is for a condition. *held*: the browser has the frame already; *fresh*: the
kernel computes it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from interp_widgets.cli import any_free_port
from tests.benchmarks.controls import CONTROLS, TARGET, Line
from tests.benchmarks.delayed import delayed
from tests.benchmarks.desk import WATCH, Desk, Drag, WatchedLab
from tests.benchmarks.measure import Parts, parser_for, write_json
from tests.browser.conftest import AUTOSAVE_OFF, EMPTY_NOTEBOOK
from tests.conftest import CHROMIUM_NAMES
from tests.demo_server import running_demo

ROUND_TRIP = 0.1  # s

MODELS = {
    "scenes": "import interp_widgets as iw\nexplorer = iw.explore('scenes')\nexplorer",
    "resnet18": """import torch, torchvision, interp_widgets as iw
torch.manual_seed(0)
explorer = iw.explore(torchvision.models.resnet18(), torch.rand(7, 3, 224, 224))
explorer""",
}


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


def measure(
    browser: Browser, place: tuple[Path, str], network: str, options: argparse.Namespace, parts: Parts
) -> Iterator[Line]:
    """The lines of one network, as they are measured."""
    for model in options.models:
        desk: Desk | None = None
        for name in options.controls:
            before = len(parts.failed)
            with parts.part(f"{name}, {model}, {network}"):
                if desk is None:
                    desk = Desk(WatchedLab(browser, *place), MODELS[model])
                measured, has_target = CONTROLS[name]
                line = Line(model, network, name, has_target)
                measured(desk, line, options.moves)
                yield line
            if desk is not None and len(parts.failed) > before:
                desk.lab.close()  # whatever state the failure left it in
                desk = None
        if desk is not None:
            with parts.part(f"the browser's console, {model}, {network}"):
                errors = desk.lab.close()
                assert not errors, "the browser reported:\n" + "\n".join(errors)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table line by line, write the JSON; the exit code."""
    options = _options(arguments)
    lines: list[Line] = []
    parts = Parts()
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
                for line in measure(browser, (folder, origin), network, options, parts):
                    lines.append(line)
                    print(_row(line), flush=True)
                    document = about | {"lines": [line.as_json() for line in lines if line.moves]}
                    write_json(options.results, "browser", document)
        browser.close()
    print(f"{_verdict(lines)}; written: {options.results / 'browser.json'}")
    return parts.exit_code()


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


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_for("browser", __doc__)
    parser.add_argument("--moves", type=int, default=60, help="per line (default: 60)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--controls", nargs="+", choices=CONTROLS, default=list(CONTROLS))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
