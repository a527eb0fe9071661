"""An Explorer in a real JupyterLab, and the hand on its controls: what `tests.benchmarks.browser` measures with."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from tests.browser.harness import Lab, NotebookPage

WATCH = Path(__file__).parent / "watch.js"
FRAME = 1000 / 60  # ms
KEY_REPEAT = 30  # a second
PATIENCE = 60.0  # seconds that a picture, and then the kernel's rest, may take
ATTRIBUTION, CHANNEL = 0, 1  # the pictures, in the order of the page
SLIDERS = ("opacity", "contrast", "channel", "layer")  # in the order of the page
CLASSES = ".iw-classes [role=listbox]"
STOP = ".iw-explorer button[title='stop what is being computed']"
METHOD = ".iw-explorer select[aria-label=method]"
METHOD_IS_SHOWN = f"""(() => {{
    const picture = document.querySelector('.iw-picture');
    const [chosen] = document.querySelector('{METHOD}').selectedOptions;
    return picture.querySelector('.iw-caption').title.split(' · ')[0] === chosen.text
        && picture.querySelector('canvas').getAttribute('aria-busy') === 'false';
}})()"""

Wanted = dict[int, str | None]


@dataclass(frozen=True)
class Move:
    """One event and what came of it; milliseconds and bytes."""

    shown: float
    drawn: float
    frames: int
    received: int
    messages: int
    changed: bool  # the picture at the end is another than before


@dataclass(frozen=True)
class Drag:
    """Events given and pictures drawn, per second; milliseconds from the last event to the last pixels."""

    events: float
    updates: float
    late: float


class WatchedLab(Lab):
    """JupyterLab with `watch.js` in every page."""

    def _new_page(self, viewport: tuple[int, int]) -> Page:
        page = super()._new_page(viewport)
        page.add_init_script(path=WATCH)
        return page


class Desk:
    """One notebook whose cell shows the Explorer ``explorer``."""

    def __init__(self, lab: Lab, source: str) -> None:
        self.lab = lab
        self.random = random.Random(0)
        self.notebook: NotebookPage = lab.open([source])
        self.page = self.notebook.page
        self.notebook.run_all()
        self.notebook.wait("document.querySelectorAll('.iw-picture .iw-stage canvas').length === 2")
        self.notebook.wait("document.querySelector('.iw-picture .iw-stage canvas').dataset.shown")
        self.notebook.call("path => watch.attach(path)", self.notebook.path)
        self.start = self.notebook.execute("explorer.session.layer")  # the last with maps, as Python writes it
        self.quiet()

    # The kernel and what the browser holds

    def python(self, code: str) -> None:
        """Run code in the kernel and let everything settle."""
        self.notebook.execute(code)
        self.settle()

    def quiet(self) -> None:
        """Return when the kernel has computed all that it wants to."""
        self.notebook.execute(f"assert explorer.wait({PATIENCE})", seconds=2 * PATIENCE)

    def settle(self) -> None:
        """Return when both pictures show what they are set to, and the kernel is quiet."""
        self.notebook.wait("watch.current()")
        self.quiet()

    def stop(self) -> None:
        """As soon as the chosen method shows a picture, give up refining it, as a click on the button does."""
        self.notebook.wait(METHOD_IS_SHOWN, seconds=PATIENCE)
        self.page.evaluate("stop => document.querySelector(stop).click()", STOP)
        self.settle()

    def key(self, picture: int) -> tuple[int, int]:
        """Row and column that a picture is set to."""
        row, column = self.page.evaluate("picture => watch.at(picture)", picture)
        return row, column

    def holds(self, picture: int, row: int, column: int) -> bool:
        """Whether the browser has a frame of a picture."""
        return bool(self.page.evaluate("key => watch.held(key)", [picture, row, column]))

    def wait_for_frame(self, picture: int, row: int, column: int) -> None:
        """Return as soon as the browser has a frame of a picture."""
        self.notebook.wait("key => watch.held(key)", [picture, row, column])

    # Controls

    def control(self, name: str) -> Locator:
        """What takes the keys."""
        if name in SLIDERS:
            return self.page.locator(".iw-explorer .iw-slider input[type=range]").nth(SLIDERS.index(name))
        return self.page.locator(CLASSES if name == "class" else METHOD)

    def slider(self, name: str) -> tuple[float, float]:
        """A slider's value and its largest."""
        handle = self.control(name)
        return float(handle.input_value()), float(handle.get_attribute("max") or 0)

    def ranked(self) -> list[int]:
        """Classes by falling probability, as the list shows them."""
        found: list[int] = self.page.evaluate(
            "list => [...document.querySelectorAll(`${list} [role=option]`)].map(each => Number(each.dataset.index))",
            CLASSES,
        )
        return found

    def choose(self, rank: int) -> None:
        """Click a class and let everything settle."""
        self.page.locator(f"{CLASSES} [role=option]").nth(rank).click()
        self.settle()

    # Measuring

    def press(self, key: str, wanted: Wanted, until: str = "watch.done()") -> Move | None:
        """Press a key and wait for the pictures that it shall bring; ``None`` when they need no new pixels."""
        self.page.evaluate("wanted => watch.begin(wanted)", wanted)
        time.sleep(self.random.random() * FRAME / 1000)  # playwright is in step with the frames; a hand is not
        self.page.keyboard.press(key)
        # In one step, because a method that refines draws on: between two steps there may be a picture not yet shown.
        ended = self.page.wait_for_function(f"({until}) && watch.calm() && watch.end()", timeout=1000 * PATIENCE)
        return _move(ended.json_value())

    def sweep(self, picture: int, slider: str, between: tuple[float, float], steps: int, seconds: float) -> Drag:
        """Drag a slider to and fro between two places (0..1) of its track, one step at each frame."""
        place = SLIDERS.index(slider)
        track = [place, *between, steps, 1000 * seconds]
        return self._drag(picture, lambda: self.notebook.call("watch.sweep", track), self.settle)

    def hold(self, picture: int, keys: Iterable[str], seconds: float, settle: Callable[[], None] | None = None) -> Drag:
        """Press one key after another, as often as a key that is held down repeats; then ``settle``."""

        def press() -> int:
            begun, total = time.monotonic(), round(seconds * KEY_REPEAT)
            for count, key in enumerate(islice(keys, total), 1):
                self.page.keyboard.press(key)
                time.sleep(max(0.0, begun + count / KEY_REPEAT - time.monotonic()))
            return total

        return self._drag(picture, press, settle or self.settle)

    def _drag(self, picture: int, act: Callable[[], int], settle: Callable[[], None]) -> Drag:
        self.page.evaluate("wanted => watch.begin(wanted)", {picture: None})
        begun = self.page.evaluate("performance.now()")
        events = act()
        ended = self.page.evaluate("performance.now()")
        settle()
        drawn = [draw["drawn"] for draw in self.page.evaluate("watch.end()")["draws"]]
        per_second = 1000 / (ended - begun)
        updates = sum(time <= ended for time in drawn)
        return Drag(events * per_second, updates * per_second, max(0.0, max(drawn, default=ended) - ended))


def to_and_fro(start: int, last: int, first: int = 0) -> Iterator[int]:
    """Neighbours of ``start``, one after another, between ``first`` and ``last``, without end."""
    place, step = start, 1 if start < last else -1
    while True:
        if not first <= place + step <= last:
            step = -step
        place += step
        yield place


def _move(found: dict[str, Any]) -> Move | None:
    if not found["last"]:
        return None
    event, last = found["event"], max(found["last"], key=lambda entry: entry["visible"])
    received = [size for when, size in found["received"] if event["time"] <= when <= last["drawn"]]
    return Move(
        shown=last["visible"] - event["time"],
        drawn=last["drawn"] - event["time"],
        frames=last["frame"] - event["frame"],
        received=sum(received),
        messages=len(received),
        changed=all(found["changed"]),
    )
