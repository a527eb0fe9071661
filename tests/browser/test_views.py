"""Each view alone in a cell: drawn, reached with the keyboard, moved by the others; and thumbnails as they are seen."""

from __future__ import annotations

from tests.browser.harness import Lab
from tests.browser.test_explorer import NAMED

SETUP = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
from interp_widgets.widgets.views import VIEWS
entry = iw.zoo.load("scenes")
session = iw.Session(entry.model, [example.image for example in entry.examples], preprocess=entry.preprocess,
                     class_names=entry.class_names)
views = {}
"""
SHOW = "views[{name!r}] = VIEWS[{name!r}](session)\nviews[{name!r}].add_class('iw-explorer')\nviews[{name!r}]"
OUTPUT = "document.querySelectorAll('.jp-OutputArea-output .iw-explorer')[{place}]"


def test_every_view_stands_alone_and_moves_with_the_others(lab: Lab) -> None:
    from interp_widgets.widgets.views import VIEWS

    names = list(VIEWS)
    notebook = lab.open([SETUP, *(SHOW.format(name=name) for name in names)], viewport=(1280, 2600))
    notebook.run_all()
    shown = "document.querySelectorAll('.jp-OutputArea-output .iw-explorer')"
    notebook.wait(f"count => {shown}.length === count", len(names))
    notebook.wait_for_python("all(view.wait(1) for view in views.values())")
    notebook.wait("[...document.querySelectorAll('.iw-stage canvas')].every(each => each.dataset.draws > 0)")
    assert notebook.page.evaluate(NAMED) == []
    for place, name in enumerate(names):
        output = OUTPUT.format(place=place)
        height = notebook.page.evaluate(f"{output}.getBoundingClientRect().height")
        assert height > 40, name
        focusable = "button, select, input, [tabindex='0']"
        seen = f"[...{output}.querySelectorAll(`{focusable}`)].filter(each => each.checkVisibility())"
        assert notebook.page.evaluate(f"{seen}.length") > 0, name
        notebook.page.evaluate(f"{seen}[0].focus()")
        assert notebook.page.evaluate(f"{output}.contains(document.activeElement)"), name
    notebook.page.locator(".iw-classes [role=option]").nth(1).click()
    notebook.page.locator(".iw-thumbs [role=option]").nth(3).click()
    notebook.wait_for_python("session.example == 3 and all(view.wait(1) for view in views.values())")
    notebook.wait_for_python("all(view.drawn == view.resolve(session) for view in views.values())")
    assert notebook.execute("[name for name, view in views.items() if view.error]") == "[]"
    notebook.screenshot("views-alone")


MANY = """
import numpy as np
import torch
import interp_widgets as iw
from interp_widgets.session import inputs
reads = []
load = inputs.load_input
inputs.load_input = lambda source, *rest: (reads.append(1), load(source, *rest))[1]
model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                            torch.nn.Flatten()).eval()
explorer = iw.explore(model, [np.full((64, 64, 3), 7 * number % 256, np.uint8) for number in range(300)])
explorer
"""


def test_thumbnails_are_read_as_they_scroll_into_sight(lab: Lab) -> None:
    notebook = lab.open([MANY])
    notebook.run_all()
    notebook.wait("document.querySelectorAll('.iw-thumbs [role=option]').length === 300")
    notebook.wait("document.querySelectorAll('.iw-thumbs img').length > 5")
    notebook.wait_for_python("explorer.wait(1)")
    assert int(notebook.execute("len(reads)")) < 40
    assert notebook.page.locator(".iw-thumbs [role=option]").nth(200).locator("img").count() == 0
    notebook.page.evaluate("document.querySelectorAll('.iw-thumbs [role=option]')[200].scrollIntoView()")
    notebook.page.locator(".iw-thumbs [role=option]").nth(200).locator("img").wait_for()
    notebook.wait_for_python("explorer.wait(1)")
    assert int(notebook.execute("len(reads)")) < 80
    notebook.page.locator(".iw-thumbs [role=option]").nth(200).click()
    notebook.wait_for_python("explorer.session.example == 200")


def test_a_thumbnail_is_removed_by_its_cross_and_by_delete(lab: Lab) -> None:
    notebook = lab.open([MANY])
    notebook.run_all()
    options = notebook.page.locator(".iw-thumbs [role=option]")
    notebook.wait("document.querySelectorAll('.iw-thumbs img').length > 5")
    options.nth(1).hover()
    options.nth(1).locator(".iw-remove").click()
    notebook.wait("document.querySelectorAll('.iw-thumbs [role=option]').length === 299")
    assert [options.nth(place).get_attribute("title") for place in (0, 1)] == ["input 1", "input 3"]
    assert int(notebook.execute("explorer.session.example")) == 0
    notebook.page.locator(".iw-thumbs").first.focus()
    notebook.page.keyboard.press("Delete")
    notebook.wait("document.querySelectorAll('.iw-thumbs [role=option]').length === 298")
    assert options.nth(0).get_attribute("title") == "input 3"
    assert options.nth(0).get_attribute("aria-selected") == "true"
    assert notebook.page.evaluate("document.activeElement.classList.contains('iw-thumbs')")
    notebook.wait_for_python("explorer.session.name_of(explorer.session.example) == 'input 3'")
