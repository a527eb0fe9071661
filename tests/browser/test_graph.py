"""`ModelGraph` in JupyterLab: boxes chosen, opened, walked through and searched, by mouse and keyboard.

The screenshots, ``tests/browser/screenshots/graph-*.png``, are there to be looked at.
"""

from __future__ import annotations

import pytest

from tests.browser.harness import Lab, NotebookPage, Theme
from tests.browser.test_axe import _violations

SETUP = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
explorer = iw.explore("scenes")
session = explorer.session
view = iw.ModelGraph(session, opened=[])
view.add_class("iw-explorer")
"""
SHOWN = "count => document.querySelector('.iw-diagram-stage')?.dataset.shown === String(count)"
STANDS = "name => document.querySelector('.iw-diagram-stage').getAttribute('aria-label').includes(`: ${name}  ·`)"


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP + "view"], viewport=(1280, 900))
    opened.run_all()
    opened.wait_for_python("explorer.wait(1) and view.wait(1)")
    opened.wait(SHOWN, int(opened.execute("print(len(view.diagram.boxes))")))
    return opened


def _point(notebook: NotebookPage, name: str, index: int = 0) -> tuple[float, float]:
    """Where a box's name stands in the page."""
    code = f"print(*next(b['sheets'][-1] for b in view.diagram.boxes if b['name'] == {name!r}))"
    x, y, width, _height = map(float, notebook.execute(code).split())
    stage = notebook.page.locator(".iw-diagram-stage").nth(index)
    scale, left, top = map(float, str(stage.get_attribute("data-view")).split(","))
    box = stage.bounding_box()
    assert box is not None
    return box["x"] + left + (x + width / 2) * scale, box["y"] + top + (y + 8) * scale


def test_a_click_chooses_the_layer_and_what_is_none_says_why(notebook: NotebookPage) -> None:
    notebook.page.mouse.click(*_point(notebook, "layer2"))
    notebook.wait_for_python("session.layer == 'layer2'")
    notebook.wait_for_python("explorer.controls['tree'].selected == 'layer2'")
    notebook.wait("[...document.querySelectorAll('.iw-card dd')].some(each => each.textContent === 'layer2')")
    notebook.page.get_by_role("button", name="fit").click()
    stage = notebook.page.get_by_role("application")
    stage.press("End")
    stage.press(" ")
    notebook.wait("document.querySelector('.iw-diagram .iw-caption').textContent.startsWith('output is no layer')")
    assert notebook.execute("session.layer") == "'layer2'"


def test_a_double_click_opens_and_closes_a_module_which_stays_in_place(notebook: NotebookPage) -> None:
    before = int(notebook.execute("print(len(view.diagram.boxes))"))
    place = _point(notebook, "layer2")
    notebook.page.mouse.dblclick(*place)
    notebook.wait_for_python("view.opened == ['layer2'] and view.wait(1)")
    after = int(notebook.execute("print(len(view.diagram.boxes))"))
    assert after > before
    notebook.wait(SHOWN, after)
    assert _point(notebook, "layer2") == pytest.approx(place, abs=1)  # a pixel: the corner's x and y are rounded
    notebook.page.mouse.dblclick(*place)
    notebook.wait_for_python("view.opened == [] and view.wait(1)")
    notebook.wait(SHOWN, before)


def test_the_keyboard_walks_along_the_data_flow_opens_and_chooses(notebook: NotebookPage) -> None:
    stage = notebook.page.get_by_role("application")
    stage.press("Home")
    notebook.wait(STANDS, "input")
    names = notebook.execute("print(*[box['name'] for box in view.diagram.boxes])").split()
    for name in names[1:4]:
        stage.press("ArrowDown")
        notebook.wait(STANDS, name)
    stage.press("ArrowUp")
    notebook.wait(STANDS, names[2])
    stage.press(" ")
    notebook.wait_for_python(f"session.layer == {names[2]!r}")
    while ": layer2  ·" not in str(stage.get_attribute("aria-label")):
        stage.press("ArrowDown")
    stage.press("Enter")
    notebook.wait_for_python("view.opened == ['layer2'] and view.wait(1)")
    notebook.wait(SHOWN, int(notebook.execute("print(len(view.diagram.boxes))")))
    stage.press("ArrowDown")
    notebook.wait("document.querySelector('.iw-diagram-stage').getAttribute('aria-label').includes('layer2.')")
    stage.press("Backspace")
    notebook.wait(STANDS, "layer2")
    view = notebook.page.locator(".iw-diagram-stage").get_attribute("data-view")
    stage.press("+")
    notebook.wait("view => document.querySelector('.iw-diagram-stage').dataset.view !== view", view)


