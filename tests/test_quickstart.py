"""The quickstart notebook: top to bottom without a browser, and in JupyterLab as `interp-widgets demo` opens it."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from playwright.sync_api import Browser

from interp_widgets import cli
from tests.benchmarks.quickstart import rows, run
from tests.browser.harness import Host, NotebookPage
from tests.demo_server import running_demo

STILL = re.compile(r'class="iw-still" .*src="data:image/png;base64,([^"]+)"')
WIDGET = "application/vnd.jupyter.widget-view+json"


def test_it_is_saved_without_outputs_and_says_what_it_does() -> None:
    notebook = nbformat.read(cli.quickstart(), as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "answer"), [("efficientnet_lite0", "tiger cat"), ("scenes", "red disc")])
def test_it_runs_from_top_to_bottom_and_shows_an_explorer(network: str, answer: str, tmp_path: Path) -> None:
    notebook, found = run(network, tmp_path)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any(WIDGET in output.get("data", {}) for output in outputs)
    stills = [STILL.search(output.get("data", {}).get("text/html", "")) for output in outputs]
    data = next(still[1] for still in stills if still)
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.format == "PNG"
    assert len(picture.convert("RGB").getcolors(2**24) or []) > 100
    assert list(tmp_path.rglob("*.png")) == []  # it writes nothing beside itself
    assert (found["predicted"], found["explained"]) == (answer, answer)
    assert [str(row) for row in rows(network, found) if row.met is False] == []


@pytest.mark.browser
def test_the_demo_opens_it_and_every_cell_runs_in_the_browser(
    chromium: Browser,
    tmp_path: Path,
) -> None:
    with running_demo(tmp_path, "--", "--LabApp.expose_app_in_browser=True") as (_, address):
        host = Host(chromium, tmp_path, address)
        page = NotebookPage(host._new_page((1280, 800)), "quickstart.ipynb")
        host.pages.append(page)
        page.page.goto(address)
        page.wait_until_ready()
        page.run_all(seconds=240)
        page.wait("document.querySelectorAll('.iw-explorer').length > 0")
        page.wait("() => document.querySelector('.iw-explorer .iw-picture canvas')?.dataset.shown !== ''")
        sources = [json.loads(cli.quickstart().read_text(encoding="utf-8"))["cells"]]
        code = [cell for cell in sources[0] if cell["cell_type"] == "code"]
        assert sum(bool(output) for output in page.outputs()) >= 1
        assert len(page.outputs()) >= len(code)
        assert page.page.locator(".iw-error").count() == 0
        assert host.close() == []
