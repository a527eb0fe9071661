"""The Explorer's screen at several widths: its columns, that all fits, and a picture looked at closely.

The screenshots, ``tests/browser/screenshots/screen-*.png``, are there to be looked at.
"""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.harness import STRIP_FITS, Lab, NotebookPage, Theme

CELL = """import interp_widgets as iw
explorer = iw.explore('scenes')
explorer"""
ROOM = """() => {
    const explorer = document.querySelector('.iw-explorer');
    const screen = getComputedStyle(explorer.querySelector('.iw-screen'));
    const edges = explorer.getBoundingClientRect();
    const lost = [...explorer.querySelectorAll('canvas, button, select, input, [role=option], .iw-caption, .iw-note')]
        .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.closest('.iw-scroll, .iw-thumbs'))
        .filter((each) => {
            const box = each.getBoundingClientRect();
            return box.width && (box.left < edges.left - 1 || box.right > edges.right + 1);
        })
        .map((each) => each.outerHTML.slice(0, 90));
    const strip = explorer.querySelector('.iw-strip');
    return {
        width: edges.width,
        height: edges.height,
        columns: screen.gridTemplateColumns.split(' ').length,
        lost,
        spare: strip.clientWidth - strip.querySelector('canvas').clientWidth,
        map: explorer.querySelector('.iw-stage').clientWidth,
    };
}"""
CANVAS = ".iw-explorer .iw-stage canvas >> nth=0"
LARGE = "document.querySelector('dialog.iw-large[open]')"


def _columns(width: float) -> int:
    return 1 + (width >= 700) + (width >= 1100)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_screen_fits_every_width(lab: Lab, theme: Theme) -> None:
    notebook = lab.open([CELL], theme=theme)
    notebook.run_all()
    notebook.wait_for_python("explorer.wait(1)")
    notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.press("Control+b")  # JupyterLab's sidebar
    seen = set()
    for width in (700, 1000, 1280, 1600):
        notebook.page.set_viewport_size({"width": width, "height": 900})
        notebook.wait(STRIP_FITS)
        notebook.screenshot(f"screen-{width}-{theme}")
        room = notebook.page.evaluate(ROOM)
        assert room["lost"] == [], (width, room)
        assert room["columns"] == _columns(room["width"]), (width, room)
        assert room["map"] >= 240, (width, room)
        seen.add(room["columns"])
    assert seen == {1, 2, 3}


def test_all_of_it_is_on_one_screen_beside_the_sidebar(lab: Lab) -> None:
    notebook = lab.open([CELL], viewport=(1280, 800))
    notebook.run_all()
    notebook.wait_for_python("explorer.wait(1)")
    notebook.wait(STRIP_FITS)
    room = notebook.page.evaluate(ROOM)
    window = notebook.page.evaluate("document.querySelector('.jp-NotebookPanel-notebook').clientHeight")
    assert room["columns"] == 2
    assert room["height"] <= window, room


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([CELL])
    opened.run_all()
    opened.wait_for_python("explorer.wait(1)")
    return opened


def test_a_click_shows_the_picture_alone_and_escape_brings_it_back(notebook: NotebookPage) -> None:
    page = notebook.page
    small = page.locator(CANVAS).bounding_box()
    for way in ("mouse", "keyboard"):
        if way == "mouse":
            page.locator(CANVAS).click()
        else:
            page.locator(CANVAS).press("Enter")
        notebook.wait(f"{LARGE}?.querySelector('canvas') === document.activeElement")
        notebook.screenshot("screen-large")
        large = page.locator(".iw-large[open] .iw-stage canvas").bounding_box()
        assert small is not None
        assert large is not None
        assert large["width"] > 1.5 * small["width"]
        assert large["y"] >= 0
        assert large["y"] + large["height"] < 800
        page.keyboard.press("Escape")
        notebook.wait(f"!{LARGE}")
        assert page.locator(CANVAS).bounding_box() == small
        assert page.evaluate("document.activeElement.matches('.iw-stage canvas')")


