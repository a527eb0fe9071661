"""`ActivationView` and `WeightView` in JupyterLab: a layer chosen by mouse and keyboard moves tree and map.

The screenshots, ``tests/browser/screenshots/inspectors-*.png``, are there to be looked at.
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
view = iw.{kind}(session)
view.add_class("iw-explorer")
explorer"""
INSIDE = """selector => [...document.querySelectorAll(selector)].every(each =>
    each.scrollWidth <= each.clientWidth + 1 && each.clientWidth <= each.closest('.iw-explorer').clientWidth)"""
MAP = "layer => document.querySelector('.iw-explorer .iw-stage canvas').getAttribute('aria-label').includes(layer)"


def _opened(lab: Lab, kind: str, tab: str, theme: Theme) -> NotebookPage:
    notebook = lab.open([SETUP.format(kind=kind), "view"], theme=theme, viewport=(1280, 1800))
    notebook.run_all()
    notebook.wait_for_python("explorer.wait(1) and view.wait(1)")
    notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.press("Control+b")
    notebook.page.get_by_role("tab", name=tab).click()
    notebook.wait_for_python("explorer.wait(1)")
    return notebook


def _shows(notebook: NotebookPage, layer: str) -> None:
    """Session, tree and map have come to a layer."""
    notebook.wait_for_python(f"session.layer == {layer!r} and explorer.wait(1)")
    notebook.wait_for_python(f"explorer.controls['tree'].selected == {layer!r}")
    notebook.wait(MAP, layer)


def _photographed(notebook: NotebookPage, name: str, selector: str) -> None:
    for width in (1280, 700, 320):
        notebook.page.set_viewport_size({"width": width, "height": 1800})
        notebook.page.locator(selector).last.scroll_into_view_if_needed()
        notebook.wait(INSIDE, selector)
        notebook.screenshot(f"inspectors-{name}-{width}")
    assert _violations(notebook) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_parameter_moves_the_layer_and_its_filters_are_seen(lab: Lab, theme: Theme) -> None:
    notebook = _opened(lab, "WeightView", "Weights", theme)
    tables = notebook.page.locator(".iw-weights .iw-table")
    assert tables.count() == 2
    path = notebook.execute("print(next(row['path'] for row in view.table.rows if row['path'].startswith('layer2')))")
    tables.last.locator(f"[role=rowheader][title='{path}']").click()
    _shows(notebook, path.rpartition(".")[0])
    chosen = "[...document.querySelectorAll('.iw-weights .iw-body [aria-selected=true] [role=rowheader]')]"
    notebook.wait(f"path => {chosen}.length === 2 && {chosen}.every(each => each.title === path)", path)
    shown = ".iw-weights .iw-stage canvas"
    assert notebook.pixels(shown, 1)[..., :3].std() > 10  # not one colour
    label = notebook.page.locator(shown).last.get_attribute("aria-label") or ""
    assert label.startswith(path)
    assert "values from" in label
    tables.last.locator("[role=treegrid]").press("Home")
    tables.last.locator("[role=treegrid]").press("Enter")
    _shows(notebook, notebook.execute("print(view.table.rows[0]['path'].rpartition('.')[0])"))
    notebook.wait(
        f"path => {chosen}.every(each => each.title === path)", notebook.execute("print(view.table.selected)")
    )
    _photographed(notebook, f"weights-{theme}", ".iw-weights")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_box_moves_the_layer_by_mouse_and_keyboard_and_scales_change(lab: Lab, theme: Theme) -> None:
    notebook = _opened(lab, "ActivationView", "Profile", theme)
    page = notebook.page
    plot = page.locator(".iw-profile .iw-plot").last
    count = int(notebook.execute("print(len(view.profile.names))"))
    boxes = "document.querySelectorAll('.iw-profile .iw-boxes')[1].getAttribute('d')"
    assert page.evaluate(boxes).count("Z") == count
    size = plot.bounding_box()
    assert size is not None
    number = int(notebook.execute("print(view.profile.names.index('layer2'))"))
    plot.click(position={"x": 52 + (number + 0.5) * (size["width"] - 52) / count, "y": size["height"] / 2})
    _shows(notebook, "layer2")
    notebook.wait("document.querySelectorAll('.iw-profile .iw-plot')[0].ariaValueText.startsWith('layer2:')")
    previous = notebook.execute(f"print(view.profile.names[{number - 1}])")
    plot.press("ArrowLeft")
    _shows(notebook, previous)
    notebook.wait("name => document.querySelectorAll('.iw-profile .iw-plot')[1].ariaValueText.includes(name)", previous)
    before = page.evaluate(boxes)
    page.get_by_label("logarithmic").last.check()
    notebook.wait(f"before => {boxes} !== before", before)
    page.get_by_label("gradients").last.check()
    notebook.wait_for_python("view.wait(1) and len(view.profile.norms) > 0")
    notebook.wait("document.querySelectorAll('.iw-profile .iw-norms').length === 1")  # of the view whose box is checked
    relu = notebook.execute("print(next(row.layer for row in view.drawn.report.rows if 'relu' in row.layer))")
    notebook.execute(f"session.layer = {relu!r}")
    notebook.wait("document.querySelectorAll('.iw-curve .iw-function')[1]?.checkVisibility()")
    assert relu in (page.locator(".iw-curve .iw-plot").last.get_attribute("aria-label") or "")
    _photographed(notebook, f"profile-{theme}", ".iw-activations")
