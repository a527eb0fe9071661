"""The Explorer in JupyterLab and Voila: touched with mouse and keyboard, its pixels compared with Python's.

The browser's arithmetic is Python's (`render/blend.py`), so pixels must agree; 1 of 255 is allowed for rounding.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from playwright.sync_api import Locator

from tests.browser.harness import STRIP_FITS, BrowserPage, Lab, NotebookPage, Theme, Voila

TOLERANCE = 1
SETUP = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
explorer = iw.explore("scenes")
from types import SimpleNamespace
panel, session = SimpleNamespace(**explorer.controls), explorer.session
"""
SHOW = SETUP + "explorer"
STAGES = ".iw-explorer .iw-stage canvas"
AS_ARRAY = """
import base64
_array = panel.{picture}.as_array()
print(_array.shape[0], _array.shape[1], base64.b64encode(_array.tobytes()).decode())
"""
# The frame on the screen is the one the kernel means, and nothing is on its way.
SETTLED = """([at, key]) => {
    const canvas = document.querySelectorAll('.iw-explorer .iw-stage canvas')[at];
    return canvas && canvas.dataset.shown === key && !canvas.closest('.iw-stale, .iw-working');
}"""


def _expected(notebook: NotebookPage, picture: str) -> np.ndarray:
    height, width, text = notebook.execute(AS_ARRAY.format(picture=picture)).split()
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(int(height), int(width), 3)


def _key(notebook: NotebookPage, picture: str) -> str:
    return notebook.execute(f"print(panel.{picture}.row, panel.{picture}.column, sep=',')")


def _agrees(notebook: NotebookPage, picture: str = "attribution") -> np.ndarray:
    """The picture's pixels on the screen are those that Python computes for the state of the session."""
    notebook.wait_for_python("explorer.wait()")
    at = ("attribution", "channel").index(picture)
    notebook.wait(SETTLED, [at, _key(notebook, picture)])
    expected = _expected(notebook, picture)
    notebook.wait(
        "([at, shape]) => { const c = document.querySelectorAll('.iw-explorer .iw-stage canvas')[at];"
        " return c.height === shape[0] && c.width === shape[1]; }",
        [at, list(expected.shape)],
    )
    shown = _matching(notebook, at, expected)
    assert np.abs(shown[..., :3].astype(int) - expected).max() <= TOLERANCE
    assert (shown[..., 3] == 255).all()
    assert notebook.execute("explorer.error") == "''"
    return shown


def _matching(notebook: BrowserPage, at: int, expected: np.ndarray) -> np.ndarray:
    """The pixels, as soon as they are the expected ones; the last ones seen when they never are."""
    for _ in range(50):
        shown = notebook.pixels(STAGES, at)
        if shown.shape[:2] == expected.shape[:2] and np.abs(shown[..., :3].astype(int) - expected).max() <= TOLERANCE:
            break
        notebook.wait("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
    return shown


def _map_is_fresh(notebook: NotebookPage) -> None:
    """What Python says it shows is the attribution computed anew, from another recording."""
    difference = notebook.execute("""
import copy, numpy as np
with iw.record(copy.deepcopy(session.model), session.tensor_of(session.example)) as _trace:
    _values = session.method(_trace, session.target, session.layer if session.method.at_layer else None).array
_frame = panel.attribution._frames[panel.attribution.row, panel.attribution.column]
print(float(np.abs(_frame.values() - _values).max() / ((_frame.hi - _frame.lo) or 1)))
""")
    assert float(difference) <= 0.52 / 255


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SHOW])
    opened.run_all()
    opened.wait("document.querySelectorAll('.iw-explorer .iw-stage canvas').length === 2")
    opened.wait(STRIP_FITS)
    _agrees(opened)
    return opened


def _strip_box(notebook: NotebookPage) -> dict[str, float]:
    """Where the strip's canvas is on the screen: the canvas that belongs to none of our own widgets."""
    box = notebook.page.evaluate("""() => {
        const canvas = [...document.querySelectorAll('.iw-explorer canvas')].find(each => !each.closest('.iw'));
        canvas.scrollIntoView({ block: 'center' });
        const { x, y, width, height } = canvas.getBoundingClientRect();
        return { x, y, width, height };
    }""")
    assert box["width"] > 0
    return dict(box)


