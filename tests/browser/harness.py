"""JupyterLab and Voila in a real Chromium: open a notebook, run it, touch it, look at its pixels.

A `Lab` opens notebooks on one server, a `Voila` on another; each opened page is a `BrowserPage`. Every wait is for a
condition. What the browser reports as an error fails the test, unless `HARMLESS` names it with a reason.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import nbformat
import numpy as np
import numpy.typing as npt
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize

SCREENSHOTS = Path(__file__).parent / "screenshots"
NUMBERS = itertools.count()  # no two notebooks of a session share a name, nor the workspace called after it
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
Theme = Literal["light", "dark"]
Notebook = Sequence[str] | dict[str, Any] | Path

# Errors of the browser's console that are not ours: what they look like, and why they may be.
HARMLESS = (
    (
        r"ERR_.* https://(cdnjs\.cloudflare\.com|cdn\.jsdelivr\.net)/.*font-?awesome",
        "Voila asks a CDN for its icons' style",
    ),
)

PANEL = "[...window.jupyterapp.shell.widgets('main')].find(each => each.context?.path === path)"
READY = f"""path => {{
    const panel = window.jupyterapp && {PANEL};
    const kernel = panel?.sessionContext.session?.kernel;
    return panel?.context.isReady && panel.sessionContext.isReady
        && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}}"""
RUN_ALL = f"""async path => {{
    window.jupyterapp.shell.activateById({PANEL}.id);
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
}}"""
SAVE = f"async path => {{ await {PANEL}.context.save(); }}"
OUTPUTS = f"path => {PANEL}.content.widgets.map(cell => cell.model.outputs?.toJSON() ?? [])"
SET_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
EXECUTE = f"""async ([path, code]) => {{
    const kernel = {PANEL}.sessionContext.session.kernel;
    const future = kernel.requestExecute({{ code, store_history: false, allow_stdin: false }});
    let output = '', error = null;
    future.onIOPub = ({{ header, content }}) => {{
        if (header.msg_type === 'stream') output += content.text;
        if (header.msg_type === 'execute_result') output += content.data['text/plain'];
        if (header.msg_type === 'error') error = content.traceback.join('\\n');
    }};
    await future.done;
    return [output, error];
}}"""
PIXELS = """([selector, index]) => {
    const shown = document.querySelectorAll(selector)[index];
    const canvas = document.createElement('canvas');
    canvas.width = shown.naturalWidth ?? shown.width;
    canvas.height = shown.naturalHeight ?? shown.height;
    const context = canvas.getContext('2d');
    context.drawImage(shown, 0, 0);
    const bytes = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let text = '';
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return [canvas.width, canvas.height, btoa(text)];
}"""
PIXEL = """([selector, index, x, y]) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const context = canvas.getContext('2d');
    context.drawImage(document.querySelectorAll(selector)[index], -x, -y);
    return [...context.getImageData(0, 0, 1, 1).data];
}"""


STRIP_FITS = """() => {
    const strip = document.querySelector('.iw-explorer .iw-strip');
    const spare = strip.clientWidth - strip.querySelector('canvas').clientWidth;
    return spare >= 0 && spare < 12;
}"""  # the kernel has drawn the strip of blocks for the width that the page reported


class BrowserPage:
    """One page of the browser, and the errors it reported."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.expected: list[str] = []  # patterns of errors that this page may report
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(f"{error.name}: {error.message}\n{error.stack}"))

    def wait(self, condition: str, argument: object = None, *, seconds: float = 30) -> None:
        """Return as soon as a JavaScript expression, or function of the argument, is true in the page."""
        self.page.wait_for_function(condition, arg=argument, timeout=seconds * 1000)

    def call(self, function: str, argument: object = None, *, seconds: float = 30) -> Any:
        """What an async JavaScript function of the argument returns, or the failure of a wait that was too long."""
        self.page.evaluate(
            """([source, argument]) => {
                const call = window.__call = { done: false };
                Promise.resolve().then(() => eval(source)(argument)).then(
                    value => Object.assign(call, { done: true, value }),
                    error => Object.assign(call, { done: true, error: String(error?.stack ?? error) }));
            }""",
            [f"({function})", argument],
        )
        self.wait("() => window.__call.done", seconds=seconds)
        value, error = self.page.evaluate("() => [window.__call.value, window.__call.error]")
        assert error is None, error
        return value

    def pixels(self, selector: str, index: int = 0) -> npt.NDArray[np.uint8]:
        """``(H, W, 4)`` of a canvas or an image, in its own pixels, not the screen's."""
        width, height, text = self.page.evaluate(PIXELS, [selector, index])
        return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(height, width, 4)

    def pixel(self, selector: str, x: int, y: int, index: int = 0) -> tuple[int, ...]:
        """Red, green, blue and alpha of one pixel of a canvas or an image."""
        return tuple(self.page.evaluate(PIXEL, [selector, index, x, y]))

    def wait_for_pixel(
        self, selector: str, at: tuple[int, int], colour: Sequence[int], *, tolerance: int = 2, seconds: float = 30
    ) -> None:
        """Return as soon as the pixel has the colour."""
        self.wait(
            f"""([place, colour, tolerance]) => document.querySelector(place[0])
                && ({PIXEL})(place).every((value, channel) => Math.abs(value - colour[channel]) <= tolerance)""",
            [[selector, 0, *at], [*colour], tolerance],
            seconds=seconds,
        )

    def screenshot(self, name: str) -> Path:
        """A PNG of the page in the git-ignored folder of screenshots."""
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def reload(self) -> None:
        """Load the page again."""
        self.page.reload()

    def close(self) -> list[str]:
        """Close the page; the errors it reported, without the harmless ones."""
        self.page.evaluate("0")  # whatever was reported before is heard by now
        self.page.context.close()
        harmless = [*self.expected, *(pattern for pattern, _ in HARMLESS)]
        return [error for error in self.errors if not any(re.search(pattern, error) for pattern in harmless)]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location['url']}")


