"""The most natural notebook: several widgets on one model, Run All."""

from __future__ import annotations

import json

from tests.browser.harness import Lab

SETUP = """
import torch
from torch import nn
import interp_widgets as iw
torch.set_num_threads(1)
torch.manual_seed(0)


def block(inputs, outputs, stride):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


model = nn.Sequential(
    block(3, 16, 1), block(16, 32, 2), block(32, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 8)
)
model(torch.rand(8, 3, 64, 64))  # statistics of its own
photos = [torch.rand(1, 3, 96, 96) for _ in range(4)]
photo = photos[1]
five = ["GradCAM", "LayerCAM", "InputXGradient", "IntegratedGradients", "Occlusion"]
"""
CELLS = [
    SETUP,
    "explorer = iw.explore(model, photos)\nexplorer",
    "comparison = iw.compare(model, photo, methods=five)\ncomparison",
    "other = iw.explore(model, photos[2:], explainer='SmoothGrad')\nother",
]
# Every picture that stands on the page shows a map, or none of its maps is on its way.
DRAWN = """count => {
    const all = [...document.querySelectorAll('.iw-stage canvas')].filter(each => each.checkVisibility());
    return all.length === count && all.every(each => each.dataset.shown && !each.closest('.iw-stale, .iw-working'));
}"""
PICTURES = 2 + (5 + 2) + 2


def test_three_widgets_on_one_model_show_every_map(lab: Lab) -> None:
    notebook = lab.open(CELLS, viewport=(1280, 2400))
    notebook.run_all()
    for name in ("explorer", "comparison", "other"):
        notebook.wait_for_python(f"{name}.wait(1)", seconds=120)
    errors = json.loads(
        notebook.execute("import json; print(json.dumps([explorer.error, comparison.error, other.error]))")
    )
    assert errors == ["", "", ""]
    assert notebook.execute("sum(each is not None for each in comparison.attributions)") == "5"
    notebook.wait(DRAWN, PICTURES)
    words = notebook.page.locator("body").inner_text()
    assert "has changed since the recording" not in words
    assert "no map" not in words
    assert notebook.execute("[explorer.session.recordings, other.session.recordings]") == "[1, 1]"
    notebook.page.locator(".iw-classes [role=option]").nth(2).click()
    notebook.wait_for_python("explorer.wait(1) and not explorer.session.follow")
    notebook.wait(DRAWN, PICTURES)
    notebook.screenshot("one-model")
