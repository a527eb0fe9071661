"""The knob in JupyterLab: a drag of the slider moves the probabilities, Undo puts them back."""

from __future__ import annotations

from tests.browser.harness import Lab

SETUP = """
import torch
torch.set_num_threads(1)
import interp_widgets as iw
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                            torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
with torch.no_grad():
    model[0].bias.fill_(1.0)
    model[4].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [-1.0, 0, 0, 0]]))
session = iw.Session(model, torch.rand(1, 3, 16, 16), class_names=["ant", "bee", "cat"], layer="1", channel=0)
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
    bias = "model[4].bias.softmax(0)"  # what is left where the only channel that counts is silent
    shown = notebook.execute(f"print(*(f'{{share:.1%}}' for share in {bias}.tolist()))").split()
    notebook.wait(f"shown => shown.every(share => {CELLS}.join().includes(share))", shown)
    notebook.page.get_by_role("button", name="Code").click()
    notebook.wait("document.body.innerText.includes('found = iw.intervene(trace, edits)')")
    notebook.screenshot("intervention")
    notebook.page.get_by_role("button", name="Undo").click()
    notebook.wait(f"before => JSON.stringify({CELLS}) === JSON.stringify(before)", before)
    assert notebook.execute("(view.edits, view.slider.value)") == "((), 1.0)"