def _click_block(notebook: NotebookPage, path: str, *, stage: bool = False) -> None:
    places = json.loads(
        notebook.execute(
            "import json; print(json.dumps([[b.path, b.stage, b.x + b.width / 2, b.y + b.height / 2]"
            " for b in panel.strip._blocks]))"
        )
    )
    x, y = next((x, y) for name, is_stage, x, y in places if name == path and is_stage is stage)
    box = _strip_box(notebook)
    notebook.page.mouse.click(box["x"] + x, box["y"] + y)


def _first_block(notebook: NotebookPage) -> str:
    return notebook.execute("print(next(block.path for block in panel.strip._blocks if not block.stage))")


def _strip_pixels(page: BrowserPage) -> np.ndarray:
    index = page.page.evaluate("""() => {
        const all = [...document.querySelectorAll('.iw-explorer canvas')];
        return all.indexOf(all.find(each => !each.closest('.iw')));
    }""")
    return page.pixels(".iw-explorer canvas", index)


def _strip_is_drawn(page: BrowserPage) -> None:
    page.wait("""() => {
        const canvas = [...document.querySelectorAll('.iw-explorer canvas')].find(each => !each.closest('.iw'));
        if (!canvas || !canvas.width) return false;
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let drawn = 0;
        for (let i = 3; i < data.length; i += 4) drawn += data[i] > 0;
        return drawn > 0.15 * data.length / 4;
    }""")


# Clicks, drags, keys


def test_a_click_on_the_strip_chooses_the_layer(notebook: NotebookPage) -> None:
    _strip_is_drawn(notebook)
    blocks = json.loads(
        notebook.execute("import json; print(json.dumps([b.path for b in panel.strip._blocks if not b.stage]))")
    )
    before = _agrees(notebook)
    path = next(each for each in blocks if each.startswith("layer2"))
    _click_block(notebook, path)
    notebook.wait_for_python(f"session.layer == {path!r}")
    after = _agrees(notebook)
    _agrees(notebook, "channel")
    _map_is_fresh(notebook)
    assert (after != before).any()
    notebook.wait("path => document.querySelector('.iw-tree [aria-selected=true]')?.dataset.path === path", path)


def test_a_click_in_the_tree_chooses_the_layer(notebook: NotebookPage) -> None:
    notebook.page.get_by_role("searchbox", name="search layers").fill("layer1.1.conv2")
    notebook.page.locator(".iw-tree [data-path='layer1.1.conv2']").click()
    notebook.wait_for_python("session.layer == 'layer1.1.conv2'")
    _agrees(notebook)
    _agrees(notebook, "channel")
    _map_is_fresh(notebook)
    notebook.wait("document.querySelector('.iw-explorer').textContent.includes('layer1.1.conv2')")


SLIDERS = ("opacity", "contrast", "channel", "depth")  # in the order of the page; the second is hidden at first


def _slider(notebook: NotebookPage, name: str) -> Locator:
    """A slider's range input."""
    handles = notebook.page.locator(".iw-explorer .iw-slider input[type=range]")
    assert handles.count() == len(SLIDERS)
    return handles.nth(SLIDERS.index(name))


def test_the_channel_slider_is_dragged_and_moved_with_the_arrows(notebook: NotebookPage) -> None:
    handle = _slider(notebook, "channel")
    box = handle.bounding_box()
    assert box is not None
    mouse = notebook.page.mouse
    mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    mouse.down()
    for step in range(1, 8):
        mouse.move(box["x"] + 8 + 5 * step, box["y"] + box["height"] / 2)
    mouse.up()
    notebook.wait_for_python("session.channel > 3")
    _agrees(notebook, "channel")
    channel = int(notebook.execute("session.channel"))
    handle.press("ArrowRight")
    handle.press("ArrowRight")
    notebook.wait_for_python(f"session.channel == {channel + 2}")
    _agrees(notebook, "channel")
    handle.press("ArrowLeft")
    notebook.wait_for_python(f"session.channel == {channel + 1}")
    _agrees(notebook, "channel")
    _agrees(notebook)