def test_alone_on_the_screen_the_buttons_are_reached_by_tab_and_the_focus_comes_back(notebook: NotebookPage) -> None:
    page = notebook.page
    focused = "() => document.activeElement.getAttribute('aria-label') ?? ''"
    page.locator(CANVAS).press("Enter")
    notebook.wait(LARGE)
    seen = []
    for _ in range(3):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(focused))
    assert seen == ["zoom out", "zoom in", "back into the page"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # the focus is on a button, whose key this is then
    notebook.wait("document.querySelector('.iw-zoomed')")
    page.keyboard.press("Escape")
    notebook.wait(f"!{LARGE} && document.activeElement.matches('.iw-stage canvas')")
    page.locator(CANVAS).press("Enter")
    notebook.wait(LARGE)
    page.get_by_role("button", name="back into the page").press("Enter")
    notebook.wait(f"!{LARGE} && document.activeElement.matches('.iw-stage canvas')")
    page.keyboard.press("Tab")
    assert not page.evaluate("Boolean(document.activeElement.closest('.iw-tools'))")  # in the page Tab goes past them
    page.locator(".iw-explorer .iw-stage >> nth=0").hover()
    page.get_by_role("button", name="alone on the screen").first.click()
    notebook.wait(LARGE)
    page.keyboard.press("Escape")
    notebook.wait(f"!{LARGE}")
    assert page.evaluate(focused) == "alone on the screen"


METHODS = {"EigenCAM": "", "GradCAM": "", "KernelSHAP": "samples=16, segments=9", "SmoothGrad": "samples=4"}
PLACES = """() => ['.iw-stage', '.iw-strip', '.iw-panels', '.iw-classes', '.iw-grid'].map((part) => {
    const box = document.querySelector(`.iw-explorer ${part}`).getBoundingClientRect();
    return [part, box.left, box.top, box.width, box.height].join(' ');
})"""


def test_another_method_moves_nothing_however_many_parameters_it_has(notebook: NotebookPage) -> None:
    notebook.page.keyboard.press("Escape")
    notebook.execute("explorer.session.tolerance = 0")
    for width in (760, 1280, 1600):
        notebook.page.set_viewport_size({"width": width, "height": 800})
        notebook.wait(STRIP_FITS)
        places = {}
        for name, few in METHODS.items():
            notebook.execute(f"explorer.session.explainer = iw.{name}({few}); explorer.wait()")
            notebook.wait("name => document.querySelector('[aria-label=method]').value === name", name)
            places[name] = notebook.page.evaluate(PLACES)
        assert len({tuple(each) for each in places.values()}) == 1, (width, places)


def test_the_field_for_a_path_is_there_at_every_width(notebook: NotebookPage) -> None:
    notebook.page.keyboard.press("Control+b")
    for width in (480, 760, 1000, 1280):
        notebook.page.set_viewport_size({"width": width, "height": 800})
        notebook.wait(STRIP_FITS)
        field = notebook.page.get_by_placeholder("path, then Enter")
        box = field.bounding_box()
        assert box is not None
        assert box["width"] >= 80, width
        assert notebook.page.evaluate(ROOM)["lost"] == [], width


def test_beside_the_sidebar_of_a_narrow_window_the_head_is_not_cut_off(notebook: NotebookPage) -> None:
    notebook.page.set_viewport_size({"width": 700, "height": 900})
    notebook.wait(STRIP_FITS)
    assert notebook.page.evaluate(ROOM)["width"] < 360
    cut = """() => {
        const head = document.querySelector('.iw-inputs').getBoundingClientRect();
        return [...document.querySelectorAll('.iw-inputs :is(select, button, input)')]
            .filter((each) => each.checkVisibility() && each.getBoundingClientRect().right > head.right + 1)
            .map((each) => each.outerHTML.slice(0, 90));
    }"""
    assert notebook.page.evaluate(cut) == []


def test_in_a_high_window_the_room_beyond_the_map_is_the_panels(notebook: NotebookPage) -> None:
    heights = """() => {
        const height = (name) => document.querySelector(name).getBoundingClientRect().height;
        const end = (name) => [...document.querySelectorAll(name)].at(-1).getBoundingClientRect().bottom;
        return { panel: height('.iw-panels'), gap: end('.iw-pager') - end('.iw-look') };
    }"""
    panels = []
    for height in (800, 1150):
        notebook.page.set_viewport_size({"width": 1280, "height": height})
        notebook.wait(STRIP_FITS)
        found = notebook.page.evaluate(heights)
        assert notebook.page.evaluate(ROOM)["columns"] == 2
        assert abs(found["gap"]) < 60, (height, found)  # both columns end about together
        panels.append(found["panel"])
    assert panels[1] > panels[0] + 100


def test_tiles_take_the_room_that_a_large_screen_has(notebook: NotebookPage) -> None:
    notebook.page.keyboard.press("Control+b")
    heights = {}
    for size in ((1280, 800), (2000, 1100)):
        notebook.page.set_viewport_size({"width": size[0], "height": size[1]})
        notebook.wait(STRIP_FITS)
        notebook.wait("""() => {
            const grid = document.querySelector('.iw-explorer .iw-grid');
            const kept = document.querySelector('.iw-explorer .iw-kept');
            return grid.clientHeight <= kept.clientHeight && grid.clientHeight > 0.7 * kept.clientHeight;
        }""")
        heights[size] = notebook.page.evaluate("document.querySelector('.iw-explorer .iw-grid').clientHeight")
    assert heights[2000, 1100] > 1.3 * heights[1280, 800]


def test_zooming_keeps_the_place_under_the_mouse_and_what_is_read_there(notebook: NotebookPage) -> None:
    page = notebook.page
    page.locator(CANVAS).press("Enter")
    notebook.wait(LARGE)
    stage = page.locator(".iw-large .iw-stage").bounding_box()
    assert stage is not None
    at = (stage["x"] + 0.3 * stage["width"], stage["y"] + 0.6 * stage["height"])
    page.mouse.move(*at)
    caption = page.locator(".iw-large .iw-caption")
    notebook.wait("document.querySelector('.iw-large .iw-caption').textContent.startsWith('value ')")
    said = caption.text_content()
    page.mouse.wheel(0, -500)
    notebook.wait("document.querySelector('.iw-zoomed canvas')?.style.transform.includes('scale')")
    page.mouse.move(at[0] + 1, at[1])
    page.mouse.move(*at)
    notebook.wait("said => document.querySelector('.iw-large .iw-caption').textContent === said", said)
    page.mouse.down()
    page.mouse.move(at[0] + 300, at[1] + 300, steps=4)
    page.mouse.up()
    assert page.evaluate(f"Boolean({LARGE})")  # a drag is no click
    page.locator(".iw-large .iw-stage canvas").press("0")
    notebook.wait("!document.querySelector('.iw-zoomed')")


def test_an_image_is_dropped_and_pasted_on_the_map(notebook: NotebookPage) -> None:
    bring = """([canvas, kind, data]) => {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], `<i>${kind}</i>.png`, { type: 'image/png' }));
        const options = { bubbles: true, cancelable: true };
        canvas.focus();
        if (kind === 'paste') canvas.dispatchEvent(new ClipboardEvent('paste', { ...options, clipboardData: files }));
        else for (const type of ['dragover', 'drop'])
            canvas.dispatchEvent(new DragEvent(type, { ...options, dataTransfer: files }));
    }"""
    for count, kind in enumerate(("drop", "paste"), start=1):
        buffer = io.BytesIO()  # another picture each time: the same one again would be the one that is there
        noise = np.random.default_rng(count).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(buffer, format="PNG")
        file = base64.b64encode(buffer.getvalue()).decode()
        canvas = notebook.page.locator(CANVAS).element_handle()
        notebook.page.evaluate(bring, [canvas, kind, file])
        notebook.wait_for_python(f"explorer.session.name_of(explorer.session.example) == '<i>{kind}</i>.png'")
        notebook.wait_for_python(f"len(explorer.session.inputs) == iw.zoo.load('scenes').examples.__len__() + {count}")
    assert notebook.page.locator(".iw-thumbs [aria-selected=true]").get_attribute("title") == "<i>paste</i>.png"


def test_thumbnails_are_pictures_that_can_be_seen(notebook: NotebookPage) -> None:
    notebook.wait("document.querySelector('.iw-thumbs img')?.checkVisibility()")
    assert notebook.page.evaluate("document.querySelector('.iw-thumbs img').clientWidth") == 40


def test_a_drag_that_ends_outside_the_picture_has_ended(notebook: NotebookPage) -> None:
    page = notebook.page
    box = page.locator(CANVAS).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 50, box["y"] - 60, steps=3)
    page.mouse.up()
    page.locator(CANVAS).press("+")
    before = page.locator(CANVAS).get_attribute("style")
    page.mouse.move(box["x"] + 60, box["y"] + 60, steps=3)
    page.mouse.move(box["x"] + 160, box["y"] + 160, steps=3)
    assert page.locator(CANVAS).get_attribute("style") == before
    assert not page.evaluate(f"Boolean({LARGE})")
    notebook.execute("explorer.session.example = 1; explorer.wait()")
    notebook.wait("!document.querySelector('.iw-zoomed')")  # another picture is seen whole


