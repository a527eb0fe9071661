"""``compare`` in JupyterLab: every map is there, one cursor reads them all, and the keyboard is enough."""

from __future__ import annotations

from tests.browser.harness import SCREENSHOTS, Lab

CELL = """
import interp_widgets as iw
comparison = iw.compare("scenes", methods=["GradCAM", "DeepLift", "LIME"])
agreement = comparison.agreement
pictures = [*(view.picture for view in comparison.views), agreement.difference, agreement.disagreement]
comparison
"""
DRAWN = """count => [...document.querySelectorAll('.iw-stage canvas')]
    .filter(canvas => canvas.dataset.shown === '0,0').length === count"""


def test_one_cursor_reads_every_map_and_the_matrix_is_a_table(lab: Lab) -> None:
    notebook = lab.open([CELL], viewport=(1280, 900))
    notebook.run_all()
    notebook.wait_for_python("comparison.wait(1)")
    notebook.wait(DRAWN, 5)  # three maps, a difference, the disagreement
    first = notebook.page.locator(".iw-stage canvas").first
    first.hover(position={"x": 60, "y": 60})
    notebook.wait_for_python("all(each.cursor[0] > 0 for each in pictures)")
    cursors = notebook.execute("len({each.cursor for each in pictures})")
    assert cursors == "1"
    told = notebook.page.locator(".iw-explorer .iw-caption").all_text_contents()
    assert [name in text for name, text in zip(("Grad-CAM", "DeepLift", "LIME"), told, strict=False)] == [True] * 3
    table = notebook.page.locator(".iw-explorer table")
    assert table.locator("td:not(:empty)").count() == 9
    assert table.locator("caption").inner_text() == "rank correlation of each two maps"
    notebook.page.locator(".iw-explorer").first.screenshot(path=SCREENSHOTS / "compare.png")

    scale = notebook.page.locator(".iw-explorer select").first
    scale.focus()
    notebook.page.keyboard.press("ArrowDown")
    notebook.wait_for_python("comparison.scale.value == 'one' and comparison.views[0].picture.look.limit is not None")


def test_the_menu_of_methods_has_headings_and_says_what_is_missing(lab: Lab) -> None:
    setup = "import interp_widgets as iw; iw.PartitionSHAP.requires = 'no_such_package'\n"
    notebook = lab.open([setup + "explorer = iw.explore('scenes')\nexplorer"])
    notebook.run_all()
    menu = notebook.page.locator(".iw-explorer select[aria-label='method']")
    menu.wait_for()
    headings = [group.get_attribute("label") for group in menu.locator("optgroup").all()]
    assert headings == ["Class activation maps", "Gradients", "Paths and noise", "Contributions", "Perturbation"]
    missing = menu.locator("option[value=PartitionSHAP]")
    assert missing.is_disabled()
    assert "not installed" in missing.inner_text()
    menu.select_option("DeepLift")
    notebook.wait_for_python("explorer.wait(1) and 'completeness gap' in explorer.status")
