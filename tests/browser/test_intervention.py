"""The knob in JupyterLab: a drag of the slider moves the probabilities, Undo puts them back."""

from __future__ import annotations

from tests.browser.harness import Lab

SETUP = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
entry = iw.zoo.load("scenes")
session = iw.Session(entry.model, [example.image for example in entry.examples], preprocess=entry.preprocess,
                     class_names=entry.class_names)
with session.steady():
    trace = session.ready()
    change = [float(iw.intervene(trace, iw.Edit(session.layer, number, factor=0)).change[0].abs().max())
              for number in range(trace.channels(session.layer))]
session.channel = max(range(len(change)), key=change.__getitem__)
view = iw.InterventionView(session)
view.add_class("iw-explorer")
view
"""
CELLS = "[...document.querySelectorAll('.iw-table')[0].querySelectorAll('[role=row]')].map(row => row.innerText)"


def test_dragging_the_knob_moves_the_probabilities_and_undo_puts_them_back(lab: Lab) -> None:
    notebook = lab.open([SETUP], viewport=(1280, 900))
    notebook.run_all()
    knob = notebook.page.get_by_role("slider", name="factor")
    knob.wait_for()
    notebook.wait(f"{CELLS}.length > 3")
    before = notebook.page.evaluate(CELLS)
    box = knob.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    notebook.page.mouse.move(box["x"] + box["width"] / 3, middle)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + 1, middle, steps=8)
    notebook.page.mouse.up()
    notebook.wait_for_python("[edit.factor for edit in view.edits] == [0.0] and view.wait(1)")
    notebook.wait(f"before => JSON.stringify({CELLS}) !== JSON.stringify(before)", before)
    shown = notebook.execute("print([row['cells'][2] for row in view.answers.rows][0])")
    notebook.wait(f"shown => {CELLS}.join().includes(shown)", shown)
    notebook.page.get_by_role("button", name="Code").click()
    notebook.wait("document.body.innerText.includes('found = iw.intervene(trace, edits)')")
    notebook.screenshot("intervention")
    notebook.page.get_by_role("button", name="Undo").click()
    notebook.wait(f"before => JSON.stringify({CELLS}) === JSON.stringify(before)", before)
    assert notebook.execute("(view.edits, view.slider.value)") == "((), 1.0)"
