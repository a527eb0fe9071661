"""The README's picture: `make picture` puts what this test made into the repository."""

from __future__ import annotations

from PIL import Image

from tests.browser.harness import Lab

CELL = "import interp_widgets as iw\n\nexplorer = iw.explore('scenes', explainer='LayerCAM', layer='layer2')\nexplorer"
LARGEST = 160_000  # bytes: the README stays quick to open


def test_the_readmes_picture_shows_the_whole_explorer_and_is_small(lab: Lab) -> None:
    notebook = lab.open([CELL])
    notebook.run_all()
    notebook.wait_for_python("explorer.wait(1)")
    notebook.wait(
        "() => [...document.querySelectorAll('.iw-stage canvas')].every(c => !c.hidden && c.dataset.draws > 0)"
    )
    box = notebook.page.locator(".iw-explorer").first.bounding_box()
    assert box is not None
    assert box["height"] > 500
    path = notebook.screenshot("readme")
    with Image.open(path) as shot:
        margin = 8
        frame = (
            box["x"] - margin,
            box["y"] - margin,
            box["x"] + box["width"] + margin,
            box["y"] + box["height"] + margin,
        )
        small = shot.convert("RGB").crop(tuple(round(edge) for edge in frame)).quantize(128)
    small.save(path, optimize=True)
    assert path.stat().st_size < LARGEST
