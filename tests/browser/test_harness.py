"""The harness itself: what it shows is real, and what it should catch, it catches."""

from __future__ import annotations

import pytest

from tests.browser.harness import Lab, Voila

SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(3, 0, 10)
slider
"""
PAINTER = '''
import anywidget, traitlets
class Painter(anywidget.AnyWidget):
    _esm = """
    export default { render({ model, el }) {
        const canvas = el.appendChild(document.createElement("canvas"));
        canvas.className = "painter";
        canvas.width = canvas.height = 8;
        const draw = () => {
            const context = canvas.getContext("2d");
            context.fillStyle = model.get("colour");
            context.fillRect(0, 0, 8, 4);
        };
        model.on("change:colour", draw);
        draw();
    } };
    """
    colour = traitlets.Unicode("rgb(200, 30, 40)").tag(sync=True)
painter = Painter()
painter
'''
CANVAS = "canvas.painter"
RED, GREEN, CLEAR = (200, 30, 40, 255), (10, 150, 20, 255), (0, 0, 0, 0)


def test_a_slider_moved_by_the_keyboard_moves_its_trait_in_python(lab: Lab) -> None:
    notebook = lab.open([SLIDER])
    notebook.run_all()
    handle = notebook.page.locator(".noUi-handle")
    handle.press("ArrowRight")
    handle.press("ArrowRight")
    notebook.wait("document.querySelector('.widget-readout').textContent === '5'")
    notebook.wait_for_python("slider.value == 5")
    assert notebook.execute("slider.value") == "5"
    assert notebook.execute("print('a'); print('b')") == "a\nb"


def test_a_painted_canvas_can_be_read_and_survives_a_reload(lab: Lab) -> None:
    notebook = lab.open([PAINTER], theme="dark")
    notebook.run_all()
    notebook.wait_for_pixel(CANVAS, (1, 1), RED)
    assert notebook.pixel(CANVAS, 1, 6) == CLEAR
    notebook.execute("painter.colour = 'rgb(10, 150, 20)'")
    notebook.wait_for_pixel(CANVAS, (1, 1), GREEN)

    notebook.reload()
    notebook.wait_for_pixel(CANVAS, (1, 1), GREEN)
    pixels = notebook.pixels(CANVAS)
    assert pixels.shape == (8, 8, 4)
    assert (pixels[:4] == GREEN).all()
    assert (pixels[4:] == CLEAR).all()
    assert notebook.page.evaluate("document.body.dataset.jpThemeLight") == "false"
    assert notebook.screenshot("harness").stat().st_size > 0


def test_voila_shows_the_same_widget(voila: Voila) -> None:
    page = voila.open([PAINTER])
    page.wait_for_pixel(CANVAS, (1, 1), RED)


def test_a_cell_that_raises_fails_with_its_traceback(lab: Lab) -> None:
    notebook = lab.open(["1 / 0"])
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        notebook.run_all()
    with pytest.raises(AssertionError, match="NameError"):
        notebook.execute("nowhere")


def test_errors_of_the_browser_are_caught(lab: Lab) -> None:
    notebook = lab.open([])
    notebook.page.evaluate("console.error('said'); setTimeout(() => { throw new Error('thrown'); })")
    notebook.wait("new Promise(done => setTimeout(() => done(true)))")
    errors = lab.close()
    assert [text for text in ("said", "thrown") if not any(text in error for error in errors)] == []
