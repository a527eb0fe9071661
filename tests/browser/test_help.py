"""Help in JupyterLab: the panel of topics, and what controls say of themselves, to eyes and to ears, once."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.frozen import frozen
from tests.browser.harness import Lab, NotebookPage

EXPLORER = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
explorer = iw.explore("digits", explainer="SmoothGrad")
"""
HELP = """
from interp_widgets.widgets.kit.help import Help
many = [(f"topic {number}", "words " * 60) for number in range(20)]
shown = Help(label="Help", topics=[("Keys", "<b>arrows</b>\\nwalk"), *many])
shown
"""
PANEL = "document.querySelector('dialog.iw-help').open"
FOCUS = "document.activeElement.className"
READY = "document.querySelectorAll('.iw-explorer .iw-stage canvas[data-shown]').length >= 2"


def test_the_panel_opens_without_the_kernel_and_gives_the_focus_back(lab: Lab) -> None:
    notebook = lab.open([HELP])
    notebook.run_all()
    page = notebook.page
    with frozen(notebook):
        page.get_by_role("button", name="Help", exact=True).press("Enter")
        notebook.wait(PANEL)
        assert page.locator("dialog dd").first.text_content() == "<b>arrows</b>\nwalk"
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS) == "iw-topics"
        page.keyboard.press("End")
        notebook.wait("document.querySelector('.iw-topics').scrollTop > 100")
        page.keyboard.type("dd")  # JupyterLab's "delete the cell" must not hear it
        page.keyboard.press("Escape")
        notebook.wait(f"!{PANEL}")
        assert "iw-ask" in page.evaluate(FOCUS)
        page.get_by_role("button", name="Help", exact=True).click()
        notebook.wait(PANEL)
        page.mouse.click(3, 3)  # beside the panel
        notebook.wait(f"!{PANEL}")
    assert page.locator(".jp-Cell").count() >= 1


@pytest.fixture
def explorer(lab: Lab) -> NotebookPage:
    opened = lab.open([EXPLORER, "explorer"], viewport=(1280, 1400))
    opened.run_all()
    opened.wait_for_python("explorer.wait(1)", seconds=120)
    opened.wait(READY)
    return opened


def _heard(notebook: NotebookPage) -> list[dict[str, str]]:
    """Role, name and description of everything in the Explorer, as the browser gives it to a screen reader."""
    session = notebook.page.context.new_cdp_session(notebook.page)
    session.send("Accessibility.enable")
    root = session.send("Runtime.evaluate", {"expression": "document.querySelector('.iw-explorer')"})
    found = session.send("Accessibility.queryAXTree", {"objectId": root["result"]["objectId"]})

    def words(node: dict[str, Any], part: str) -> str:
        return str(node.get(part, {}).get("value", "")).strip()

    nodes = [node for node in found["nodes"] if not node["ignored"]]
    return [{part: words(node, part) for part in ("role", "name", "description")} for node in nodes]


def test_every_control_has_a_description_that_says_more_than_its_name(explorer: NotebookPage) -> None:
    heard = _heard(explorer)
    controls = [each for each in heard if each["role"] != "image"]  # a picture's description is the value at its cross
    twice = [each for each in controls if each["description"] and _repeats(each["name"], each["description"])]
    assert twice == []
    described = {each["name"]: each["description"] for each in heard if each["role"] in {"combobox", "slider"}}
    assert described["method"] == "the mean gradient of noisy copies of the input"
    assert described["samples"] == "noisy copies of the input"
    lists = {each["role"]: each["description"] for each in heard if each["role"] in {"listbox", "tree"}}
    assert all(lists.values())


def _repeats(name: str, description: str) -> bool:
    name, description = name.casefold(), description.casefold()
    return bool(name) and (description in name or description.startswith(name))


def test_the_tooltip_of_the_method_follows_the_choice_without_the_kernel(explorer: NotebookPage) -> None:
    menu = explorer.page.get_by_role("combobox", name="method")
    with frozen(explorer):
        menu.select_option("Occlusion")
        assert menu.get_attribute("aria-description") == "what the score loses when a square of the image is covered"
        assert menu.locator("..").get_attribute("title") == (
            "Occlusion\nmethod\nwhat the score loses when a square of the image is covered"
        )


def test_the_help_of_the_explorer_fits_and_is_read(explorer: NotebookPage) -> None:
    explorer.page.get_by_role("button", name="Help", exact=True).click()
    explorer.wait(PANEL)
    explorer.screenshot("help")
    box = explorer.page.locator("dialog.iw-help").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["height"] <= 1400
    assert Axe().run(explorer.page, context={"include": [[".iw-help"]]}).response["violations"] == []
    assert explorer.page.locator("dialog dt").count() == explorer.page.locator("dialog dd").count() >= 8