def test_a_tile_chooses_the_channel(notebook: NotebookPage) -> None:
    notebook.page.locator(".iw-explorer .iw-tile").nth(4).click()
    number = int(notebook.page.locator(".iw-explorer .iw-tile").nth(4).get_attribute("data-number") or -1)
    notebook.wait_for_python(f"session.channel == {number}")
    _agrees(notebook, "channel")


def test_a_class_is_chosen_by_a_click_and_by_typing(notebook: NotebookPage) -> None:
    before = _agrees(notebook)
    row = notebook.page.locator(".iw-classes [role=option]").nth(1)
    index = int(row.get_attribute("data-index") or -1)
    row.click()
    notebook.wait_for_python(f"session.target == {index}")
    after = _agrees(notebook)
    _map_is_fresh(notebook)
    assert (before != after).any()
    notebook.wait_for_python("not session.follow")

    name = notebook.execute("print(session.class_names[-1])")
    search = notebook.page.get_by_label("search classes")
    search.click()
    notebook.page.keyboard.type(name)
    notebook.page.keyboard.press("Enter")
    notebook.wait_for_python("session.target == len(session.class_names) - 1")
    _agrees(notebook)
    _map_is_fresh(notebook)
    notebook.page.get_by_label("Follow the prediction").check()
    notebook.wait_for_python("session.follow and session.target == session.trace.prediction")
    _agrees(notebook)


@pytest.mark.parametrize("name", ["LayerCAM", "EigenCAM", "InputXGradient", "Gradient"])
def test_another_method_is_chosen(notebook: NotebookPage, name: str) -> None:
    notebook.page.locator(".iw-explorer select[aria-label='method']").select_option(index=_method(notebook, name))
    notebook.wait_for_python(f"session.explainer == {name!r}")
    _agrees(notebook)
    _map_is_fresh(notebook)


def _method(notebook: NotebookPage, name: str) -> int:
    return int(notebook.execute(f"list(iw.EXPLAINERS).index({name!r})"))


def test_a_difference_of_classes_set_in_python_is_shown(notebook: NotebookPage) -> None:
    notebook.execute("from interp_widgets.trace import Contrast; session.target = Contrast(0, 1)")
    _agrees(notebook)
    _map_is_fresh(notebook)
    notebook.page.locator(".iw-classes [role=option]").nth(1).click()
    notebook.wait_for_python("isinstance(session.target, int)")
    _agrees(notebook)
    notebook.execute("session.layer = 'fc'")  # no maps: the map stays at the default layer, the channels are bars
    notebook.wait("document.querySelectorAll('.iw-explorer .iw-bar').length > 0")
    _agrees(notebook)


def test_opacity_and_colours_are_changed_in_the_browser(notebook: NotebookPage) -> None:
    handle = _slider(notebook, "opacity")
    handle.press("End")
    notebook.wait_for_python("panel.attribution.opacity == 1")
    opaque = _agrees(notebook)
    handle.press("Home")
    notebook.wait_for_python("panel.attribution.opacity == 0")
    _agrees(notebook)
    base = notebook.execute("import numpy as np; print(int(np.abs(panel.attribution.as_array().astype(int)).sum()))")
    assert int(base) > 0
    handle.press("End")
    notebook.wait_for_python("panel.attribution.opacity == 1")
    notebook.page.locator(".iw-explorer select[aria-label='colours']").select_option("inferno")
    notebook.wait_for_python("panel.attribution.colormap == 'inferno'")
    assert (_agrees(notebook) != opaque).any()


def test_another_input_is_chosen(notebook: NotebookPage) -> None:
    before = _agrees(notebook)
    notebook.page.locator(".iw-thumbs [role=option]").nth(2).click()
    notebook.wait_for_python("session.example == 2")
    after = _agrees(notebook)
    _agrees(notebook, "channel")
    _map_is_fresh(notebook)
    assert (before != after).any()


def test_what_python_sets_is_shown(notebook: NotebookPage) -> None:
    notebook.execute("session.layer, session.channel, session.target, session.explainer = 'layer1', 5, 3, 'HiResCAM'")
    _agrees(notebook)
    _agrees(notebook, "channel")
    _map_is_fresh(notebook)
    notebook.wait("document.querySelector('.iw-classes [aria-selected=true]').dataset.index === '3'")
    notebook.wait("document.querySelector('.iw-tree [aria-selected=true]').dataset.path === 'layer1'")


