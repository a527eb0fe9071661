"""The graph view shows `graph` of the session's trace, and its boxes choose the layer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from interp_widgets.errors import LayerError, ParameterError
from interp_widgets.inspectors.graph import graph
from interp_widgets.inspectors.nesting import Nesting
from interp_widgets.inspectors.outline import times
from interp_widgets.inspectors.summary import summary
from interp_widgets.render.colours import colour_table
from interp_widgets.session.session import Session
from interp_widgets.widgets.views.graph import ModelGraph
from tests.widgets.models import Residual, images


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(torch.relu(self.one(x.view(-1, 4))))


class Count(nn.Module):
    """Computes two tensors, and returns none."""

    def forward(self, x: torch.Tensor) -> float:
        return float((x.exp() + 1).detach().sum())


class Model(nn.Module):
    """A block that is used twice, one with a flatten beside it, and a part that returns no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.stage, self.count = Block(), nn.Sequential(Block(), nn.Flatten()), Count()
        self.head = nn.Sequential(nn.Linear(4, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stage(self.twice(self.twice(x)))) * self.count(x)


@pytest.fixture
def session() -> Iterator[Session]:
    torch.manual_seed(0)
    with Session(Model().eval(), torch.rand(1, 4)) as made:
        yield made


@pytest.fixture
def view(session: Session) -> Iterator[ModelGraph]:
    made = ModelGraph(session)
    assert made.wait(60)
    yield made
    assert made.error == ""
    made.close()


def _names(view: ModelGraph) -> list[str]:
    return [box["name"] for box in view.diagram.boxes]


def test_its_boxes_and_lines_are_those_of_the_picture(session: Session, view: ModelGraph) -> None:
    for opened in (None, [], ["stage"], list(graph(session.ready()).scopes)):
        view.opened = opened
        assert view.wait(60)
        expected = graph(session.ready()).diagram(opened)
        assert [tuple(box["sheets"][-1]) for box in view.diagram.boxes] == list(expected.layout.rectangles)
        assert [tuple(link) for link in view.diagram.links] == list(expected.lines)
        for route, points in zip(view.diagram.routes, expected.layout.routes, strict=True):
            assert route == [value for point in points for value in point]
        assert view.diagram.size == (expected.layout.width, expected.layout.height)


def test_a_box_chooses_the_layer_and_the_layer_the_box(session: Session, view: ModelGraph) -> None:
    view.opened = list(graph(session.ready()).scopes)
    assert view.wait(60)
    for name, layer in (
        ("twice.one:0", "twice.one:0"),
        ("twice:1", "twice"),
        ("stage.0.two", "stage.0.two"),
        ("head.0", "head.0"),
        ("stage.0/add", "stage.0/add"),
        ("input", "input"),
    ):
        view.diagram.set_state({"selected": name})
        assert view.wait(60)
        assert session.layer == layer
        assert view.diagram.selected == name
    session.layer = "stage.0.one"
    assert view.diagram.selected == "stage.0.one"
    view.opened = []
    assert view.wait(60)
    assert view.diagram.selected == "stage.0.one"  # the browser marks the closed scope that it is in
    assert "stage" in _names(view)


def test_a_layer_that_has_no_box_of_its_own_is_marked_where_it_is(session: Session, view: ModelGraph) -> None:
    for layer, entry in (("stage.1", "stage"), ("stage.0/view", "stage.0"), ("head", "head.0"), ("stage", "stage")):
        session.layer = layer
        assert view.wait(60)
        assert view.diagram.selected == entry


def test_what_is_no_layer_says_why_and_changes_nothing(session: Session, view: ModelGraph) -> None:
    reasons = {box["name"]: box["reason"] for box in view.diagram.boxes if box["reason"]}
    assert reasons == {
        "count": "count returned no tensor, so there is no output of it to look at",
        "output": "output is no layer: choose a box that it is computed from",
    }
    before = session.layer
    for name in (*reasons, "nowhere"):
        view.diagram.set_state({"selected": name})
        assert session.layer == before
        assert view.diagram.selected == view.drawn.facts.entry(before)


def test_every_box_that_says_nothing_can_be_chosen() -> None:
    with Session(Residual().eval(), images(1)) as session:
        view = ModelGraph(session, opened=list(graph(session.ready()).scopes))
        assert view.wait(60)
        for box in view.diagram.boxes:
            if not box["reason"]:
                view.diagram.set_state({"selected": box["name"]})
                assert view.wait(60)
                assert view.error == ""
                assert view.diagram.selected == box["name"]
        view.close()


def test_what_is_opened_by_hand_is_what_python_reads(view: ModelGraph) -> None:
    assert "stage.0" in view.diagram.opened  # few boxes: all is open
    view.diagram.set_state({"opened": ["stage"]})
    assert view.wait(60)
    assert view.opened == view.diagram.opened == ["stage"]
    assert "stage.0" in _names(view)
    assert "stage.0.one" not in _names(view)


def test_names_that_no_call_has_are_refused(session: Session, view: ModelGraph) -> None:
    with pytest.raises(LayerError, match="opened must hold names of module calls of this graph, got 'stag'"):
        view.opened = ["stag"]
    with pytest.raises(ParameterError, match="colour must be one of type, parameters, flops, time, memory, got 'heat'"):
        ModelGraph(session, colour="heat")
    assert view.opened is None


def test_colours_go_from_nothing_to_the_largest_figure_of_a_box_that_is_shown(session: Session) -> None:
    view = ModelGraph(session, opened=["stage"], colour="flops")
    assert view.wait(60)
    flops = {row.path: row.flops for row in summary(session.ready()).rows}
    table = ["#" + bytes(entry).hex() for entry in colour_table("viridis")]
    colours = dict(zip(_names(view), view.diagram.colours, strict=True))
    most = flops["twice"]  # of both its calls
    assert most == 2 * 2 * (2 * 4 * 4)
    assert colours["twice:0"] == colours["twice:1"] == table[255]
    assert colours["stage.0"] == table[round(255 * flops["stage.0"] / most)]
    assert colours["head.0"] == table[round(255 * (2 * 4 * 2) / most)]
    assert view.diagram.legend[0] == (table[0], "0")
    assert view.diagram.legend[4] == (table[255], f"{most}")
    assert view.diagram.legend[5][1] == "not measured by itself"
    assert view.diagram.solid
    view.opened = ["twice:0", "twice:1"]  # frames, which cost what is in them: no boxes to compare with
    assert view.wait(60)
    colours = dict(zip(_names(view), view.diagram.colours, strict=True))
    assert colours["stage"] == colours["twice.one:0"] == table[255]
    assert colours["twice:0"] not in table
    view.diagram.set_state({"measure": "type"})
    assert view.colour == "type"
    assert not view.diagram.solid
    view.close()


def test_its_card_has_the_costs_of_the_summary_and_the_statistics_of_the_values(
    session: Session, view: ModelGraph
) -> None:
    session.layer = "stage.0.one"
    assert view.wait(60)
    values = session.ready().activation("stage.0.one").double()
    card = dict(view.diagram.card)
    assert (card["layer"], card["type"], card["input"], card["output"]) == (
        "stage.0.one",
        "Linear",
        times((1, 4)),
        times((1, 4)),
    )
    assert (card["parameters"], card["FLOPs"]) == ("20", "32")
    assert card["mean"] == f"{values.mean():.3g}"
    assert card["standard deviation"] == f"{values.std(correction=0):.3g}"
    assert (card["smallest"], card["largest"]) == (f"{values.min():.3g}", f"{values.max():.3g}")
    assert card["zeros"] == "0.0%"
    session.layer = "stage.0/relu"
    assert view.wait(60)
    card = dict(view.diagram.card)
    assert card["zeros"] == f"{(session.ready().activation('stage.0/relu') == 0).double().mean():.1%}"
    assert card["type"] == "relu"


def test_entries_are_all_boxes_there_can_be(session: Session, view: ModelGraph) -> None:
    found = graph(session.ready())
    view.opened = list(found.scopes)
    assert view.wait(60)
    entries = Nesting(found.nodes, found.scopes).entries()
    assert [entry.name for entry in entries] == _names(view)
    assert [entry.parent for entry in entries] == [box["parent"] for box in view.diagram.boxes]
    assert len(set(_names(view))) == len(_names(view))
