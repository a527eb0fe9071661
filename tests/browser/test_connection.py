"""A kernel that is gone: the widgets say so, nothing pretends to compute, and what the browser holds still moves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.browser.harness import PANEL, Lab, NotebookPage

SETUP = """
import os, numpy as np, ipywidgets
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.status_line import StatusLine
picture = Picture(size=100, label="a map", busy=True)
picture.put_many([(0, column, np.random.default_rng(column).normal(size=(5, 7))) for column in range(8)])
slider = Slider(label="channel", max=20)
link = ipywidgets.jslink((slider, "value"), (picture, "column"))
status = StatusLine(text="RISE: 35 s left")
ipywidgets.VBox([status, picture, slider])
"""
LOST = "not connected: pictures that are here still move, new ones need Run"
SAYS = "words => document.querySelector('.iw-status')?.textContent === words"
DRAWN = "key => document.querySelector('.iw-stage canvas')?.dataset.shown === key"
BUSY = "document.querySelector('.iw-busy').checkVisibility({ visibilityProperty: true })"


def _restart(notebook: NotebookPage) -> None:
    notebook.call(f"async path => {{ await {PANEL}.sessionContext.session.kernel.restart(); }}", notebook.path)


def _shut_down(notebook: NotebookPage) -> None:
    notebook.call(f"async path => {{ await {PANEL}.sessionContext.shutdown(); }}", notebook.path)


def _crash(notebook: NotebookPage) -> None:
    os.kill(int(notebook.execute("os.getpid()")), signal.SIGKILL)
    notebook.page.locator(".jp-Dialog .jp-mod-accept").click()  # JupyterLab says that it restarts the kernel


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP])
    opened.run_all()
    opened.wait(DRAWN, "0,0")
    opened.wait(SAYS, "RISE: 35 s left")
    opened.wait(BUSY)
    return opened


@pytest.mark.parametrize("end", [_restart, _shut_down, _crash])
def test_the_widgets_say_that_the_kernel_is_gone_and_what_is_here_still_moves(
    notebook: NotebookPage, end: Callable[[NotebookPage], None]
) -> None:
    end(notebook)
    notebook.wait(SAYS, LOST)
    notebook.wait(f"!({BUSY})")
    canvas = notebook.page.locator(".iw-stage canvas")
    assert canvas.get_attribute("aria-busy") == "false"
    handle = notebook.page.locator(".iw-slider input[type=range]")
    for column in (1, 2):
        handle.press("ArrowRight")
        notebook.wait(DRAWN, f"0,{column}")
    handle.press("End")  # a frame that nobody has: the last one stays, dimmed, and nothing claims to compute it
    notebook.wait("document.querySelectorAll('.iw-stale').length === 1")
    assert not notebook.page.evaluate(BUSY)
    assert canvas.get_attribute("data-shown") == "0,2"
    notebook.screenshot(f"lost-{end.__name__.strip('_')}")


def test_after_a_restart_run_brings_connected_widgets(notebook: NotebookPage) -> None:
    _restart(notebook)
    notebook.wait(SAYS, LOST)
    notebook.wait_until_ready()
    notebook.run_all()
    notebook.wait(SAYS, "RISE: 35 s left")
    notebook.execute("status.text = 'ready'")
    notebook.wait(SAYS, "ready")


def test_a_busy_kernel_is_not_a_lost_one(notebook: NotebookPage) -> None:
    notebook.execute("import time; time.sleep(3)")
    assert notebook.page.locator(".iw-status").text_content() == "RISE: 35 s left"


SAVE_STATE = f"""async path => {{
    const inside = widget => [...(widget.widgets ?? widget.children?.() ?? [])];
    const seek = widget => widget._manager ?? inside(widget).map(seek).find(Boolean);
    const managers = {PANEL}.content.widgets.map(cell => cell.outputArea && seek(cell.outputArea));
    (await managers.find(Boolean).promise)._saveState();
}}"""


def test_a_notebook_saved_with_its_widgets_shows_them_without_their_kernel(notebook: NotebookPage) -> None:
    notebook.call(SAVE_STATE, notebook.path)
    _restart(notebook)
    notebook.wait_until_ready()
    notebook.reload()
    notebook.wait(DRAWN, "0,0")
    notebook.wait(SAYS, LOST)
    notebook.page.locator(".iw-slider input[type=range]").press("ArrowRight")
    notebook.wait(DRAWN, "0,1")


EXPLORER = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
explorer = iw.explore("scenes")
explorer
"""
PLACES = """() => [...document.querySelectorAll('.iw-explorer :is(.iw, button)')].map(each => {
    const { x, y, width, height } = each.getBoundingClientRect();
    return [x, y, width, height].map(Math.round);
})"""


def test_an_explorer_without_its_kernel_says_so_and_nothing_is_pushed_about(lab: Lab) -> None:
    notebook = lab.open([EXPLORER])
    notebook.run_all()
    notebook.wait("document.querySelectorAll('.iw-explorer .iw-stage canvas[data-shown]').length === 2")
    notebook.wait_for_python("explorer.wait()")
    notebook.wait("document.querySelector('.iw-status').textContent.startsWith('Grad-CAM')")
    notebook.wait("document.querySelectorAll('.iw-tile').length > 0")
    before = notebook.page.evaluate(PLACES)
    _restart(notebook)
    notebook.wait(SAYS, LOST)
    notebook.wait("document.querySelectorAll('.iw-explorer button.jupyter-widgets-disconnected').length > 0")
    assert notebook.page.evaluate(PLACES) == before
    for theme in ("light", "dark"):
        notebook.set_theme(theme)
        notebook.screenshot(f"lost-explorer-{theme}")
