"""`Tiles` in JupyterLab: real colours, mouse, keyboard, pages, bars."""

from __future__ import annotations

import pytest

from tests.browser.harness import Lab, NotebookPage

SETUP = """
import numpy as np
from interp_widgets.widgets.kit.tiles import Tiles
table = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 60)], axis=1).astype(np.uint8).tobytes()
tiles = Tiles(columns=4, tile_size=40, table=table, alt="channels of layer1", smooth=False)
def show(change=None):
    first = tiles.page * 8
    numbers = [100 - first - i for i in range(8)]
    maps = np.stack([np.full((2, 2), number * 2, np.uint8) for number in numbers])
    captions = [f"0.{number}" for number in numbers]
    tiles.show_tiles(maps, numbers=numbers, captions=captions, page=tiles.page, pages=3, offset=first)
show()
tiles.observe(show, "page")
"""
SELECTED = "number => document.querySelector('.iw-grid > [aria-selected=true]')?.dataset.number === String(number)"


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP + "tiles"])
    opened.run_all()
    opened.wait("document.querySelectorAll('.iw-tile').length === 8")
    return opened


def _select(notebook: NotebookPage, number: int) -> None:
    notebook.wait(SELECTED, number)
    notebook.wait_for_python(f"tiles.selected == {number}")


def test_each_tile_has_its_colour_at_its_place(notebook: NotebookPage) -> None:
    canvas = ".iw-grid canvas"
    for rank, number in enumerate(range(100, 92, -1)):
        place = (rank % 4 * 48 + 20, rank // 4 * 76 + 20)  # 40 px tiles, 8 px apart, 36 px: "0.100" is below "100"
        notebook.wait_for_pixel(canvas, place, (2 * number, 255 - 2 * number, 60, 255), tolerance=0)
    notebook.execute("tiles.table = bytes(768)")
    notebook.wait_for_pixel(canvas, (20, 20), (0, 0, 0, 255), tolerance=0)


def test_a_value_is_seen_whole_however_long(notebook: NotebookPage) -> None:
    whole = """() => [...document.querySelectorAll('.iw-tile')].every((tile) => {
        const box = tile.getBoundingClientRect();
        const value = tile.querySelector('span').getBoundingClientRect();
        const number = tile.querySelector('b').getBoundingClientRect();
        const isInside = value.width > 0 && value.right <= box.right + 8 && value.bottom <= box.bottom + 1;
        return isInside && (value.top >= number.bottom - 1 || value.left >= number.right);
    })"""
    for caption in ("5", "0.83", "-7.67e-6"):
        notebook.execute(f"tiles.captions = ['{caption}'] * 8; tiles.details = ['-7.67123e-6'] * 8")
        notebook.wait("caption => document.querySelector('.iw-tile span').textContent === caption", caption)
        notebook.wait(whole)
    assert "mean -7.67123e-6" in str(notebook.page.locator(".iw-tile >> nth=0").get_attribute("title"))


def test_a_click_and_the_arrows_select_and_pages_turn_at_the_edge(notebook: NotebookPage) -> None:
    grid = notebook.page.get_by_role("listbox", name="channels of layer1")
    notebook.page.get_by_role("option", name="channel 98, mean 0.98").click()
    _select(notebook, 98)
    for key, number in (("ArrowRight", 97), ("ArrowDown", 93), ("Home", 100), ("End", 93)):
        grid.press(key)
        _select(notebook, number)
    grid.press("ArrowRight")  # over the edge: the first of the next page, as soon as Python has sent it
    _select(notebook, 92)
    assert notebook.page.locator(".iw-pager span").text_content() == "page 2 of 3"
    assert notebook.page.get_by_role("option", name="channel 92, mean 0.92").count() == 1
    grid.press("ArrowLeft")
    _select(notebook, 93)
    grid.press("PageDown")
    _select(notebook, 92)
    assert notebook.page.evaluate("document.activeElement.role") == "listbox"
    assert notebook.page.locator(".iw [aria-activedescendant]").count() == 1
    assert notebook.page.evaluate(
        "document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).dataset.number === '92'"
    )
    notebook.page.get_by_role("button", name="next page").click()
    notebook.wait("document.querySelector('.iw-pager span').textContent === 'page 3 of 3'")
    assert notebook.page.get_by_role("button", name="next page").is_disabled()


def test_tab_leaves(notebook: NotebookPage) -> None:
    grid = notebook.page.get_by_role("listbox", name="channels of layer1")
    grid.focus()
    grid.press("Tab")
    assert notebook.page.evaluate("document.activeElement.getAttribute('aria-label')") == "next page"
    notebook.page.keyboard.press("Tab")
    assert not notebook.page.evaluate("Boolean(document.activeElement.closest('.iw-tiles'))")


def test_bars_start_at_zero_and_point_to_their_side(notebook: NotebookPage) -> None:
    notebook.execute("tiles.show_bars([2.0, -1.0, 0.5], numbers=[5, 6, 7])")
    notebook.wait("document.querySelectorAll('.iw-bar').length === 3")
    places = notebook.page.evaluate(
        "[...document.querySelectorAll('.iw-bar i')].map(bar => [bar.style.left, bar.style.width, bar.className])"
    )
    assert places == [["50%", "50%", ""], ["25%", "25%", "iw-minus"], ["50%", "12.5%", ""]]
    notebook.page.locator(".iw-bar").nth(1).click()
    _select(notebook, 6)
    notebook.page.get_by_role("listbox", name="channels of layer1").press("ArrowRight")
    _select(notebook, 7)
    notebook.execute("tiles.show_bars([2.0, 1.0], numbers=[5, 6])")
    notebook.wait("document.querySelector('.iw-bar i')?.style.left === '0%'")


def test_a_narrow_page_has_fewer_tiles_in_a_row(lab: Lab) -> None:
    box = "import ipywidgets\nipywidgets.VBox([tiles], layout={'width': '110px'})"
    notebook = lab.open([SETUP + box])
    notebook.run_all()
    notebook.wait("document.querySelectorAll('.iw-tile')[2]?.style.left === '0px'")
    notebook.page.get_by_role("listbox", name="channels of layer1").press("Home")
    _select(notebook, 100)
    notebook.page.get_by_role("listbox", name="channels of layer1").press("ArrowDown")
    _select(notebook, 98)


def test_a_reload_shows_the_same_page(notebook: NotebookPage) -> None:
    notebook.execute("tiles.page = 1; tiles.selected = 90")
    notebook.wait(SELECTED, 90)
    notebook.reload()
    notebook.wait(SELECTED, 90)
    notebook.wait_for_pixel(".iw-grid canvas", (20, 20), (184, 71, 60, 255), tolerance=0)
