"""The attribution view: a layer by methods that could explain the input, and lists of values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.render.blend import enlarge

# The layer instead of the input


def test_a_method_on_the_input_can_be_asked_for_the_layer(explorer: iw.Explorer) -> None:
    explorer.session.explainer = "InputXGradient"
    assert explorer.wait()
    assert explorer.attribution.layer == "input"
    explorer._attribution.parameters.at_layer.value = True
    assert explorer.wait()
    assert explorer.session.at_layer
    assert explorer.attribution.layer == "layer3"
    explorer.session.layer = "layer1"
    assert explorer.wait()
    assert explorer.attribution.values.shape == (48, 48)
    assert explorer.controls["attribution"].resolution(explorer._attribution.drawn.row, explorer.session.target) == (
        48,
        48,
    )
    assert "at layer1" in explorer.status


def test_a_method_for_inputs_only_stays_there(explorer: iw.Explorer) -> None:
    explorer.session.at_layer = True
    explorer.session.explainer = iw.Occlusion(patch=0.5)
    assert explorer.wait()
    assert explorer.attribution.layer == "input"
    assert explorer._attribution.parameters.at_layer.layout.display == "none"


# How the map is shown


def test_the_colour_bar_says_what_its_numbers_are(explorer: iw.Explorer) -> None:
    picture = explorer.controls["attribution"]
    explorer.session.explainer = "DeepLift"  # its values add up to the change of the score
    assert explorer.wait()
    assert picture.units == "score"
    explorer.session.explainer = "GradCAM"
    assert explorer.wait()
    assert picture.units == "relevance"


def test_a_map_is_drawn_in_the_look_of_its_kind_from_exact_values(explorer: iw.Explorer) -> None:
    picture = explorer.controls["attribution"]
    for name in ("InputXGradient", "GradCAM", "Gradient"):
        explorer.session.explainer = name
        explorer.wait()
        found = explorer.attribution
        assert picture.look == explorer.controls["look"].look == found.look
        frame = picture._frames[picture.row, picture.column]
        np.testing.assert_array_equal(frame.values(), found.array)
        assert picture.note == found.display().note
        base = np.frombuffer(picture.base, np.uint8).reshape(*picture.base_size[::-1], 3)
        enlarged = enlarge(base, picture.as_array().shape[0] // base.shape[0])
        table = np.frombuffer(picture.table, np.uint8).reshape(256, 3)
        np.testing.assert_array_equal(picture.as_array(), found.display().over(enlarged, table))


def test_a_look_that_was_chosen_stays_with_maps_of_its_kind(explorer: iw.Explorer) -> None:
    picture, controls = explorer.controls["attribution"], explorer.controls["look"]
    explorer.session.explainer = "InputXGradient"
    explorer.wait()
    chosen = replace(controls.usual, percentile=90)
    for widget in (controls, picture):  # in the browser they are linked
        widget.set_state({"look": asdict(chosen)})
    assert "percentile 90" in picture.note
    explorer.session.explainer = "GradCAM"
    explorer.wait()
    assert picture.look == explorer.attribution.look
    explorer.session.explainer = "IntegratedGradients"
    explorer.wait()
    assert picture.look == controls.look == chosen


def test_a_still_says_how_the_map_is_shown(explorer: iw.Explorer) -> None:
    explorer.session.explainer = "InputXGradient"
    explorer.wait()
    note = explorer.controls["attribution"].note
    drawn: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("interp_widgets.widgets.explorer.snapshot_png", lambda *given: drawn.extend(given[3]) or b"")
        explorer.snapshot()
    assert drawn == [explorer.status, note]


# Methods that cannot work here


def test_the_menu_greys_what_cannot_explain_this_and_says_why(explorer: iw.Explorer) -> None:
    menu = explorer.controls["method"]
    assert menu.unavailable == {}
    explorer.session.target = iw.Contrast(0, 1)
    assert menu.unavailable == {"FinerCAM": "needs a class"}
    explorer.session.target = 0
    assert menu.unavailable == {}


# Lists of values


@pytest.fixture
def table() -> Iterator[iw.Explorer]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    names = ["age", "<b>mass</b>", "height", "dose", "rate"]
    with iw.explore(model, torch.randn(1, 5), explainer="KernelSHAP", feature_names=names) as found:
        found.wait()
        yield found


def test_a_list_of_values_is_shown_as_bars_by_feature_name_and_said_to_add_up(table: iw.Explorer) -> None:
    found = table.attribution
    assert found.names == ("age", "<b>mass</b>", "height", "dose", "rate")
    order = found.values.abs().argsort(descending=True).tolist()
    given = table.session.inputs[0][0].tolist()
    assert table._attribution.bars.names == [f"{found.names[i]} = {given[i]:.6g}" for i in order]
    assert found.change is not None
    assert float(found.values.sum()) == pytest.approx(found.change, abs=1e-5)
    assert found.additivity in table.status
    assert f"at {found.names[int(found.values.argmax())]}" in found.describe()


def test_the_figure_of_a_list_is_a_bar_chart(table: iw.Explorer) -> None:
    (panel,) = table.attribution.figure().axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert set(labels) == set(table.attribution.feature_labels)
    assert [bar.get_width() for bar in panel.patches] == sorted(
        table.attribution.values.tolist(), key=abs, reverse=True
    )
    assert "values add up to" in table.attribution.figure().get_suptitle()
