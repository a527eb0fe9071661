"""What a saved notebook shows without its kernel: a still picture, which the page hides while the widgets live."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.browser.harness import Lab, NotebookPage

EXPLORER = """import interp_widgets as iw
explorer = iw.explore('scenes')
explorer"""
COMPARISON = """import interp_widgets as iw
explorer = iw.compare('scenes', methods=['GradCAM', 'Gradient'])
explorer"""
IS_SHOWN = "document.querySelector('.iw-still')?.checkVisibility() ?? false"


def _still(notebook: NotebookPage) -> np.ndarray:
    (text,) = [out["data"]["text/html"] for out in notebook.outputs()[0] if "iw-still" in str(out.get("data"))]
    found = re.search(r'src="data:image/png;base64,([^"]+)"', "".join(text))
    assert found is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB"))


@pytest.mark.parametrize("source", [EXPLORER, COMPARISON], ids=["explorer", "comparison"])
def test_the_still_follows_the_state_and_is_what_a_notebook_without_a_kernel_shows(lab: Lab, source: str) -> None:
    notebook = lab.open([source])
    notebook.run_all()
    notebook.wait("document.querySelector('.iw-explorer .iw-stage canvas')?.dataset.draws > 0")
    assert not notebook.page.evaluate(IS_SHOWN)
    first = _still(notebook)
    session = "explorer.session" if source is EXPLORER else "explorer.cells[0].session"
    notebook.execute(f"{session}.target = 4; explorer.wait()")
    deadline = 100
    while np.array_equal(_still(notebook), first):
        deadline -= 1
        assert deadline, "the still never followed"
        notebook.page.wait_for_timeout(100)
    notebook.save()
    saved = nbformat.read(Path(lab.folder) / notebook.path, as_version=4)
    for cell in saved.cells:
        cell.metadata = {}
    saved.metadata.pop("widgets", None)
    again = lab.open(dict(saved))  # a kernel that knows none of it
    again.expected.append("widget model not found")  # JupyterLab says so of every widget without its kernel
    again.wait(IS_SHOWN)
    image = again.page.locator(".iw-still")
    assert len(image.get_attribute("alt") or "") > 40
    assert image.evaluate("image => image.naturalWidth") > 300
    again.screenshot(f"still-{'explorer' if source is EXPLORER else 'comparison'}")


def test_the_still_can_be_switched_off(lab: Lab) -> None:
    notebook = lab.open([EXPLORER.replace("'scenes'", "'scenes', still=False")])
    notebook.run_all()
    (output,) = notebook.outputs()[0]
    assert "image/png" not in output["data"]
