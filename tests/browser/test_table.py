"""`Table` and `SummaryTable` in JupyterLab: sorted, searched, opened and chosen by mouse and keyboard.

The screenshots, ``tests/browser/screenshots/table-*.png``, are there to be looked at.
"""

from __future__ import annotations

import pytest

from tests.browser.harness import Lab, NotebookPage, Theme
from tests.browser.test_axe import _violations

SETUP = """
from interp_widgets.widgets.kit.table import Table
def row(path, parent, count, reason=""):
    cells = [path.rpartition(".")[2], f"{count:,}" if count else "", "a note of <b>x</b>" * (not count)]
    return {"path": path, "parent": parent, "cells": cells, "keys": [None, count or None, None], "reason": reason}
columns = [{"title": title, "number": title == "count"} for title in ("name", "count", "note")]
rows = [
    row("top", -1, 60, "top cannot be chosen"),
    row("top.a10", 0, 9),
    row("top.a2", 0, 0),
    row("top.a2.x", 2, 7),
    row("top.a2.y", 2, 2000),
    row("top.a1", 0, 30),
]
table = Table(depth=1, selected="top.a10", label="things", help="what they are for")
table.show(columns, rows, ["six things"])
"""
PATHS = "[...document.querySelectorAll('.iw-body [role=rowheader]')].map(each => each.title)"
SHOWS = f"paths => JSON.stringify({PATHS}) === JSON.stringify(paths)"
SELECTED = "path => document.querySelector('.iw-body [aria-selected=true] [role=rowheader]')?.title === path"
ACTIVE = """path => {
    const active = document.querySelector('[role=treegrid]').getAttribute('aria-activedescendant');
    return document.getElementById(active)?.querySelector('[role=rowheader]').title === path;
}"""
SORTS = "[...document.querySelectorAll('[role=columnheader]')].map(each => each.getAttribute('aria-sort'))"
TOP = ["top", "top.a10", "top.a2", "top.a1"]


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP + "table"])
    opened.run_all()
    opened.wait(SHOWS, TOP)
    return opened


def test_a_click_on_a_title_sorts_siblings_and_the_third_gives_the_order_back(notebook: NotebookPage) -> None:
    count = notebook.page.get_by_role("button", name="count")
    for paths, sort in (
        (["top", "top.a1", "top.a10", "top.a2"], "descending"),
        (["top", "top.a10", "top.a1", "top.a2"], "ascending"),
        (TOP, "none"),
    ):
        count.click()
        notebook.wait(SHOWS, paths)
        assert notebook.page.evaluate(SORTS) == ["none", sort, "none"]
    notebook.page.get_by_role("button", name="name").press("ArrowRight")
    assert notebook.page.evaluate("document.activeElement.textContent") == "count"
    notebook.page.keyboard.press("Enter")
    notebook.wait_for_python("(table.sorted_by, table.descending) == (1, True)")
    notebook.wait("document.activeElement.textContent === 'count↓'")  # the focus stays


def test_a_row_is_chosen_by_a_click_or_says_why_not(notebook: NotebookPage) -> None:
    notebook.page.get_by_role("row", name="a1 30").click()
    notebook.wait(SELECTED, "top.a1")
    notebook.wait_for_python("table.selected == 'top.a1'")
    notebook.page.get_by_role("row", name="top 60").click()
    notebook.wait("document.querySelector('.iw-table [aria-live]').textContent === 'top cannot be chosen'")
    assert notebook.page.get_by_role("row", name="top 60").get_attribute("aria-selected") is None
    assert notebook.execute("table.selected") == "'top.a1'"
    notebook.execute("table.selected = 'top.a2.y'")  # in a closed row
    notebook.wait(SELECTED, "top.a2.y")
    notebook.execute("table.selected = '/add'")
    notebook.wait("!document.querySelector('.iw-body [aria-selected=true]')")


def test_rows_are_opened_and_closed_by_mouse_keyboard_and_level(notebook: NotebookPage) -> None:
    everything = [*TOP[:3], "top.a2.x", "top.a2.y", "top.a1"]
    notebook.page.get_by_role("row", name="a2").locator(".iw-twist").click()
    notebook.wait(SHOWS, everything)
    grid = notebook.page.get_by_role("treegrid", name="things")
    for key, path in (("ArrowRight", "top.a2.x"), ("End", "top.a1"), ("Home", "top"), ("ArrowDown", "top.a10")):
        grid.press(key)
        notebook.wait(ACTIVE, path)
    grid.press("ArrowLeft")
    notebook.wait(ACTIVE, "top")
    grid.press("ArrowLeft")
    notebook.wait(SHOWS, ["top"])
    grid.press("ArrowRight")
    notebook.wait(SHOWS, everything)
    levels = notebook.page.get_by_label("open to depth")
    levels.select_option("depth 0")
    notebook.wait(SHOWS, ["top"])
    levels.select_option("all levels")
    notebook.wait(SHOWS, everything)
    notebook.wait_for_python("(table.depth, table.toggled) == (2, [])")
    grid.press("Home")
    grid.press("ArrowDown")
    grid.press("Enter")
    notebook.wait_for_python("table.selected == 'top.a10'")
    notebook.page.keyboard.press("Tab")
    notebook.page.keyboard.press("Tab")  # past the titles, which are one stop
    assert not notebook.page.evaluate("Boolean(document.activeElement.closest('.iw-table'))")


