"""The summary table shows `summary` of the session's trace, and its rows choose the layer."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from interp_widgets.inspectors.summary import Summary, summary
from interp_widgets.session.session import Session
from interp_widgets.trace import Trace
from interp_widgets.widgets.views import summary as view_module
from interp_widgets.widgets.views.per_trace import PerTrace
from interp_widgets.widgets.views.summary import SummaryTable
from tests.widgets.models import WORKER, Gate, Residual, TokenModel, cnn, images


class Lists(nn.Module):
    """A list of blocks that is not called itself, a module that returns no tensor, and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 2)])
        self.count = Count()
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x * self.count(x)


class Count(nn.Module):
    def forward(self, x: torch.Tensor) -> int:
        return x.shape[1]


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(Residual().eval(), images(2)) as made:
        yield made


def _made(session: Session) -> SummaryTable:
    view = SummaryTable(session)
    assert view.wait(60)
    return view


def test_its_cells_are_those_of_the_summary_and_its_keys_the_numbers_behind_them(session: Session) -> None:
    view, expected = _made(session), summary(session.ready())
    assert [column["title"] for column in view.table.columns] == [column.title for column in expected.columns()]
    assert view.table.notes == list(expected.notes())
    places = {title: place for place, title in enumerate(column.title for column in expected.columns())}
    for row, data in zip(view.table.rows, expected.rows, strict=True):
        assert row["path"] == data.path
        assert row["cells"][0] == (data.path.rpartition(".")[2] or "Residual")
        assert row["cells"][1:] == [column.text(data) for column in expected.columns()][1:]
        parent = view.table.rows[row["parent"]]["path"] if row["parent"] >= 0 else None
        assert parent == (data.path.rpartition(".")[0] if data.path else None)
        assert row["keys"][places["parameters"]] == (data.parameters or None)
        assert row["keys"][places["FLOPs"]] == (data.flops or None)
        assert row["keys"][places["memory"]] == (data.nbytes or None)
    stem = next(row for row in view.table.rows if row["path"] == "stem.0")
    assert stem["keys"][places["parameters"]] == 3 * 8 * 3 * 3 + 8
    assert stem["keys"][places["input"]] == 3 * 32 * 32
    assert stem["keys"][places["output"]] == 8 * 16 * 16
    assert stem["keys"][places["FLOPs"]] == 2 * 3 * 3 * 3 * 8 * 16 * 16
    view.close()


def test_a_row_chooses_the_layer_and_the_layer_the_row(session: Session) -> None:
    view = _made(session)
    view.table.set_state({"selected": "stem.0"})
    assert session.layer == "stem.0"
    session.layer = "stage2"
    assert view.table.selected == "stage2"
    view.close()


def test_rows_that_can_be_chosen_are_the_layers_of_the_trace_and_the_others_say_why() -> None:
    for model, inputs in ((Residual(), images(1)), (cnn(), images(1)), (TokenModel(), torch.arange(6)[None])):
        with Session(model.eval(), inputs) as session:
            view = _made(session)
            assert {row["path"] for row in view.table.rows if not row["reason"]} == set(session.ready().layers)
            view.close()
    with Session(Lists().eval(), torch.rand(1, 4)) as session:
        view = _made(session)
        assert {row["path"]: row["reason"].partition(",")[0] for row in view.table.rows} == {
            "": "the model as a whole is no layer: choose a module in it",
            "blocks": "blocks was not called itself",
            "blocks.0": "",
            "blocks.1": "",
            "count": "count returned no tensor",
            "unused": "unused was not called itself",
        }
        before = session.layer
        for path in ("", "blocks", "count", "unused", "nowhere"):
            view.table.set_state({"selected": path})
            assert session.layer == view.table.selected == before
            assert view.error == ""
        view.close()


def test_a_site_that_is_no_module_is_no_row(session: Session) -> None:
    view = _made(session)
    session.layer = "/add"
    assert view.error == ""
    assert view.table.selected not in [row["path"] for row in view.table.rows]
    view.close()


def test_it_is_counted_once_for_a_pass_on_the_worker_and_the_model_does_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[str] = []
    gate = Gate()
    gate.shut()

    def counting(trace: Trace) -> Summary:
        gate.passing()
        counted.append(threading.current_thread().name)
        return summary(trace)

    monkeypatch.setattr(view_module, "SUMMARIES", PerTrace(counting))
    runs: list[str] = []
    model = Residual().eval()
    model.register_forward_pre_hook(lambda _module, _inputs: runs.append("once"))
    with Session(model, images(2)) as session:
        first, second = SummaryTable(session), SummaryTable(session)  # both ask before there is an answer
        assert "being counted" in first.alt
        session.layer = "stem"
        gate.open()
        assert first.wait(60)
        assert counted == [WORKER]
        assert runs == ["once"]
        assert first.table.rows == second.table.rows
        first.close()
        second.close()


def test_another_pass_is_another_table_and_the_old_one_is_freed(session: Session) -> None:
    view = _made(session)
    old = weakref.ref(session.ready())
    session.example = 1
    assert view.wait(60)
    assert view.drawn.summary is view_module.SUMMARIES.known(session.ready())
    gc.collect()
    assert old() is None
    view.close()


@pytest.mark.parametrize(("blocks", "depth"), [(3, 2), (30, 1)])
def test_as_many_levels_are_open_at_first_as_are_seen_at_once(blocks: int, depth: int) -> None:
    inner = [nn.Sequential(nn.Linear(2, 2)) for _ in range(blocks)]
    with Session(nn.Sequential(*inner).eval(), torch.rand(1, 2)) as session:  # 1 + blocks + blocks rows
        view = _made(session)
        assert view.table.depth == depth
        view.close()


def test_what_a_hand_has_opened_stays_with_another_input(session: Session) -> None:
    view = _made(session)
    view.table.set_state({"depth": 0, "toggled": ["stem"], "sorted_by": 4})
    session.example = 1
    assert view.wait(60)
    assert (view.table.depth, view.table.toggled, view.table.sorted_by) == (0, ["stem"], 4)
    view.close()