# Without the kernel


def _scrub(notebook: NotebookPage, name: str, picture: int, presses: tuple[str, ...]) -> list[str]:
    """The keys of the frames shown, one for each key pressed."""
    handle, seen = _slider(notebook, name), []
    for key in presses:
        before = notebook.page.evaluate(
            f"document.querySelectorAll('{STAGES}')[{picture}].dataset.shown"  # in the page, no kernel asked
        )
        handle.press(key)
        notebook.wait(
            """([at, before]) => { const c = document.querySelectorAll('.iw-explorer .iw-stage canvas')[at];
            return c.dataset.shown !== before && !c.closest('.iw-stale'); }""",
            [picture, before],
            seconds=20,
        )
        seen.append(str(notebook.page.evaluate(f"document.querySelectorAll('{STAGES}')[{picture}].dataset.shown")))
    return seen


@contextmanager
def _stopped_kernel(notebook: NotebookPage) -> Iterator[None]:
    """The kernel's process does nothing at all: a sleeping cell would not do, ipykernel answers widgets beside it."""
    process = int(notebook.execute("import os; print(os.getpid())"))
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_prefetched_channels_classes_and_layers_are_drawn_while_the_kernel_is_stopped(notebook: NotebookPage) -> None:
    notebook.execute("session.layer, session.channel = 'layer2', 0; explorer.wait()")
    _agrees(notebook)
    _agrees(notebook, "channel")
    notebook.wait_for_python("panel.channel.has(panel.channel.row, 12) and panel.attribution._greeted")
    assert int(notebook.execute("len(panel.attribution._frames)")) >= 5 + 2
    row, before = int(notebook.execute("int(panel.depth.value)")), notebook.execute("print(session.target)")
    with _stopped_kernel(notebook):
        channels = _scrub(notebook, "channel", 1, ("ArrowRight",) * 5)
        assert [key.split(",")[1] for key in channels] == ["1", "2", "3", "4", "5"]
        rows, chosen = notebook.page.locator(".iw-classes [role=option]"), [before]
        for place in (1, 2, 3, 0):
            rows.nth(place).click()
            chosen.append(rows.nth(place).get_attribute("data-index") or "")
            notebook.wait(
                """([at, column]) => { const c = document.querySelectorAll('.iw-explorer .iw-stage canvas')[at];
                return c.dataset.shown.split(',')[1] === column && !c.closest('.iw-stale'); }""",
                [0, chosen[-1]],
                seconds=20,
            )
        assert len(set(chosen)) == 4
        depths = _scrub(notebook, "depth", 0, ("ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowRight"))
        assert [int(key.split(",")[0]) - row for key in depths] == [1, 0, -1, 0]
        draws = "Number(document.querySelector('.iw-explorer .iw-stage canvas').dataset.draws)"
        drawn = notebook.page.evaluate(draws)
        _slider(notebook, "opacity").press("End")
        notebook.wait(f"{draws} > {drawn}")
    notebook.wait_for_python("session.channel == 5 and session.layer == 'layer2' and panel.attribution.opacity == 1")
    _agrees(notebook)
    _agrees(notebook, "channel")
    _map_is_fresh(notebook)


# Shown again


def test_a_reload_shows_pictures_strip_and_controls_again(notebook: NotebookPage) -> None:
    notebook.execute("session.layer, session.channel, session.target = 'layer2', 7, 2; explorer.wait()")
    before = [_agrees(notebook), _agrees(notebook, "channel")]
    _strip_is_drawn(notebook)
    strip = _strip_pixels(notebook)
    notebook.reload()
    notebook.wait("document.querySelectorAll('.iw-explorer .iw-stage canvas').length === 2")
    after = [_agrees(notebook), _agrees(notebook, "channel")]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    _strip_is_drawn(notebook)
    again = _strip_pixels(notebook)
    assert again.shape == strip.shape
    assert np.abs(again.astype(int) - strip).mean() < 2
    _click_block(notebook, _first_block(notebook))
    notebook.wait_for_python("session.layer != 'layer2'")
    _agrees(notebook)