def test_the_field_keeps_matches_and_what_they_are_in(notebook: NotebookPage) -> None:
    search = notebook.page.get_by_label("search the table")
    search.fill("2,0")
    notebook.wait(SHOWS, ["top", "top.a2", "top.a2.y"])
    assert notebook.page.locator(".iw-body mark").all_text_contents() == ["2,0"]
    assert notebook.page.locator(".iw-table [aria-live]").text_content() == "1 of 6 rows"
    search.press("Enter")
    notebook.wait_for_python("table.selected == 'top.a2.y'")
    search.fill("nothing")
    notebook.wait("document.querySelector('.iw-body').textContent === 'No rows'")
    search.press("Escape")
    notebook.wait(SELECTED, "top.a2.y")
    notebook.reload()
    notebook.wait(SELECTED, "top.a2.y")


MANY = """
many = [row("top", -1, 5)]
for block in range(100):
    parent = len(many)
    many.append(row(f"top.{block}", 0, block + 1))
    many += [row(f"top.{block}.{inner}", parent, inner + 1) for inner in range(19)]
table = Table(depth=2, label="many", help="many rows")
table.show(columns, many)
table
"""


def test_of_two_thousand_rows_only_those_in_sight_are_made(lab: Lab) -> None:
    notebook = lab.open([SETUP + MANY])
    notebook.run_all()
    notebook.wait("document.querySelector('[aria-rowcount=\"2002\"]')")  # with the titles
    made = "document.querySelectorAll('.iw-body [role=row]').length"
    assert notebook.page.evaluate(made) < 40
    notebook.page.evaluate("document.querySelector('[role=treegrid]').scrollTop = 22 * 1000")
    notebook.wait("document.querySelector('.iw-body [aria-rowindex=\"1005\"]')")
    assert notebook.page.evaluate(made) < 40
    notebook.page.get_by_role("treegrid", name="many").press("End")
    notebook.wait(ACTIVE, "top.99.18")
    notebook.execute("table.selected = 'top.50'")
    notebook.wait(SELECTED, "top.50")
    assert notebook.page.evaluate("""() => {
        const [row, grid] = ['.iw-body [aria-selected=true]', '[role=treegrid]']
            .map(each => document.querySelector(each).getBoundingClientRect());
        return row.top >= grid.top + 23 && row.bottom <= grid.bottom + 1;
    }""")


VIEW = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
explorer = iw.explore("scenes")
view = iw.SummaryTable(explorer.session)
view.add_class("iw-explorer")
explorer"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_click_on_a_module_moves_the_session_and_its_views(lab: Lab, theme: Theme) -> None:
    notebook = lab.open([VIEW, "view"], theme=theme, viewport=(1280, 1800))
    notebook.run_all()
    notebook.wait_for_python("explorer.wait(1) and view.wait(1)")
    notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.press("Control+b")
    notebook.page.get_by_role("tab", name="Summary").click()
    notebook.wait("document.querySelectorAll('.iw-table .iw-body [aria-selected=true]').length === 2")
    table = notebook.page.locator(".iw-table").last
    name = notebook.execute("print([row['path'] for row in view.table.rows if not row['reason']][2])")
    table.locator(f"[role=rowheader][title='{name}']").click()
    notebook.wait_for_python(f"explorer.session.layer == '{name}'")
    shown = "[...document.querySelectorAll('.iw-table .iw-body [aria-selected=true] [role=rowheader]')]"
    notebook.wait(f"name => {shown}.every(each => each.title === name)", name)
    notebook.wait_for_python(f"explorer.controls['tree'].selected == '{name}'")
    other = notebook.execute("print([row['path'] for row in view.table.rows if not row['reason']][0])")
    notebook.execute(f"explorer.session.layer = '{other}'")
    notebook.wait(f"name => {shown}.every(each => each.title === name)", other)
    table.get_by_role("button", name="parameters").click()
    notebook.wait("document.querySelectorAll('[aria-sort=descending]').length === 1")
    for width in (1280, 700, 320):
        notebook.page.set_viewport_size({"width": width, "height": 1800})
        table.scroll_into_view_if_needed()
        notebook.screenshot(f"table-{width}-{theme}")
        inside = """() => [...document.querySelectorAll('.iw-table')].every(each =>
            each.scrollWidth <= each.clientWidth + 1 && each.clientWidth <= each.closest('.iw-explorer').clientWidth)"""
        notebook.wait(inside)
    page_end = """() => {
        const grid = [...document.querySelectorAll('.iw-table [role=treegrid]')].at(-1);
        grid.scrollLeft = grid.scrollWidth;
        const cell = grid.querySelector('.iw-body [role=row] > :nth-child(9)').getBoundingClientRect();
        const middle = document.elementFromPoint((cell.left + cell.right) / 2, (cell.top + cell.bottom) / 2);
        return middle?.getAttribute('role') === 'gridcell';  // the names do not lie over it
    }"""
    notebook.wait(page_end)
    assert _violations(notebook) == []
    table.get_by_label("search the table").fill("zzz")
    notebook.wait("document.querySelector('.iw-table .iw-body .iw-nothing')")
    assert _violations(notebook) == []
