"""`LayerTree` in JupyterLab: opened, searched and chosen by mouse and keyboard."""

from __future__ import annotations

import pytest

from tests.browser.harness import Lab, NotebookPage

SETUP = """
from interp_widgets.widgets.kit.layer_tree import LayerTree
def node(path, parent, kind, parameters, layer):
    return {"path": path, "parent": parent, "name": path.rpartition(".")[2], "kind": kind, "shape": "8, 4, 4",
            "parameters": parameters, "layer": layer}
nodes = [
    node("conv1", -1, "Conv2d", 9408, 0),
    node("<b>x</b>", -1, "ReLU", 0, 1),
    node("layer1", -1, "Sequential", 147_968, -1),
    node("layer1.0", 2, "BasicBlock", 73_984, 2),
    node("layer1.0.conv1", 3, "Conv2d", 36_864, 3),
    node("layer1.0.relu", 3, "ReLU", 0, 4),
    node("layer1.1", 2, "BasicBlock", 73_984, 5),
    node("fc", -1, "Linear", 25_600_000, 6),
]
tree = LayerTree(nodes=nodes, selected="conv1", height=110)
"""
ROWS = "[...document.querySelectorAll('.iw-row')].map(each => each.dataset.path)"
SHOWS = f"paths => JSON.stringify({ROWS}) === JSON.stringify(paths)"
SELECTED = "path => document.querySelector('.iw-row[aria-selected=true]')?.dataset.path === path"
TOP = ["conv1", "<b>x</b>", "layer1", "fc"]
ACTIVE = """path => {
    const active = document.querySelector('.iw-tree [role=tree]').getAttribute('aria-activedescendant');
    return document.getElementById(active)?.dataset.path === path;
}"""
RIGHT_EDGES = """[...document.querySelectorAll('.iw-head, .iw-row')]
    .map(row => Math.round(row.children[3].getBoundingClientRect().right))"""


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP + "tree"])
    opened.run_all()
    opened.wait(SHOWS, TOP)
    return opened


def test_rows_tell_type_shape_parameters_and_level(notebook: NotebookPage) -> None:
    cells = notebook.page.evaluate(
        "[...document.querySelectorAll('.iw-row')].map(row => [...row.children].map(c => c.textContent))"
    )
    assert cells == [
        ["conv1", "Conv2d", "8, 4, 4", "9.4k"],
        ["<b>x</b>", "ReLU", "8, 4, 4", ""],
        ["layer1", "Sequential", "8, 4, 4", "148k"],
        ["fc", "Linear", "8, 4, 4", "25.6M"],
    ]
    layer1 = notebook.page.get_by_role("treeitem", name="layer1")
    assert [layer1.get_attribute(f"aria-{name}") for name in ("level", "expanded", "setsize", "posinset")] == [
        "1",
        "false",
        "4",
        "3",
    ]
    assert len(set(notebook.page.evaluate(RIGHT_EDGES))) == 1, "the columns are not aligned with their heads"


def test_arrows_open_walk_and_close_and_enter_selects(notebook: NotebookPage) -> None:
    tree = notebook.page.get_by_role("tree", name="layers")
    for key, path in (("ArrowDown", "<b>x</b>"), ("ArrowDown", "layer1")):
        tree.press(key)
        notebook.wait(ACTIVE, path)
    tree.press("ArrowRight")
    notebook.wait(SHOWS, ["conv1", "<b>x</b>", "layer1", "layer1.0", "layer1.1", "fc"])
    notebook.wait_for_python("tree.open_paths == ['layer1']")
    for key, path in (("ArrowRight", "layer1.0"), ("End", "fc"), ("ArrowUp", "layer1.1")):
        tree.press(key)
        notebook.wait(ACTIVE, path)
    tree.press("Enter")
    notebook.wait(SELECTED, "layer1.1")
    notebook.wait_for_python("tree.selected == 'layer1.1'")
    tree.press("ArrowLeft")
    notebook.wait(ACTIVE, "layer1")
    tree.press("ArrowLeft")
    notebook.wait(SHOWS, TOP)
    tree.press("Tab")
    assert not notebook.page.evaluate("Boolean(document.activeElement.closest('.iw-tree'))")


def test_a_click_selects_and_the_triangle_opens(notebook: NotebookPage) -> None:
    notebook.page.locator(".iw-row", has_text="fc").click()
    notebook.wait_for_python("tree.selected == 'fc'")
    notebook.page.locator(".iw-row", has_text="layer1").locator(".iw-twist").click()
    notebook.wait("document.querySelectorAll('.iw-row').length === 6")
    assert notebook.execute("tree.selected") == "'fc'"
    notebook.page.locator(".iw-row[data-path=layer1]").click()  # has no output of its own: closes
    notebook.wait(SHOWS, TOP)


def test_search_keeps_matches_with_their_ancestors_and_enter_takes_the_first(notebook: NotebookPage) -> None:
    search = notebook.page.get_by_label("search layers")
    search.fill("relu")
    notebook.wait(SHOWS, ["<b>x</b>", "layer1", "layer1.0", "layer1.0.relu"])
    assert notebook.page.locator(".iw-row mark").all_text_contents() == ["ReLU", "relu", "ReLU"]
    search.fill("1.0.")
    notebook.wait(SHOWS, ["layer1", "layer1.0", "layer1.0.conv1", "layer1.0.relu"])
    search.press("Enter")
    notebook.wait(SELECTED, "layer1.0.conv1")
    search.fill("nothing")
    notebook.wait("document.querySelector('.iw-tree [role=tree]').textContent === 'No layer has this name or type'")
    search.press("Escape")
    notebook.wait(
        SHOWS, ["conv1", "<b>x</b>", "layer1", "layer1.0", "layer1.0.conv1", "layer1.0.relu", "layer1.1", "fc"]
    )


def test_a_layer_chosen_in_python_is_opened_and_scrolled_to_and_survives_a_reload(notebook: NotebookPage) -> None:
    notebook.execute("tree.selected = 'layer1.0.relu'")
    for _ in ("now", "after a reload"):
        notebook.wait(SELECTED, "layer1.0.relu")
        notebook.wait(
            "() => { const list = document.querySelector('.iw-tree [role=tree]').getBoundingClientRect(),"
            " row = document.querySelector('.iw-row[aria-selected=true]').getBoundingClientRect();"
            " return row.top >= list.top - 1 && row.bottom <= list.bottom + 1; }"
        )
        notebook.reload()