def test_displayed_twice_both_show_and_follow(lab: Lab) -> None:
    notebook = lab.open([SETUP, "explorer", "explorer"])
    notebook.run_all()
    notebook.wait("document.querySelectorAll('.iw-explorer .iw-stage canvas').length === 4")
    notebook.execute("session.layer, session.channel, session.target = 'layer1', 3, 1; explorer.wait()")
    for at, picture in enumerate(("attribution", "channel", "attribution", "channel")):
        notebook.wait(SETTLED, [at, _key(notebook, picture)])
        expected = _expected(notebook, picture)
        shown = _matching(notebook, at, expected)
        assert np.abs(shown[..., :3].astype(int) - expected).max() <= TOLERANCE
    strips = "[...document.querySelectorAll('.iw-explorer canvas')].filter(each => !each.closest('.iw'))"
    notebook.wait(f"""{strips}.length === 2 && {strips}.every(canvas => {{
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return data.some((value, i) => i % 4 === 3 && value > 0);
    }})""")


def test_voila_shows_the_pictures_and_the_strip(voila: Voila) -> None:
    page = voila.open([SHOW])
    page.wait(
        """() => { const all = [...document.querySelectorAll('.iw-explorer .iw-stage canvas')];
        return all.length === 2 && all.every(each => /\\d,\\d/.test(each.dataset.shown)); }""",
        seconds=90,
    )
    _strip_is_drawn(page)
    assert len(np.unique(page.pixels(STAGES, 0).reshape(-1, 4), axis=0)) > 100
    before = page.page.evaluate(f"document.querySelectorAll('{STAGES}')[1].dataset.shown")
    assert not page.page.locator(".iw-still").first.is_visible()  # the widgets are there
    page.page.locator(".iw-explorer .iw-tile").nth(3).click()
    page.wait(
        "before => document.querySelectorAll('.iw-explorer .iw-stage canvas')[1].dataset.shown !== before", before
    )
    page.screenshot("explorer-voila")


def test_a_saved_notebook_without_a_kernel_shows_the_picture(notebook: NotebookPage, lab: Lab, tmp_path: Path) -> None:
    notebook.save()
    path = lab.folder / notebook.path
    saved = nbformat.read(path, as_version=4)
    live, still = (output.data for output in saved.cells[0].outputs)
    assert "image/png" not in live  # one picture alone
    assert 'src="data:image/png;base64,' in still["text/html"]
    done = subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", str(path), "--output-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    page = notebook.page.context.new_page()
    page.route("http*://**", lambda route: route.abort())  # nothing but the file itself
    page.goto(f"file://{tmp_path / path.stem}.html")
    page.wait_for_function("""() => [...document.querySelectorAll('img')].some(each => each.naturalWidth >= 300)""")
    page.close()


# The screen


