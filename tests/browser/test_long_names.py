"""Long names in narrow lists: their middle gives way, and each reads in its own direction, numbers in their place."""

from __future__ import annotations

import pytest

from tests.browser.harness import Lab, NotebookPage

LONG = "electric locomotive of the mountain railway, model 4"
NAMES = {
    "short": "cat",
    "long": LONG,
    "chinese": "居住在高山地区的大型长毛家猫与它的幼崽们第四号",
    "hebrew": "חתול ביתי גדול מאוד עם פרווה ארוכה מספר 4",
    "arabic": "قطة منزلية كبيرة جدا ذات شعر طويل رقم 4",
    "mixed": "the cat called \u05d7\u05ea\u05d5\u05dc of the long street no. 4",
}
SETUP = f"""
import numpy as np, ipywidgets
from interp_widgets.widgets.kit.class_list import ClassList
from interp_widgets.widgets.kit.layer_tree import LayerTree
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.tiles import Tiles
names = {[*NAMES.values()]!r}
classes = ClassList(layout={{"width": "212px"}})
classes.show(names, np.linspace(0.6, 0.1, len(names)), selected=0)
bars = Tiles(mode="bars", alt="values of features", layout={{"width": "240px"}})
bars.show_bars([0.5] * len(names), numbers=range(len(names)), names=names)
nodes = [
    dict(path=name, parent=-1, name=name, kind="Conv2d", shape="8", parameters=8, layer=i)
    for i, name in enumerate(names)
]
tree = LayerTree(nodes=nodes, layout={{"width": "340px"}})
menu = Menu(options=[(name * 2, str(i)) for i, name in enumerate(names)], value="1", label="name", help="what it is")
ipywidgets.VBox([classes, bars, tree, menu], layout={{"width": "400px"}})
"""
PARTS = """selector => [...document.querySelectorAll(selector)].map(name => {
    const [start, end] = name.children;
    const box = each => each && (({ left, right, width }) => ({ left, right, width }))(each.getBoundingClientRect());
    return { text: name.textContent, start: box(start), end: box(end), whole: box(name),
             cut: start.scrollWidth > start.clientWidth, direction: getComputedStyle(name).direction };
})"""
LISTS = (".iw-classes .iw-name", ".iw-named b > bdi", ".iw-tree .iw-name")


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP], viewport=(1000, 1200))
    opened.run_all()
    opened.wait("document.querySelectorAll('.iw-tree .iw-row').length > 4")
    return opened


def test_a_long_name_keeps_its_end_in_sight_in_every_list(notebook: NotebookPage) -> None:
    for selector in LISTS:
        parts = dict(zip(NAMES, notebook.page.evaluate(PARTS, selector), strict=True))
        assert {key: each["text"] for key, each in parts.items()} == NAMES
        assert not parts["short"]["cut"]
        for key in ("long", "chinese", "hebrew", "arabic"):
            assert parts[key]["cut"], (selector, key)
            assert parts[key]["end"]["width"] > 10, (selector, key)
            assert _lies_in(parts[key]["end"], parts[key]["whole"]), (selector, key)
        assert parts["mixed"]["end"] is None  # letters of both directions change places when they are cut
    notebook.screenshot("long-names")


def test_a_name_reads_in_its_own_direction_and_moves_nothing_beside_it(notebook: NotebookPage) -> None:
    parts = dict(zip(NAMES, notebook.page.evaluate(PARTS, ".iw-classes .iw-name"), strict=True))
    for key, each in parts.items():
        is_backward = key in {"hebrew", "arabic"}
        assert each["direction"] == ("rtl" if is_backward else "ltr")
        if each["end"] is not None:
            assert (each["end"]["right"] <= each["start"]["left"] + 1) == is_backward
    assert len({each["whole"]["left"] for each in parts.values()}) == 1
    shares = notebook.page.locator(".iw-classes .iw-share")
    assert shares.all_text_contents() == ["60.0 %", "50.0 %", "40.0 %", "30.0 %", "20.0 %", "10.0 %"]
    places = [box["x"] for box in (share.bounding_box() for share in shares.all()) if box]
    assert len(set(places)) == 1


def test_the_whole_name_is_in_the_tooltip_and_read_aloud(notebook: NotebookPage) -> None:
    option = notebook.page.locator(".iw-classes .iw-row").nth(1)
    assert option.get_attribute("title") == f"{LONG}\nclass 1"
    assert option.get_attribute("aria-label") == f"{LONG}, 50.0 %"
    assert LONG in (notebook.page.locator(".iw-bar").nth(1).get_attribute("title") or "")
    assert LONG in (notebook.page.locator(".iw-tree .iw-row").nth(1).get_attribute("aria-label") or "")
    assert notebook.page.locator(".iw-tree .iw-node").nth(1).get_attribute("title") == LONG
    menu = notebook.page.get_by_role("combobox", name="name")
    chosen = menu.locator("option").nth(1)
    assert chosen.get_attribute("aria-label") == 2 * LONG
    assert chosen.text_content() == f"{LONG[:39]}…{LONG[-8:]}"
    assert menu.locator("..").get_attribute("title") == f"{2 * LONG}\nname\nwhat it is"


def _lies_in(inner: dict[str, float], outer: dict[str, float]) -> bool:
    rounding = 0.5  # of a pixel
    return inner["left"] >= outer["left"] - rounding and inner["right"] <= outer["right"] + rounding
