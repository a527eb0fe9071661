"""``compare`` in JupyterLab: every map is there, one cursor reads them all, and the keyboard is enough."""

from __future__ import annotations

from tests.browser.frozen import frozen
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
    said = table.locator("caption").inner_text()
    cells = notebook.execute("'{} by {} cells'.format(*comparison.disagreement.shape)").strip("'")
    assert said == f"rank correlation of each two maps: evidence for the target, mean of each of {cells}"
    notebook.page.locator(".iw-explorer").first.screenshot(path=SCREENSHOTS / "compare.png")

    scale = notebook.page.locator(".iw-explorer select").first
    scale.focus()
    notebook.page.keyboard.press("ArrowDown")
    notebook.wait_for_python("comparison.scale.value == 'one' and comparison.views[0].picture.look.limit is not None")


FAULTY = """
import threading
from dataclasses import dataclass
import torch
import interp_widgets as iw
from interp_widgets.explainers.estimate import Estimate
gate = threading.Event()

@dataclass(frozen=True)
class Held(iw.Gradient):
    title, refines = "Held", True
    def estimates(self, question):
        assert gate.wait(60)
        yield Estimate(torch.linspace(-1, 1, 96 * 96).reshape(96, 96))

@dataclass(frozen=True)
class Faulty(iw.Gradient):
    title = "Faulty"
    def estimates(self, question):
        raise ValueError("<b>this method</b> was written for pictures of stars, " + "and not for scenes " * 5)

comparison = iw.compare("scenes", methods=[Faulty(), "GradCAM", "InputXGradient", Held(), "SmoothGrad"])
comparison
"""
CELLS = ".iw-compare-maps > *"
NOTES = "[...document.querySelectorAll('.iw-compare-maps .iw-note')].map(note => note.textContent)"


def test_each_cell_says_what_is_computed_what_waits_and_what_failed(lab: Lab) -> None:
    notebook = lab.open([FAULTY], viewport=(1280, 1100))
    notebook.run_all()
    page = notebook.page
    heading = page.locator(".iw-explorer .widget-label").first
    heading.wait_for()
    assert (heading.text_content() or "").startswith("scenes · ")
    signs = page.locator(f"{CELLS} .iw-busy")
    notebook.wait(
        """() => [...document.querySelectorAll('.iw-compare-maps .iw-busy')].map(
            sign => sign.checkVisibility({ visibilityProperty: true }) ? sign.textContent : '').join('|')
            === '|||computing Held…|SmoothGrad waits for its turn'"""
    )
    held = page.locator(f"{CELLS} canvas[role=img][aria-busy=true]").first
    assert held.get_attribute("aria-label") == signs.nth(3).text_content() == "computing Held…"
    assert page.locator(".iw-explorer [role=status]").last.text_content() == "computing Held…"
    reason = page.locator(f"{CELLS} .iw-reason")
    assert reason.count() == 1
    assert "<b>this method</b> was written for pictures of stars" in reason.inner_text()
    told, cell = reason.bounding_box(), page.locator(CELLS).first.bounding_box()
    assert told
    assert cell
    assert told["height"] > 3 * 16  # several lines, within the cell
    assert cell["x"] <= told["x"]
    assert told["x"] + told["width"] <= cell["x"] + cell["width"] + 1  # rounded
    assert told["y"] + told["height"] <= cell["y"] + cell["height"] + 1
    notebook.execute("gate.set()")
    notebook.wait_for_python("comparison.wait(1)", seconds=60)
    notebook.wait("document.querySelector('.iw-explorer').textContent.includes('no map of Faulty')")
    assert not signs.filter(visible=True).count()


def test_the_cells_share_the_width_and_one_look_moves_all_without_the_kernel(lab: Lab) -> None:
    notebook = lab.open([CELL], viewport=(1280, 1100))
    notebook.run_all()
    notebook.wait_for_python("comparison.wait(1)", seconds=60)
    notebook.wait(DRAWN, 5)
    page = notebook.page
    boxes = [each.bounding_box() for each in page.locator(CELLS).all()]
    whole = page.locator(".iw-compare-maps").bounding_box()
    assert whole
    assert {box["width"] for box in boxes if box} == {boxes[0]["width"] if boxes[0] else 0}
    columns = int((whole["width"] + 12) // (180 + 12))
    assert abs(columns * (boxes[0]["width"] if boxes[0] else 0) + 12 * (columns - 1) - whole["width"]) < 1  # rounded
    page.locator(".iw-look summary").click()
    with frozen(notebook):
        page.get_by_label("percentile", exact=True).fill("90")
        notebook.wait(f"{NOTES}.length === 3 && {NOTES}.every(note => note.includes('percentile 90'))")
        page.get_by_label("opacity by strength", exact=True).uncheck()
        page.get_by_label("up to", exact=True).select_option("value")
        notebook.wait(f"{NOTES}.every(note => note.startsWith('shown up to ') && !note.includes('percentile'))")
    notebook.wait_for_python("comparison.scale.value == 'one' and all(each.signed for each in pictures[:3])")
    looks = "{each.look for each in pictures[:3]} == {comparison.look.look}"
    notebook.wait_for_python(f"{looks} and not comparison.look.look.by_strength")


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
    needy = menu.locator("option[value=FinerCAM]")
    assert needy.is_enabled()
    notebook.execute("explorer.session.target = iw.Contrast(0, 1)")
    notebook.wait("document.querySelector('option[value=FinerCAM]').disabled")
    assert needy.inner_text() == "Finer-CAM (needs a class)"
    notebook.execute("explorer.session.explainer = 'FinerCAM'")  # from Python it can be chosen: then all of it is said
    notebook.wait("document.querySelector('.iw:has(> [aria-label=method])').title.includes('(needs a class)')")
    notebook.wait_for_python("'explains classes only' in explorer.status")