LAYOUT = """() => {
    const root = document.querySelector('.iw-explorer'), problems = [];
    const outer = root.getBoundingClientRect();
    const name = e => `${e.tagName.toLowerCase()}.${[...e.classList].slice(0, 3).join('.')}`
        + `"${(e.getAttribute('aria-label') ?? e.title ?? e.textContent ?? '').slice(0, 24)}"`;
    const seen = e => e.checkVisibility({ checkOpacity: false, checkVisibilityCSS: true });
    const within = '.iw-scroll, .iw-thumbs, select, .iw-hidden, svg, .iw-slider, .iw-busy, .iw-cross, .iw-tile > div';
    for (const e of root.querySelectorAll('*')) {
        if (!seen(e) || e.closest(within) && !e.matches('.iw-scroll, .iw-thumbs, select, .iw-slider')) continue;
        const box = e.getBoundingClientRect();
        if (!box.width || !box.height) continue;
        if (box.right > outer.right + 1 || box.left < outer.left - 1 || box.bottom > outer.bottom + 1)
            problems.push(`${name(e)} sticks out of the explorer`);
        const parent = e.parentElement.getBoundingClientRect();
        const clips = getComputedStyle(e.parentElement).overflow !== 'visible';
        if (clips && (box.right > parent.right + 1.5 || box.bottom > parent.bottom + 1.5
            || box.left < parent.left - 1.5 || box.top < parent.top - 1.5))
            problems.push(`${name(e)} is clipped by ${name(e.parentElement)}:`
                + ` left ${box.left - parent.left}, top ${box.top - parent.top},`
                + ` right ${parent.right - box.right}, bottom ${parent.bottom - box.bottom}`);
        const wide = e.clientWidth && e.scrollWidth > e.clientWidth + 1 && !e.matches('input, .iw-ellipsis, canvas');
        if (!e.children.length && wide && getComputedStyle(e).overflow !== 'visible')
            problems.push(`${name(e)} text is cut: ${e.scrollWidth} > ${e.clientWidth}`);
    }
    return problems;
}"""
OVERLAPS = """() => {
    const own = '.iw-picture, .iw-classes, .iw-tiles, .iw-tree, .iw-thumbs, .iw-status, select';
    const theirs = 'button:not(.iw *), .iw-slider, input:not(.iw *), .widget-label';
    const all = document.querySelectorAll(`.iw-explorer :is(${own}, ${theirs})`);
    const parts = [...all].filter(e => e.checkVisibility());
    parts.push([...document.querySelectorAll('.iw-explorer canvas')].find(each => !each.closest('.iw')));
    const boxes = parts.map(e => e.getBoundingClientRect()), found = [];
    for (let i = 0; i < parts.length; i++) for (let k = i + 1; k < parts.length; k++) {
        if (parts[i].contains(parts[k]) || parts[k].contains(parts[i])) continue;
        const a = boxes[i], b = boxes[k];
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 1 && y > 1) found.push(`${parts[i].className} / ${parts[k].className}: ${x} x ${y}`);
    }
    return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("layer", ["layer3", "fc"])
def test_it_fits_one_screen_of_1280_by_800(lab: Lab, theme: Theme, layer: str) -> None:
    notebook = lab.open([SHOW], theme=theme)
    notebook.run_all()
    notebook.wait("document.querySelectorAll('.iw-explorer .iw-stage canvas').length === 2")
    notebook.execute(f"session.layer = {layer!r}; explorer.wait()")
    _agrees(notebook)
    _strip_is_drawn(notebook)
    notebook.page.evaluate("document.querySelector('.iw-explorer').scrollIntoView({ block: 'start' })")
    notebook.wait("layer => document.querySelector('.iw-tree [aria-selected=true]')?.dataset.path === layer", layer)
    notebook.wait("document.querySelector('.iw-explorer .iw-status').textContent.length > 20")
    notebook.page.mouse.move(640, 5)
    notebook.screenshot(f"explorer-{theme}-{layer}")
    top, bottom = notebook.page.evaluate("""() => [document.querySelector('.iw-explorer').getBoundingClientRect().top,
        document.querySelector('.iw-explorer').getBoundingClientRect().bottom]""")
    view_top, view_bottom = notebook.page.evaluate("""() => {
        const outer = '.jp-WindowedPanel-outer, .jp-NotebookPanel-notebook';
        const view = document.querySelector('.iw-explorer').closest(outer).getBoundingClientRect();
        return [view.top, view.bottom];
    }""")
    assert top >= view_top - 1
    assert bottom <= view_bottom + 1, f"{bottom - view_bottom:.0f} px too tall for one screen"
    assert bottom - top > 200
    scrolls = notebook.page.evaluate(
        """() => [...document.querySelectorAll('.iw-explorer *')].filter(e => e.scrollWidth > e.clientWidth + 1
            && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && !e.matches('.iw-thumbs'))
            .map(e => e.className)"""
    )
    assert scrolls == []
    assert notebook.page.evaluate(LAYOUT) == []
    assert notebook.page.evaluate(OVERLAPS) == []


def test_the_status_line_and_every_text_can_be_read_in_both_themes(notebook: NotebookPage) -> None:
    contrast = """() => {
        const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const luminance = rgb => { const [r, g, b] = rgb.map(v => linear(v / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const c = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const parse = text => { c.clearRect(0, 0, 1, 1);
            c.fillStyle = text; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
        const bad = [];
        for (const e of document.querySelectorAll('.iw-explorer *')) {
            const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
            if (!own || !e.checkVisibility() || e.matches(':disabled, .iw-busy, option')) continue;
            let under = e, back = [0, 0, 0, 0];
            for (; under && back[3] < 250; under = under.parentElement)
                back = parse(getComputedStyle(under).backgroundColor);
            const a = luminance(parse(getComputedStyle(e).color)), b = luminance(back);
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio >= 4.5) continue;
            bad.push(`${e.className || e.tagName} "${e.textContent.slice(0, 20)}" ${ratio.toFixed(1)}`);
        }
        return [...new Set(bad)];
    }"""
    assert notebook.page.evaluate(contrast) == []
    notebook.set_theme("dark")
    assert notebook.page.evaluate(contrast) == []


# For keyboards and screen readers


NAMED = """() => {
    const problems = [];
    const name = e => e.getAttribute('aria-label') || e.title || e.labels?.[0]?.textContent
        || document.getElementById(e.getAttribute('aria-labelledby'))?.textContent
        || (['BUTTON', 'A'].includes(e.tagName) && e.textContent.trim());
    const controls = 'button, select, input, textarea, [tabindex], [role=slider], [role=listbox], [role=tree]';
    for (const e of document.querySelectorAll(`.iw-explorer :is(${controls})`)) {
        if (!e.checkVisibility() || e.type === 'file') continue;
        if (!name(e)) problems.push(e.outerHTML.slice(0, 160));
    }
    return problems;
}"""


def test_every_control_has_a_name_and_every_picture_a_text_alternative(notebook: NotebookPage) -> None:
    assert notebook.page.evaluate(NAMED) == []
    pictures = notebook.page.locator(".iw-explorer [role=img]")
    assert pictures.count() >= 4  # two pictures, two colour bars
    for place in range(pictures.count()):
        assert len(pictures.nth(place).get_attribute("aria-label") or "") > 10
    alt = notebook.page.locator(STAGES).first.get_attribute("aria-label") or ""
    assert "Grad-CAM" in alt
    assert notebook.execute("print(session.class_names[session.target])") in alt
    strip = notebook.page.evaluate("""() => {
        const canvas = [...document.querySelectorAll('.iw-explorer canvas')].find(each => !each.closest('.iw'));
        return [canvas.getAttribute('role') ?? canvas.parentElement.getAttribute('role'),
            canvas.getAttribute('aria-label') ?? canvas.parentElement.getAttribute('aria-label')];
    }""")
    assert strip[0] in ("img", "group", "application", "presentation")
    unnamed = notebook.page.locator(".iw-explorer canvas:not([role]):not([aria-hidden]):not([aria-label])")
    assert unnamed.count() == 0


def test_tab_reaches_every_control_and_leaves_the_explorer(notebook: NotebookPage) -> None:
    expected = notebook.page.evaluate("""() => {
        const all = [...document.querySelectorAll('.iw-explorer :is(button, select, input, [tabindex="0"])')]
            .filter(e => e.checkVisibility({ visibilityProperty: true }) && !e.disabled)
            .filter(e => e.type !== 'file' && e.tabIndex >= 0);
        all.forEach((e, i) => { e.dataset.stop = i; });
        return all.map(e => e.outerHTML.slice(0, 100));
    }""")
    assert len(expected) >= 12
    notebook.page.locator("[data-stop='0']").focus()
    reached = {0}
    for _ in range(3 * len(expected)):
        notebook.page.keyboard.press("Tab")
        # the strip's canvas gives the key to the kernel, which moves the focus on
        notebook.wait(
            """() => document.activeElement.tagName !== 'CANVAS' || document.activeElement.closest('.iw')
            || (window.__tabs = (window.__tabs ?? 0) + 1) > 300"""
        )
        stop = notebook.page.evaluate("document.activeElement.dataset.stop ?? null")
        if stop is None and not notebook.page.evaluate("Boolean(document.activeElement.closest('.iw-explorer'))"):
            break
        if stop is not None:
            reached.add(int(stop))
    else:
        pytest.fail("Tab never left the explorer")
    assert [expected[i] for i in range(len(expected)) if i not in reached] == []


def test_tab_leaves_the_canvas_and_arrows_walk_on_it(notebook: NotebookPage) -> None:
    _click_block(notebook, _first_block(notebook))
    notebook.wait_for_python("session.layer.startswith('stem')")
    assert notebook.page.evaluate("document.activeElement.tagName") == "CANVAS"
    before = notebook.execute("session.layer")
    notebook.page.keyboard.press("ArrowRight")
    notebook.wait_for_python(f"session.layer != {before}")
    _agrees(notebook)
    notebook.page.keyboard.press("Tab")
    notebook.wait("document.activeElement.tagName !== 'CANVAS'")
    assert notebook.page.evaluate("Boolean(document.activeElement.closest('.iw-explorer'))")


def test_the_depth_slider_scrubs_with_the_arrows(notebook: NotebookPage) -> None:
    notebook.execute("session.layer = 'layer2'; explorer.wait()")
    _agrees(notebook)
    handle = _slider(notebook, "depth")
    rows = json.loads(notebook.execute("import json; print(json.dumps(explorer._network.drawn.outline.rows))"))
    here = rows.index("layer2")
    for key, row in (("ArrowLeft", here - 1), ("ArrowRight", here), ("ArrowRight", here + 1)):
        handle.press(key)
        notebook.wait_for_python(f"session.layer == {rows[row]!r}")
        _agrees(notebook)
        _agrees(notebook, "channel")
    _map_is_fresh(notebook)


HOSTILE = """
import torch, warnings
from torch import nn
import interp_widgets as iw
bad = "<img src=x onerror=hacked=1>"
model = nn.Sequential()
model.add_module(bad, nn.Conv2d(3, 6, 3))
model.add_module("pool", nn.AdaptiveAvgPool2d(1))
model.add_module("flat", nn.Flatten())
session = iw.Session(model.eval(), torch.rand(2, 3, 24, 24), class_names=[bad, "<b>b</b>", "$x^2$", "d", "e", "f"],
                     names=[bad, "<script>hacked=2</script>"], target=0)
from interp_widgets.widgets.explorer import Explorer
explorer = Explorer(session, title=bad)
from types import SimpleNamespace
panel = SimpleNamespace(**explorer.controls)
session.layer = bad
explorer
"""


def test_hostile_names_stay_text(lab: Lab) -> None:
    notebook = lab.open([HOSTILE])
    notebook.run_all()
    notebook.wait("document.querySelectorAll('.iw-explorer .iw-stage canvas').length === 2")
    _agrees(notebook)
    notebook.wait("document.querySelector('.iw-explorer .iw-status').textContent.includes('<img src=x')")
    notebook.page.locator(".iw-thumbs [role=option]").nth(1).click()
    notebook.wait_for_python("session.example == 1")
    _agrees(notebook)
    _strip_is_drawn(notebook)
    box = _strip_box(notebook)
    notebook.page.mouse.move(box["x"] + 40, box["y"] + 50)
    notebook.execute("session.target = 1; explorer.wait()")
    _agrees(notebook)
    assert notebook.page.evaluate("window.hacked ?? null") is None
    assert (
        notebook.page.locator(".iw-explorer img[src=x], .iw-explorer .iw b:text-is('b'), .iw-explorer script").count()
        == 0
    )
    assert notebook.page.locator(".iw-explorer mjx-container").count() == 0


def test_an_error_is_a_sentence_on_the_screen(notebook: NotebookPage) -> None:
    notebook.page.set_viewport_size({"width": 1600, "height": 800})  # the field for a path is on wide screens alone
    field = notebook.page.locator(".iw-explorer input[placeholder*=path]")
    field.fill("/nowhere/at/all.png")
    field.press("Enter")
    notebook.wait("document.querySelector('.iw-explorer .iw-status').textContent.includes('no image file at')")
    assert notebook.page.locator(".iw-explorer .iw-error").count() == 1
    assert notebook.page.locator(".iw-explorer .iw-working").count() == 0
    notebook.screenshot("explorer-error")
    notebook.page.locator(".iw-classes [role=option]").nth(1).click()
    notebook.wait("document.querySelectorAll('.iw-explorer .iw-error').length === 0")
    _agrees(notebook)


def test_a_closed_explorer_disappears_without_an_error(notebook: NotebookPage) -> None:
    notebook.execute("explorer.close()")
    notebook.wait("document.querySelectorAll('.iw-explorer').length === 0")
