"""The weight view shows `weights` of the session's model, its rows choose the layer, the layer its filters."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from interp_widgets.inspectors.weights import WeightReport, weights
from interp_widgets.session.session import Session
from interp_widgets.widgets.views import weights as view_module
from interp_widgets.widgets.views.weights import WeightView
from tests.widgets.models import HOSTILE, WORKER, TokenModel, cnn, images


@pytest.fixture
def model() -> nn.Sequential:
    made = cnn()
    with torch.no_grad():
        made[0].weight[:3] = 0  # 3 of 8 filters are dead
    return made


@pytest.fixture
def session(model: nn.Module) -> Iterator[Session]:
    with Session(model, images(2), layer="0") as made:
        yield made


def _made(session: Session) -> WeightView:
    view = WeightView(session)
    assert view.wait(60)
    return view


def _base(view: WeightView) -> np.ndarray:
    width, height = view.picture.base_size
    return np.frombuffer(view.picture.base, np.uint8).reshape(height, width, 3)


def test_its_cells_are_those_of_the_report_and_its_keys_the_numbers_behind_them(
    session: Session, model: nn.Module
) -> None:
    view, expected = _made(session), weights(model)
    columns = expected.columns()
    assert [column["title"] for column in view.table.columns] == [column.title for column in columns]
    assert [row["path"] for row in view.table.rows] == [name for name, _ in model.named_parameters()]
    for row, data in zip(view.table.rows, expected.rows, strict=True):
        assert row["cells"] == [column.text(data) for column in columns]
    places = {column.title: place for place, column in enumerate(columns)}
    first, matrix = view.table.rows[0], model.get_parameter("0.weight").detach()
    assert first["keys"][places["values"]] == 8 * 3 * 3 * 3
    assert first["keys"][places["norm"]] == pytest.approx(float(matrix.norm()))
    assert first["keys"][places["spectral norm"]] == pytest.approx(
        float(torch.linalg.matrix_norm(matrix.flatten(1), 2))
    )
    assert first["keys"][places["zeros"]] == pytest.approx(3 / 8)
    assert first["keys"][places["dead"]] == 3
    assert view.table.rows[1]["keys"][places["rank"]] is None  # a bias has none
    assert view.table.notes == list(expected.notes())
    view.close()


def test_a_row_chooses_the_layer_and_the_layer_the_row(session: Session) -> None:
    view = _made(session)
    assert view.table.selected == "0.weight"
    view.table.set_state({"selected": "6.bias"})
    assert view.wait(60)
    assert (session.layer, view.table.selected) == ("6", "6.bias")
    session.layer = "2"
    assert view.wait(60)
    assert view.table.selected == "2.weight"
    view.close()


def test_the_first_layer_is_shown_in_its_colours(session: Session, model: nn.Module) -> None:
    view = _made(session)
    expected = weights(model).filters("0").pixels(width=view_module.WIDTH)
    drawn = expected[..., 3] > 0
    assert drawn.mean() > 0.5
    assert (_base(view)[drawn] == expected[drawn][:, :3]).all()
    assert (_base(view)[~drawn] == 255).all()
    assert view.picture.view == "base"
    assert "0.weight: red, green and blue; 8 of 3\N{MULTIPLICATION SIGN}3; values from" in view.picture.alt
    assert "0.weight: 3 of 8 filters are dead" in view.remarks.value
    view.close()


def test_a_bias_and_a_layer_without_weights_say_why_there_is_no_picture(session: Session) -> None:
    view = _made(session)
    session.layer = "1"
    assert view.wait(60)
    assert view.picture.layout.display == "none"
    assert "1 has no weights" in view.remarks.value
    assert view.table.selected == ""
    view.table.set_state({"selected": "0.bias"})
    assert view.wait(60)
    assert "0.bias has no filters: its shape is (8,)" in view.remarks.value
    assert view.error == ""
    view.close()


def test_of_a_block_the_first_weight_in_it_is_shown_and_no_row_is_marked() -> None:
    model = nn.Sequential(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3)), nn.ReLU()).eval()
    with Session(model, torch.rand(1, 4), layer="0") as session:
        view = _made(session)
        assert view.table.selected == ""
        assert view.picture.alt.startswith("0.1.weight: a row for each output")
        assert "the first weight in 0, which has none of its own" in view.remarks.value
        view.table.set_state({"selected": "0.1.weight"})
        assert session.layer == "0.1"
        view.close()


def test_a_parameter_of_no_layer_can_be_looked_at_and_the_layer_stays() -> None:
    with Session(TokenModel().eval(), torch.arange(6)[None], layer="head") as session:
        view = _made(session)
        view.table.set_state({"selected": "block.self_attn.in_proj_weight"})
        assert view.wait(60)
        assert view.table.selected == "block.self_attn.in_proj_weight"
        assert view.picture.alt.startswith("block.self_attn.in_proj_weight: a row")
        owner = "block.self_attn"
        assert session.layer == (owner if owner in session.ready().layers else "head")
        view.table.set_state({"selected": "nowhere"})
        assert view.table.selected == "block.self_attn.in_proj_weight"
        view.close()


def test_tied_weights_are_one_row_that_chooses_the_layer_which_ran() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Linear(4, 4, bias=False)
            self.used = nn.Linear(4, 4, bias=False)
            self.used.weight = self.spare.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x).relu()

    with Session(Tied().eval(), torch.rand(1, 4), layer="/relu") as session:
        view = _made(session)
        assert [row["cells"][0] for row in view.table.rows] == ["spare.weight = used.weight"]
        view.table.set_state({"selected": "spare.weight"})
        assert session.layer == "used"
        assert view.table.selected == "spare.weight"
        view.close()


def test_another_input_does_not_look_through_the_weights_again_but_changed_weights_do(
    session: Session, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def counting(source: nn.Module) -> WeightReport:
        seen.append(threading.current_thread().name)
        return weights(source)

    monkeypatch.setattr(view_module, "weights", counting)
    first, second = WeightView(session), WeightView(session)
    assert first.wait(60)
    session.example = 1
    assert first.wait(60)
    assert seen == [WORKER]
    assert first.table.rows == second.table.rows
    model.get_parameter("0.weight").data[3] = 0  # torch does not count this write
    session.example = 0
    assert first.wait(60)
    assert seen == [WORKER] * 2
    assert "0.weight: 4 of 8 filters are dead" in first.remarks.value
    model.get_parameter("0.weight").requires_grad_(False)
    session.example = 1
    assert first.wait(60)
    assert len(seen) == 3
    first.close()
    second.close()


def test_names_of_parameters_are_no_markup() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential()
            self.inner.add_module(HOSTILE.replace(".", ""), nn.Linear(4, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.inner(x)
            return made

    with Session(Named().eval(), torch.rand(1, 4), layer="inner") as session:
        view = _made(session)
        assert "<img" not in view.remarks.value
        assert "&lt;img" in view.remarks.value
        view.close()
