"""The README's picture: `make picture` puts what this test made into the repository."""

from __future__ import annotations

from PIL import Image

from tests.browser.harness import SCREENSHOTS, Lab

CELL = """import interp_widgets as iw

explorer = iw.explore('efficientnet_lite0', explainer='LayerCAM', layer='layer6')
explorer"""
LARGEST = 400_000  # bytes: the README stays quick to open


def test_the_readmes_picture_shows_the_whole_explorer_and_is_small(lab: Lab) -> None:
    notebook = lab.open([CELL], viewport=(1280, 900))
    notebook.run_all()
    notebook.wait_for_python("explorer.wait(1)")
    notebook.wait(
        "() => [...document.querySelectorAll('.iw-stage canvas')].every(c => !c.hidden && c.dataset.draws > 0)"
    )
    path = SCREENSHOTS / "readme.png"
    explorer = notebook.page.locator(".iw-explorer").first
    explorer.screenshot(path=path)
    with Image.open(path) as shot:
        assert shot.height > 500
        shot.convert("RGB").save(path, optimize=True)
    assert path.stat().st_size < LARGEST