def test_the_search_counts_and_goes_to_what_is_in_closed_modules(notebook: NotebookPage) -> None:
    search = notebook.page.get_by_label("search by name or type")
    search.fill("layer2.")
    count = int(notebook.execute("print(sum('layer2.' in each['name'] for each in view.diagram.entries))"))
    notebook.wait(f"document.querySelector('.iw-above .iw-muted').textContent === '{count} matches'")
    first = notebook.execute("print(next(e['name'] for e in view.diagram.entries if 'layer2.' in e['name']))")
    search.press("Enter")
    notebook.wait_for_python("'layer2' in view.opened")
    notebook.wait(STANDS, first)
    notebook.wait(f"document.querySelector('.iw-above .iw-muted').textContent === 'match 1 of {count}'")
    search.press("Escape")
    notebook.wait("document.querySelector('.iw-above .iw-muted').textContent === ''")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_the_explorer_it_moves_all_and_axe_finds_nothing(lab: Lab, theme: Theme) -> None:
    notebook = lab.open([SETUP + "explorer", "view"], theme=theme, viewport=(1280, 1800))
    notebook.run_all()
    notebook.wait_for_python("explorer.wait(1) and view.wait(1)")
    notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.press("Control+b")
    notebook.page.get_by_role("tab", name="Graph").click()
    notebook.wait("document.querySelectorAll('.iw-diagram-stage[data-shown]').length === 2")
    notebook.page.mouse.click(*_point(notebook, "layer1", 1))
    notebook.wait_for_python("session.layer == 'layer1' and explorer.wait(1)")
    notebook.wait("document.querySelector('.iw-explorer .iw-diagram-stage').ariaLabel !== ''")
    notebook.wait_for_python("explorer.controls['tree'].selected == 'layer1'")
    notebook.wait_for_python("explorer.attribution.layer == 'layer1'")
    assert _violations(notebook) == []
    for width in (1280, 700, 320):
        notebook.page.set_viewport_size({"width": width, "height": 1800})
        notebook.wait("""() => [...document.querySelectorAll('.iw-diagram')].every(each =>
            each.clientWidth === 0 || each.scrollWidth <= each.clientWidth + 1)""")
        notebook.screenshot(f"graph-{width}-{theme}")
    notebook.page.set_viewport_size({"width": 1280, "height": 900})
    notebook.execute("view.colour = 'time'")
    notebook.wait("[...document.querySelectorAll('.iw-legend')].at(-1).textContent.includes(' ms')")
    buttons = notebook.page.locator(".iw-diagram").get_by_role("button", name="alone on the screen")
    buttons.first.click()  # the one in the panel of the Explorer, which is low
    notebook.wait("document.querySelector('dialog.iw-large[open]')")
    notebook.wait("document.querySelector('dialog.iw-large[open] .iw-diagram-stage').clientHeight > 0.7 * innerHeight")
    notebook.page.keyboard.press("Escape")
    notebook.wait("!document.querySelector('dialog.iw-large[open]')")
    buttons.last.click()
    notebook.wait("document.querySelector('dialog.iw-large[open]')")
    assert _violations(notebook) == []
    notebook.screenshot(f"graph-large-{theme}")
    notebook.page.keyboard.press("Escape")
    notebook.wait("!document.querySelector('dialog.iw-large[open]')")
