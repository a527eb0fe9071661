"""What axe-core finds wrong for people who read with a screen reader or by the keyboard: nothing, in both themes."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.harness import Lab, NotebookPage, Theme

SETUP = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
"""
CELLS = [
    SETUP,
    "explorer = iw.explore('scenes', explainer='SmoothGrad')\nexplorer",
    "comparison = iw.compare('digits', methods=['GradCAM', 'Gradient', 'Occlusion'])\ncomparison",
]
OURS = [[".iw-explorer"]]
READY = "document.querySelectorAll('.iw-stage canvas[data-shown]').length >= 5"


@pytest.fixture(params=["light", "dark"])
def notebook(request: pytest.FixtureRequest, lab: Lab) -> NotebookPage:
    theme: Theme = request.param
    opened = lab.open(CELLS, theme=theme, viewport=(1280, 1800))
    opened.run_all()
    for name in ("explorer", "comparison"):
        opened.wait_for_python(f"{name}.wait(1)", seconds=120)
    opened.wait(READY)
    return opened


def _violations(notebook: NotebookPage) -> list[str]:
    found = Axe().run(notebook.page, context={"include": OURS})
    return [
        f"{each['id']}: {each['help']}\n  " + "\n  ".join(node["html"][:200] for node in each["nodes"])
        for each in found.response["violations"]
    ]


def test_axe_finds_nothing(notebook: NotebookPage) -> None:
    assert _violations(notebook) == []


def test_axe_finds_nothing_in_searches_choices_and_errors(notebook: NotebookPage) -> None:
    notebook.execute('explorer._bar.complain(explorer, "something went wrong")')
    notebook.page.locator(".iw-classes input[type=search]").fill("zzz")
    notebook.page.locator(".iw-tree input[type=search]").fill("conv")
    for summary in notebook.page.locator(".iw-look summary").all():
        summary.click()
    notebook.wait("document.querySelector('.iw-classes .iw-nothing')")
    assert _violations(notebook) == []
    notebook.screenshot("axe")
