"""The activation view shows `activations` of the session's trace; profile and table choose the layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from interp_widgets.inspectors.activations import ActivationReport, activations
from interp_widgets.session.session import Session
from interp_widgets.trace import Trace
from interp_widgets.widgets.views import activations as view_module
from interp_widgets.widgets.views.activations import ActivationView
from tests.widgets.models import Detector, cnn, images


class Twice(nn.Module):
    """One ReLU that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(4, 4), nn.Linear(4, 3), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.relu(self.second(self.relu(self.first(x))))
        return made


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(cnn(), images(2)) as made:
        yield made


def _made(session: Session) -> ActivationView:
    view = ActivationView(session)
    assert view.wait(60)
    return view


def test_its_boxes_are_quantiles_of_the_recorded_values(session: Session) -> None:
    view = _made(session)
    trace = session.ready()
    assert view.profile.names == trace.layers
    for name, box, mean in zip(view.profile.names, view.profile.boxes, view.profile.means, strict=True):
        values = trace.activation(name).double().numpy()
        expected = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
        np.testing.assert_allclose(box, expected, rtol=1e-6, atol=1e-9)  # the sample is kept in single precision
        assert mean == pytest.approx(values.mean(), rel=1e-6)
    assert view.profile.norms == []
    view.close()


def test_its_rows_and_notes_are_those_of_the_report_and_numbers_are_sorted_as_numbers(session: Session) -> None:
    view, expected = _made(session), activations(session.ready())
    assert view.table.notes == list(expected.notes())
    columns = expected.columns()
    place = [column.title for column in columns].index("std")
    for row, data in zip(view.table.rows, expected.rows, strict=True):
        assert row["path"] == data.layer
        assert row["cells"] == [column.text(data) for column in columns]
        assert row["keys"][place] == data.std
    view.close()


def test_a_box_and_a_row_choose_the_layer_and_the_layer_both(session: Session) -> None:
    view = _made(session)
    view.profile.set_state({"selected": "1"})
    assert session.layer == view.table.selected == "1"
    view.table.set_state({"selected": "3"})
    assert session.layer == view.profile.selected == "3"
    session.layer = "0"
    assert view.profile.selected == view.table.selected == "0"
    view.profile.set_state({"selected": "nowhere"})
    assert session.layer == view.profile.selected == "0"
    view.close()


def test_each_call_of_a_module_has_a_box_and_the_last_one_is_the_layer() -> None:
    with Session(Twice().eval(), torch.rand(1, 4)) as session:
        view = _made(session)
        assert view.profile.names == ["first", "relu:0", "second", "relu:1"]
        session.layer = "relu"
        assert view.profile.selected == "relu:1"
        view.profile.set_state({"selected": "relu:0"})
        assert session.layer == "relu:0"
        view.profile.set_state({"selected": "relu:1"})
        assert session.layer == "relu"
        assert view.error == ""
        view.close()


def test_gradients_are_measured_on_demand_for_the_target_on_the_worker(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = _made(session)
    asked: list[object] = []

    def noting(trace: Trace, *, target: object) -> ActivationReport:
        asked.append(target)
        return activations(trace, target=target)  # type: ignore[arg-type]  # what the session's target is

    monkeypatch.setattr(view_module, "activations", noting)
    session.target = 2
    assert view.wait(60)
    assert asked == []  # boxes do not depend on it
    view.gradients.set_state({"value": True})
    assert view.wait(60)
    trace = session.ready()
    expected = [float(trace.gradient(name, 2).norm()) for name in view.profile.names]
    np.testing.assert_allclose(view.profile.norms, expected, rtol=1e-5)  # sums of squares in double precision
    session.target = 3
    assert view.wait(60)
    assert len(asked) == 2
    assert view.profile.norms[0] == pytest.approx(float(trace.gradient(view.profile.names[0], 3).norm()), rel=1e-5)
    view.gradients.set_state({"value": False})
    assert view.wait(60)
    assert view.profile.norms == []
    view.close()


def test_without_a_target_there_are_no_gradients_and_it_says_so() -> None:
    with Session(Detector().eval(), images(1)) as session:
        assert session.target is None
        view = _made(session)
        view.gradients.set_state({"value": True})
        assert view.wait(60)
        assert view.error == ""
        assert view.table.notes[0] == "there is no target to measure gradients of"
        assert view.profile.norms == []
        view.gradients.set_state({"value": False})
        assert view.wait(60)
        assert "there is no target to measure gradients of" not in view.table.notes
        view.close()


def test_an_activation_function_is_drawn_over_its_inputs_and_another_layer_hides_it(session: Session) -> None:
    view = _made(session)
    session.layer = "3"
    assert view.wait(60)
    assert view.curve.layout.display == ""
    assert view.curve.label == "relu in 3, over its inputs"
    inputs = session.ready().activation("2")
    assert sum(view.curve.counts) == inputs.numel()
    assert (view.curve.edges[0], view.curve.edges[-1]) == (float(inputs.min()), float(inputs.max()))
    np.testing.assert_array_equal(view.curve.y, np.maximum(view.curve.x, 0))
    session.layer = "2"
    assert view.wait(60)
    assert view.curve.layout.display == "none"
    view.close()


def test_a_layer_without_a_finite_value_has_an_empty_box() -> None:
    class Lost(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float("nan")

    model = nn.Sequential(nn.Linear(4, 3), Lost()).eval()
    with Session(model, torch.rand(1, 4), target=None, explainer="EigenCAM") as session:
        view = _made(session)
        assert view.profile.boxes[1] == []
        assert view.profile.means[1] is None
        assert len(view.profile.boxes[0]) == 5
        view.close()
