"""`ClassList` in JupyterLab: a thousand classes sorted and searched in the browser, chosen by mouse and keyboard."""

from __future__ import annotations

import pytest

from tests.browser.frozen import frozen
from tests.browser.harness import Lab, NotebookPage

SETUP = """
import numpy as np, ipywidgets
from interp_widgets.widgets.kit.class_list import ClassList
names = [f"class {i}" for i in range(1000)]
names[3], names[700], names[50] = "<img src=x onerror=alert(1)>", "tabby cat", "Persian cat"
scores = np.linspace(1e-5, 2e-5, 1000)
scores[[3, 50, 700]] = 0.6, 0.3, 0.05
classes = ClassList()
classes.show(names, scores, selected=3, markers=[50])
"""
SELECTED = "index => document.querySelector('.iw-row[aria-selected=true]')?.dataset.index === String(index)"
NAMES = "[...document.querySelectorAll('.iw-row .iw-name')].map(each => each.textContent)"


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    opened = lab.open([SETUP + "classes"])
    opened.run_all()
    opened.wait(SELECTED, 3)
    return opened


def _selects(notebook: NotebookPage, index: int) -> None:
    notebook.wait(SELECTED, index)
    notebook.wait_for_python(f"classes.selected == {index}")


def test_classes_come_by_probability_and_names_stay_text(notebook: NotebookPage) -> None:
    shown = notebook.page.evaluate(NAMES)
    assert shown[:4] == ["<img src=x onerror=alert(1)>", "Persian cat", "tabby cat", "class 999"]
    assert notebook.page.locator(".iw-classes img").count() == 0
    assert notebook.page.locator(".iw-share").all_text_contents()[:4] == ["60.0 %", "30.0 %", "5.0 %", "<0.01 %"]
    assert notebook.page.evaluate("document.querySelector('.iw-track i').style.transform") == "scaleX(0.6)"
    assert notebook.page.locator(".iw-row", has_text="Persian").locator(".iw-tag").text_content() == "label"


def test_a_click_and_the_arrows_choose(notebook: NotebookPage) -> None:
    listbox = notebook.page.get_by_role("listbox", name="classes by probability")
    notebook.page.locator(".iw-row", has_text="tabby").click()
    _selects(notebook, 700)
    for key, index in (("ArrowUp", 50), ("Home", 3), ("ArrowDown", 50), ("PageDown", 994)):
        listbox.press(key)
        _selects(notebook, index)
    assert notebook.page.locator(".iw-above span").text_content() == "1000 classes, selected: rank 9"


def test_typing_filters_without_the_kernel_and_enter_chooses(notebook: NotebookPage) -> None:
    with frozen(notebook):
        notebook.page.get_by_role("listbox", name="classes by probability").focus()
        notebook.page.keyboard.type("cat")  # on the list: it lands in the search field
        notebook.wait("document.querySelectorAll('.iw-row').length === 2")
        assert notebook.page.evaluate(NAMES) == ["Persian cat", "tabby cat"]
        assert notebook.page.locator(".iw-above span").text_content() == "2 of 1000 classes"
        notebook.page.keyboard.press("ArrowDown")
        notebook.page.keyboard.press("Enter")
        notebook.wait(SELECTED, 700)
    _selects(notebook, 700)
    notebook.wait_for_python("classes.query == 'cat'")
    notebook.page.keyboard.press("Escape")
    notebook.wait("document.querySelectorAll('.iw-row').length === 200")
    notebook.page.keyboard.type("dd")  # JupyterLab's "delete the cell" must not hear it
    notebook.wait("document.querySelector('.iw-scroll').textContent === 'No class has this name'")
    assert notebook.page.locator(".jp-Cell").count() >= 1


def test_python_moves_the_list(notebook: NotebookPage) -> None:
    notebook.execute("classes.selected = 700")
    notebook.wait(SELECTED, 700)
    notebook.execute("classes.selected = 0")  # the least probable of all: shown, at the end
    notebook.wait(SELECTED, 0)
    assert notebook.page.evaluate(
        "(() => { const list = document.querySelector('.iw-scroll').getBoundingClientRect(),"
        " row = document.querySelector('.iw-row[aria-selected=true]').getBoundingClientRect();"
        " return row.top >= list.top - 1 && row.bottom <= list.bottom + 1; })()"
    )
    notebook.execute("classes.set_scores(scores[::-1])")
    notebook.wait("document.querySelector('.iw-row .iw-name').textContent === 'class 996'")
    notebook.execute("classes.set_scores(None)")
    notebook.wait("document.querySelectorAll('.iw-track').length === 0")
    notebook.execute("classes.show(['a', 'b'], [0.1, 0.9], selected=0)")
    notebook.wait("document.querySelectorAll('.iw-row').length === 2")


def test_follow_is_a_labelled_check_box(notebook: NotebookPage) -> None:
    notebook.page.get_by_label("Follow the prediction").check()
    notebook.wait_for_python("classes.follow")
    notebook.execute("classes.follow = False")
    notebook.wait("!document.querySelector('.iw-above input[type=checkbox]').checked")


def test_tab_goes_through_search_check_box_and_list_and_leaves(notebook: NotebookPage) -> None:
    notebook.page.get_by_label("search classes").focus()
    seen = []
    for _ in range(3):
        notebook.page.keyboard.press("Tab")
        seen.append(notebook.page.evaluate("document.activeElement.closest('.iw') && document.activeElement.tagName"))
    assert seen == ["INPUT", "DIV", None]


def test_two_lists_linked_in_the_browser_and_a_reload(lab: Lab) -> None:
    other = "other = ClassList(names=names)\n"
    link = "link = ipywidgets.jslink((classes, 'selected'), (other, 'selected'))\n"
    notebook = lab.open([SETUP + other + link + "ipywidgets.HBox([classes, other])"])
    notebook.run_all()
    notebook.wait("document.querySelectorAll('.iw-classes').length === 2")
    notebook.page.locator(".iw-row", has_text="tabby").first.click()
    notebook.wait("document.querySelectorAll('[aria-selected=true][data-index=\"700\"]').length === 2")
    notebook.reload()
    notebook.wait("document.querySelectorAll('[aria-selected=true][data-index=\"700\"]').length === 2")
