"""`Picture` in JupyterLab: `render_pixels`' pixels, no kernel to scrub, and it survives what pages go through."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.browser.frozen import frozen
from tests.browser.harness import Lab, NotebookPage, Voila

SETUP = """
import numpy as np, ipywidgets
import matplotlib
from IPython.display import display
from interp_widgets.render.look import Look
from interp_widgets.widgets.kit.picture import Picture
random = np.random.default_rng(0)
table = (matplotlib.colormaps["viridis"](np.arange(256))[:, :3] * 255 + 0.5).astype(np.uint8).tobytes()
picture = Picture(size=200, table=table, colormap="viridis", label="a map", alt="a map of nothing", units="score")
picture.set_base(random.integers(0, 256, (72, 96, 3), dtype=np.uint8))
picture.put_many([(0, column, random.normal(size=(5, 7))) for column in range(8)])
asked = []
picture.on_need(lambda row, column: asked.append((row, column)))
"""
CANVAS = ".iw-stage canvas"
DRAWN = "([index, key]) => document.querySelectorAll('.iw-stage canvas')[index]?.dataset.shown === key"
LOOK_AT = """
with picture.hold_sync():  # in one message: a browser that hears of the row first asks for a frame between
    picture.row, picture.column = {}, {}
"""
ROUNDING = (
    1  # both sides compute in doubles in the same order; one step is left for a browser that stores colours its way
)


def _expected(notebook: NotebookPage) -> NDArray[np.uint8]:
    """What Python says is shown."""
    code = (
        "import base64; pixels = picture.as_array(); print(*pixels.shape, base64.b64encode(pixels.tobytes()).decode())"
    )
    height, width, channels, text = notebook.execute(code).split()
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(int(height), int(width), int(channels))


def _agrees(notebook: NotebookPage, index: int = 0) -> None:
    """The canvas shows what Python computes, to `ROUNDING`."""
    shown, expected = notebook.pixels(CANVAS, index), _expected(notebook)
    assert shown.shape[:2] == expected.shape[:2]
    assert (shown[..., 3] == 255).all()
    assert np.abs(shown[..., :3].astype(int) - expected).max() <= ROUNDING


def _draws(notebook: NotebookPage) -> int:
    return int(notebook.page.locator(CANVAS).first.get_attribute("data-draws") or 0)


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP + "picture"])
    opened.run_all()
    opened.wait(DRAWN, [0, "0,0"])
    return opened


def test_the_pixels_are_those_that_python_computes(notebook: NotebookPage) -> None:
    for change in (
        "picture.column = 3",
        "picture.smooth = False",
        "picture.smooth, picture.opacity = True, 0.25",
        "picture.signed = True",
        "picture.look = Look(limit=0.8)",
        "picture.look = Look(percentile=90, smoothing=0.2, photo='grey', by_strength=True)",
        "picture.signed = False",
        "picture.put(0, 3, random.normal(size=(72, 96)), exact=True)",
        "picture.look = Look(smoothing=0.01, photo='grey', by_strength=True)",
        "picture.look, picture.opacity = Look(percentile=99), 0.5",
        "picture.view = 'map'",
        "picture.view, picture.table = 'overlay', picture.table[::-1]",
        "picture.size = 90",
        "picture.set_base(random.integers(0, 256, (8, 12, 3), dtype=np.uint8))",
        "picture.view = 'base'",
    ):
        before = _draws(notebook)
        notebook.execute(change)
        notebook.wait("draws => Number(document.querySelector('.iw-stage canvas').dataset.draws) > draws", before)
        notebook.wait("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
        _agrees(notebook)


def test_a_linked_slider_scrubs_while_the_kernel_stands_still(lab: Lab) -> None:
    link = "slider = ipywidgets.IntSlider(max=7)\nlink = ipywidgets.jslink((slider, 'value'), (picture, 'column'))\n"
    notebook = lab.open([SETUP + link + "display(picture, slider)"])
    notebook.run_all()
    notebook.wait(DRAWN, [0, "0,0"])
    handle = notebook.page.locator(".noUi-handle")
    handle.focus()
    before = 0
    with frozen(notebook):
        for column in (1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1):
            handle.press("ArrowRight" if column > before else "ArrowLeft")
            notebook.wait(DRAWN, [0, f"0,{column}"])
            before = column
    notebook.wait_for_python("picture.column == 1")
    _agrees(notebook)


def test_a_missing_frame_is_asked_for_once_and_the_old_one_stays_dimmed_until_it_comes(lab: Lab) -> None:
    notebook = lab.open([SETUP + "display(picture, picture)"])
    notebook.run_all()
    for view in (0, 1):
        notebook.wait(DRAWN, [view, "0,0"])
    notebook.execute("picture.row = 4")
    notebook.wait("document.querySelectorAll('.iw-stale').length === 2")
    notebook.wait("getComputedStyle(document.querySelector('.iw-busy')).opacity === '1'")
    assert notebook.page.locator(CANVAS).first.get_attribute("data-shown") == "0,0"
    notebook.wait_for_python("asked == [(4, 0)]")
    notebook.execute("picture.put(4, 0, random.normal(size=(14, 14)))")
    for view in (0, 1):
        notebook.wait(DRAWN, [view, "4,0"])
        _agrees(notebook, view)
    assert notebook.page.locator(".iw-stale").count() == 0
    assert notebook.execute("asked") == "[(4, 0)]"


def test_added_frames_come_alone_and_a_reload_brings_them_all(lab: Lab) -> None:
    notebook = lab.open(
        [SETUP + "picture.put_many([(1, c, random.normal(size=(100, 100))) for c in range(50)])\npicture"]
    )
    received: list[int] = []

    def listen(socket):  # noqa: ANN001, ANN202 - Playwright's
        socket.on("framereceived", lambda payload: received.append(len(payload)))

    notebook.page.on("websocket", listen)
    notebook.reload()
    notebook.run_all()
    notebook.wait(DRAWN, [0, "0,0"])
    notebook.wait_for_python("picture._greeted")
    before = -1
    while sum(received) != before:  # the answer to the greeting holds all frames too, and may still be under way
        before = sum(received)
        notebook.page.wait_for_timeout(500)
    assert before > 500_000
    received.clear()
    notebook.execute("picture.put(2, 5, random.normal(size=(7, 7)))\n" + LOOK_AT.format(2, 5))
    notebook.wait(DRAWN, [0, "2,5"])
    assert sum(received) < 20_000, "all frames were sent again"
    _agrees(notebook)

    notebook.reload()
    notebook.wait(DRAWN, [0, "2,5"])
    _agrees(notebook)
    notebook.execute(LOOK_AT.format(1, 49))
    notebook.wait(DRAWN, [0, "1,49"])
    _agrees(notebook)
    assert notebook.execute("asked") == "[]"


def test_a_browser_that_missed_a_message_catches_up(notebook: NotebookPage) -> None:
    notebook.wait_for_python("picture._greeted")
    notebook.execute("picture.send, keep = (lambda *_, **__: None), picture.send; picture.put(3, 0, [[1.0, 2.0]])")
    notebook.execute("picture.send = keep; picture.put(3, 1, [[2.0, 1.0]]); picture.row = 3")
    notebook.wait(DRAWN, [0, "3,0"])
    _agrees(notebook)


def test_dropped_and_cleared_frames_are_gone_in_the_browser_too(notebook: NotebookPage) -> None:
    notebook.wait_for_python("picture._greeted")
    notebook.execute("picture.clear(rows=[0]); picture.put(1, 0, [[0.0, 1.0]])")
    notebook.wait_for_python("asked == [(0, 0)]")
    assert notebook.page.locator(".iw-stale").count() == 1
    notebook.execute("asked.clear(); picture.clear()")
    notebook.wait(DRAWN, [0, ""])
    _agrees(notebook)
    assert notebook.page.locator(".iw-stale").count() == 0


def test_the_value_under_the_mouse_and_under_the_keyboard_is_told(notebook: NotebookPage) -> None:
    canvas, caption = notebook.page.locator(CANVAS), notebook.page.locator(".iw-caption")
    notebook.execute("picture.put(0, 0, [[0.0, 0.25], [0.5, 1.0]])")
    assert caption.text_content() == "a map"
    box = canvas.bounding_box()
    assert box is not None
    canvas.hover(position={"x": box["width"] * 0.75, "y": box["height"] * 0.25})
    notebook.wait("document.querySelector('.iw-caption').textContent === 'value 0.251 at row 0, column 1'")
    notebook.wait_for_python("abs(picture.cursor[0] - 0.75) < 0.02 and abs(picture.cursor[1] - 0.25) < 0.02")
    notebook.page.mouse.move(0, 0)
    notebook.wait("document.querySelector('.iw-caption').textContent === 'a map'")
    canvas.focus()
    canvas.press("ArrowDown")
    canvas.press("ArrowLeft")
    notebook.wait("document.querySelector('.iw-caption').textContent === 'value 0.502 at row 1, column 0'")
    assert notebook.page.evaluate("document.activeElement.matches('.iw-stage canvas')")
    canvas.press("Escape")
    notebook.wait("document.querySelector('.iw-cross').hidden")
    canvas.press("Tab")
    assert not notebook.page.evaluate("document.activeElement.matches('.iw-stage canvas')")


def test_the_picture_and_its_colour_bar_have_text_alternatives(notebook: NotebookPage) -> None:
    assert notebook.page.get_by_role("img", name="a map of nothing").count() == 1
    notebook.execute("picture.put(0, 0, [[-0.5, 2.0]])")
    notebook.wait("document.querySelector('.iw-scale span').textContent === '\u22120.5'")
    assert notebook.page.get_by_role("img", name="colour scale viridis from \u22120.5 to 2 score").count() == 1
    assert notebook.page.locator(".iw-scale span").all_text_contents() == ["\u22120.5", "0.75 score", "2"]
    notebook.execute("picture.label = '<img src=x onerror=alert(1)>'")
    notebook.wait("document.querySelector('.iw-caption').textContent.startsWith('<img')")
    assert notebook.page.locator(".iw-caption img").count() == 0


def test_two_pictures_share_a_crosshair(lab: Lab) -> None:
    other = (
        "other = Picture(size=100, label='small', base=bytes(300), base_size=(10, 10))\nother.put(0, 0, [[1.0, 2.0]])\n"
    )
    link = "link = ipywidgets.jslink((picture, 'cursor'), (other, 'cursor'))\ndisplay(picture, other)"
    notebook = lab.open([SETUP + other + link])
    notebook.run_all()
    notebook.wait(DRAWN, [1, "0,0"])
    notebook.page.locator(CANVAS).first.hover()
    first, second = notebook.page.locator(".iw-caption").all()
    notebook.wait("[...document.querySelectorAll('.iw-caption')].every(each => each.textContent.includes('row'))")
    assert first.inner_text().startswith("value")
    assert second.inner_text() == "2 small, row 0, column 1"  # a small one keeps its name in sight


def test_voila_shows_the_picture(voila: Voila) -> None:
    page = voila.open([SETUP + "picture"])
    page.wait(DRAWN, [0, "0,0"])
    assert page.pixels(CANVAS).shape == (216, 288, 4)