@pytest.mark.parametrize("shape", ["900, 4", "4, 900"])
def test_very_tall_and_very_wide_inputs_stay_on_the_screen(lab: Lab, shape: str) -> None:
    model = "torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())"
    made = f"explorer = iw.explore({model}, torch.rand(1, 1, {shape}))\nexplorer"
    notebook = lab.open([f"import torch\nimport interp_widgets as iw\n{made}"])
    notebook.run_all()
    notebook.wait("document.querySelectorAll('.iw-explorer .iw-stage canvas[data-shown]').length === 2")
    room = notebook.page.evaluate(ROOM)
    assert room["lost"] == []
    assert room["height"] < 1200
    assert notebook.page.evaluate("document.querySelector('.iw-explorer .iw-stage').clientHeight") >= 32


def test_tabs_are_walked_with_the_arrow_keys(notebook: NotebookPage) -> None:
    page = notebook.page
    page.get_by_role("tab", name="Layers").press("ArrowRight")
    assert page.get_by_role("tab", name="Activations").get_attribute("aria-selected") == "true"
    notebook.wait("document.querySelector('.iw-panels .iw-bar')")
    assert not page.locator(".iw-panels .iw-tree").is_visible()
    notebook.screenshot("screen-activations")
    page.get_by_role("tab", name="Summary").click()
    notebook.wait("document.querySelector('.iw-panels .iw-table .iw-body [data-index]')")
    page.locator(".iw-panels").scroll_into_view_if_needed()
    notebook.screenshot("screen-summary")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # round to the first
    assert page.locator(".iw-panels .iw-tree").is_visible()


def test_the_panel_gets_the_width_of_the_page_and_its_tabs_are_read_whole(notebook: NotebookPage) -> None:
    cut = "() => [...document.querySelectorAll('.iw-tab')].filter((tab) => tab.scrollWidth > tab.clientWidth).length"
    width = "() => document.querySelector('.iw-panels').getBoundingClientRect().width"
    whole = "() => document.querySelector('.iw-screen').getBoundingClientRect().width"
    for place in (1280, 700):
        notebook.page.set_viewport_size({"width": place, "height": 800})
        notebook.wait(STRIP_FITS)
        assert notebook.page.evaluate(cut) == 0, place
    notebook.page.set_viewport_size({"width": 1280, "height": 800})
    notebook.wait(STRIP_FITS)
    small = notebook.page.evaluate(width)
    assert small < 0.8 * notebook.page.evaluate(whole)
    notebook.page.focus(".iw-widen")
    notebook.page.keyboard.press("Enter")
    notebook.wait(f"() => ({width})() > ({whole})() - 2")
    assert notebook.page.get_attribute(".iw-widen", "aria-pressed") == "true"
    notebook.page.click(".iw-widen")
    notebook.wait(f"(small) => ({width})() === small", small)