class NotebookPage(BrowserPage):
    """A notebook in JupyterLab, with its kernel."""

    def __init__(self, page: Page, path: str) -> None:
        super().__init__(page)
        self.path = path

    def wait_until_ready(self) -> None:
        """The notebook is shown, its kernel connected and idle."""
        self.wait(READY, self.path, seconds=60)

    def run_all(self, *, seconds: float = 120) -> None:
        """Run every cell; a cell that raises fails the test with its traceback."""
        self.call(RUN_ALL, self.path, seconds=seconds)
        self.wait(READY, self.path, seconds=seconds)
        for output in itertools.chain(*self.outputs()):
            assert output["output_type"] != "error", "\n".join(output["traceback"])

    def outputs(self) -> list[list[dict[str, Any]]]:
        """The outputs of each cell, as the notebook would save them."""
        saved: list[list[dict[str, Any]]] = self.page.evaluate(OUTPUTS, self.path)
        return saved

    def execute(self, code: str, *, seconds: float = 60) -> str:
        """What the code prints, or its last value's text, run in the notebook's kernel.

        What it raises fails the test. A widget's message may still be on its way: see `wait_for_python`.
        """
        output, error = self.call(EXECUTE, [self.path, code], seconds=seconds)
        assert error is None, error
        return str(output).strip()

    def wait_for_python(self, condition: str, *, seconds: float = 30) -> None:
        """Return as soon as a Python expression is true in the notebook's kernel.

        Widgets' messages and executed code travel on different channels: code sent later may run first.
        """
        deadline = time.monotonic() + seconds
        while self.execute(f"bool({condition})") != "True":
            assert time.monotonic() < deadline, f"not true after {seconds:g} s: {condition}"

    def set_theme(self, theme: Theme) -> None:
        """Switch JupyterLab's theme and wait until it is shown."""
        self.call(SET_THEME, THEMES[theme])
        self.wait("theme => document.body.dataset.jpThemeName === theme", THEMES[theme])

    def save(self) -> None:
        """Save the notebook as JupyterLab does."""
        self.call(SAVE, self.path)

    def reload(self) -> None:
        """Save, load the page again, and wait for the notebook and its kernel, which lived on."""
        self.save()
        super().reload()
        self.wait_until_ready()


class Host:
    """A server's folder and address, and the pages one test opened on it."""

    def __init__(self, browser: Browser, folder: Path, address: str) -> None:
        self.browser = browser
        self.folder = folder
        parts = urlsplit(address)
        self.origin, self.query = f"{parts.scheme}://{parts.netloc}", parts.query
        self.pages: list[BrowserPage] = []

    def close(self) -> list[str]:
        """Close every page; the errors they reported."""
        errors = [error for page in self.pages for error in page.close()]
        self.pages.clear()
        return errors

    def _write(self, notebook: Notebook) -> str:
        if isinstance(notebook, Path):
            content = notebook.read_text(encoding="utf-8")
        elif isinstance(notebook, dict):
            content = json.dumps(notebook)
        else:
            cells = [nbformat.v4.new_code_cell(source, id=f"cell-{at}") for at, source in enumerate(notebook)]
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            content = json.dumps(nbformat.v4.new_notebook(cells=cells, metadata=kernel))
        name = f"{'notebook' if not isinstance(notebook, Path) else notebook.stem}-{next(NUMBERS)}.ipynb"
        (self.folder / name).write_text(content, encoding="utf-8")
        return name

    def _new_page(self, viewport: tuple[int, int]) -> Page:
        size = ViewportSize(width=viewport[0], height=viewport[1])
        return self.browser.new_context(viewport=size).new_page()


class Lab(Host):
    """JupyterLab as `interp-widgets demo` starts it."""

    def open(
        self, notebook: Notebook, *, theme: Theme = "light", viewport: tuple[int, int] = (1280, 800)
    ) -> NotebookPage:
        """A new notebook of these code cells (or this JSON, or a copy of this file), shown and its kernel ready."""
        name = self._write(notebook)
        opened = NotebookPage(self._new_page(viewport), name)
        self.pages.append(opened)
        # a workspace of its own: nothing that another test left open comes back
        opened.page.goto(f"{self.origin}/lab/workspaces/{Path(name).stem}/tree/{quote(name)}?{self.query}")
        opened.wait_until_ready()
        opened.set_theme(theme)
        return opened

    def close(self) -> list[str]:
        """Close every page and end every kernel; the errors the pages reported."""
        errors = super().close()
        for session in json.loads(self._request("GET", "/api/sessions")):
            self._request("DELETE", f"/api/sessions/{session['id']}")
        return errors

    def _request(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(f"{self.origin}{path}?{self.query}", method=method)  # noqa: S310 - our server
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our server
            content: bytes = answer.read()
        return content


class Voila(Host):
    """Voila, which runs a notebook when its page is opened and shows no code."""

    def open(self, notebook: Notebook, *, viewport: tuple[int, int] = (1280, 800)) -> BrowserPage:
        """The page of a new notebook, run to its end; wait for what it should show."""
        name = self._write(notebook)
        opened = BrowserPage(self._new_page(viewport))
        self.pages.append(opened)
        opened.page.goto(f"{self.origin}/voila/render/{quote(name)}", timeout=120_000)
        return opened
