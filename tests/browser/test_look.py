"""A map's look in JupyterLab: moved by the keyboard without the kernel; what the cursor reads is raw."""

from __future__ import annotations

import pytest

from tests.browser.frozen import frozen
from tests.browser.harness import Lab, NotebookPage

SETUP = """
import numpy as np
from IPython.display import display
from interp_widgets.render.colours import colour_table
from interp_widgets.render.look import Look
from interp_widgets.widgets.kit.links import BrowserLinks
from interp_widgets.widgets.kit.look_controls import LookControls
from interp_widgets.widgets.kit.picture import Picture
random = np.random.default_rng(0)
picture = Picture(size=240, signed=True, noted=True, table=colour_table("RdBu_r").tobytes())
picture.set_base(random.integers(0, 256, (224, 224, 3), dtype=np.uint8))
values = random.standard_t(2, size=(224, 224)).astype(np.float32)
values[112, 168] = 0.123
picture.put(0, 0, values, exact=True)
controls = LookControls()
controls.offer(Look(smoothing=0.01, photo="grey", by_strength=True), 2.5)
links = BrowserLinks()
links.one_way((controls, "look"), (picture, "look"))
display(picture, controls)
"""
CANVAS = ".iw-stage canvas"
DRAWN_AGAIN = "draws => Number(document.querySelector('.iw-stage canvas').dataset.draws) > draws"


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP])
    opened.run_all()
    opened.wait("document.querySelector('.iw-note')?.textContent.includes('smoothed by 2.2 px')")
    opened.page.locator(".iw-look summary").focus()
    opened.page.keyboard.press("Enter")
    opened.wait("document.querySelector('.iw-look').open")
    return opened


def _press(notebook: NotebookPage, key: str) -> None:
    """Press a key and wait for the picture."""
    before = int(notebook.page.locator(CANVAS).get_attribute("data-draws") or 0)
    notebook.page.keyboard.press(key)
    notebook.wait(DRAWN_AGAIN, before)


def test_range_and_smoothing_move_while_the_kernel_stands_still(notebook: NotebookPage) -> None:
    page = notebook.page
    note = page.locator(".iw-note")
    with frozen(notebook):
        page.get_by_label("percentile", exact=True).focus()
        for _ in range(6):
            _press(notebook, "ArrowDown")
        notebook.wait("document.querySelector('.iw-note').textContent.startsWith('shown up to percentile 96 (')")
        assert "4.0% beyond; smoothed by 2.2 px" in (note.text_content() or "")
        page.get_by_label("smoothing").focus()
        for _ in range(6):
            _press(notebook, "ArrowRight")
        notebook.wait("document.querySelector('.iw-note').textContent.endsWith('smoothed by 5.6 px')")  # 2.5 % of 224
        for _ in range(6):
            _press(notebook, "ArrowLeft")
    notebook.wait_for_python("picture.look == controls.look == Look(96, None, 0.01, 'grey', True)")


def test_a_value_takes_the_place_of_the_percentile_and_the_usual_look_comes_back(notebook: NotebookPage) -> None:
    page = notebook.page
    page.get_by_label("up to", exact=True).select_option("value")
    notebook.wait_for_python("picture.look.limit == 2.5")
    page.get_by_label("value", exact=True).fill("0.5")
    notebook.wait_for_python("picture.look.limit == 0.5")
    notebook.wait("document.querySelector('.iw-note').textContent.startsWith('shown up to 0.5, ')")
    page.get_by_label("value", exact=True).fill("0")
    assert (page.locator(".iw-note").text_content() or "").startswith("shown up to 0.5, ")
    page.get_by_label("photo in grey", exact=True).uncheck()
    page.get_by_label("opacity by strength", exact=True).uncheck()
    notebook.wait_for_python("picture.look == Look(limit=0.5, smoothing=0.01)")
    page.get_by_role("button", name="usual").click()
    notebook.wait_for_python("picture.look == controls.usual")
    assert page.get_by_role("button", name="usual").is_disabled()


def test_the_value_under_the_cursor_is_the_raw_one_whatever_is_drawn(notebook: NotebookPage) -> None:
    canvas = notebook.page.locator(CANVAS)
    canvas.focus()
    canvas.press("ArrowDown")  # the middle: row 112, column 112
    for _ in range(56):
        canvas.press("ArrowRight")
    notebook.wait("document.querySelector('.iw-caption').textContent === 'value 0.123 at row 112, column 168'")
