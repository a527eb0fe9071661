"""The knob shows what `intervene` finds, while it is dragged; edits are listed, undone, and written as code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import interp_widgets as iw
from interp_widgets.inspectors.intervention import Edit, intervene
from interp_widgets.session.session import Session
from interp_widgets.widgets.views import intervention as view_module
from interp_widgets.widgets.views.intervention import InterventionView
from tests.widgets.models import WORKER, Autoencoder, cnn, images, mlp

NAMES = ("ant", "bee", "cat", "dog", "eel")


@pytest.fixture
def session() -> Iterator[Session]:
    torch.manual_seed(0)
    with Session(cnn(), images(2), class_names=NAMES, layer="2", channel=3) as made:
        yield made


@pytest.fixture
def view(session: Session) -> Iterator[InterventionView]:
    made = InterventionView(session)
    assert made.wait(60)
    yield made
    made.close()


def _drag(view: InterventionView, *factors: float) -> None:
    for factor in factors:
        view.slider.set_state({"value": factor})
    assert view.wait(60)


def _after(view: InterventionView) -> dict[str, str]:
    return {row["cells"][0]: row["cells"][2] for row in view.answers.rows}


def test_the_classes_follow_the_knob(view: InterventionView, session: Session) -> None:
    recorded = session.ready().probabilities[0]
    assert _after(view) == {name: f"{recorded[place]:.1%}" for place, name in enumerate(NAMES)}
    _drag(view, 0.4, 1.7, 3.0)
    found = intervene(session.ready(), Edit("2", 3, factor=3))
    assert view.edits == found.edits
    assert _after(view) == {name: f"{found.probabilities[0, place]:.1%}" for place, name in enumerate(NAMES)}
    for row in view.answers.rows:
        place = NAMES.index(row["cells"][0])
        assert row["cells"][1] == f"{recorded[place]:.1%}"
        assert row["keys"][3] == pytest.approx(float(found.change[0, place]), abs=1e-7)


def test_the_likeliest_classes_before_and_after_and_the_target_are_listed() -> None:
    torch.manual_seed(0)
    with Session(cnn(classes=12), images(1)) as session:
        least = int(session.ready().probabilities[0].argmin())
        session.target = least
        view = InterventionView(session)
        assert view.wait(60)
        likeliest = session.ready().probabilities[0].argsort(descending=True)[:5].tolist()
        assert [row["cells"][0] for row in view.answers.rows] == [f"class {place}" for place in (*likeliest, least)]
        view.close()


def test_each_channel_has_its_own_knob_and_the_edits_stack(view: InterventionView, session: Session) -> None:
    _drag(view, 0.5)
    session.channel = 4
    assert view.slider.value == 1.0
    view.kind.set_state({"value": "mean"})
    assert view.wait(60)
    assert view.slider.layout.display == "none"
    expected = (Edit("2", 3, factor=0.5), Edit("2", 4, "mean"))
    assert view.edits == expected
    assert [row["cells"] for row in view.listed.rows] == [["2", "3", "times 0.5"], ["2", "4", "its mean"]]
    found = intervene(session.ready(), expected).probabilities[0]
    assert _after(view)["cat"] == f"{found[2]:.1%}"
    view.listed.set_state({"selected": view.listed.rows[0]["path"]})
    assert session.channel == 3
    assert view.slider.value == 0.5
    assert view.slider.layout.display == ""
    _drag(view, 1.0)
    assert view.edits == expected[1:]


def test_undo_takes_back_a_whole_drag_remove_one_edit_and_clear_all(view: InterventionView, session: Session) -> None:
    assert (view.undo.disabled, view.remove.disabled, view.clear.disabled) == (True, True, True)
    before = _after(view)
    _drag(view, 0.5, 0.2, 0.0)
    session.channel = 4
    assert view.remove.disabled
    _drag(view, 2.0)
    view.clear.click()
    assert view.wait(60)
    assert (view.edits, _after(view)) == ((), before)
    view.undo.click()
    assert view.edits == (Edit("2", 3, factor=0.0), Edit("2", 4, factor=2.0))
    view.remove.click()
    assert view.edits == (Edit("2", 3, factor=0.0),)
    view.undo.click()
    view.undo.click()
    assert view.edits == (Edit("2", 3, factor=0.0),)
    view.undo.click()
    assert view.wait(60)
    assert (view.edits, _after(view)) == ((), before)
    assert view.undo.disabled


def test_the_code_does_the_same(view: InterventionView, session: Session) -> None:
    _drag(view, 0.25)
    view.show_code.click()
    assert view.wait(60)
    assert "iw.Edit(layer=&#x27;2&#x27;, channel=3, factor=0.25)" in view.source.value
    code = session.code_of_edits(view.edits)
    variables: dict[str, Any] = {"model": session.model, "inputs": images(2)}
    exec(code, variables)  # noqa: S102 - it is what is tested
    expected = intervene(session.ready(), view.edits).probabilities[0]
    assert torch.equal(variables["found"].probabilities[0], expected)
    view.show_code.click()
    assert view.source.value == ""


def test_another_input_is_asked_with_the_same_edits(view: InterventionView, session: Session) -> None:
    _drag(view, 3.0)
    session.example = 1
    assert view.wait(60)
    found = intervene(session.ready(), Edit("2", 3, factor=3)).probabilities[0]
    assert _after(view) == {name: f"{found[place]:.1%}" for place, name in enumerate(NAMES)}


def test_what_cannot_be_done_is_said_and_changes_nothing() -> None:
    with Session(mlp(), torch.rand(1, 4), layer="0", channel=1) as session:
        view = InterventionView(session)
        view.kind.set_state({"value": "mean"})
        assert view.wait(60)
        assert "no positions to take a mean over" in view.error
        assert (view.edits, view.kind.value) == ((), "scale")
        _drag(view, 2.0)
        assert view.error == ""
        view.close()


def test_a_target_that_is_no_class_comes_first() -> None:
    target = iw.SiteScore("decoder", channel=1)
    with Session(Autoencoder().eval(), images(1), target=target, layer="encoder", channel=2) as session:
        view = InterventionView(session)
        _drag(view, 0.0)
        row = view.answers.rows[0]
        assert row["cells"][0] == session.name_of_target()
        found = intervene(session.ready(), Edit("encoder", 2, factor=0.0))
        assert row["keys"][1:3] == [float(session.ready().score(target)), float(found.score(target))]
        view.close()


def test_the_model_is_asked_on_the_worker_and_only_for_the_newest_factor(
    view: InterventionView, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, float]] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(trace: iw.Trace, edits: Any) -> Any:
        asked.append((threading.current_thread().name, edits[0].factor))
        begun.set()
        assert go_on.wait(30)
        return intervene(trace, edits)

    monkeypatch.setattr(view_module, "intervene", slow)
    view.slider.set_state({"value": 0.1})
    assert begun.wait(30)
    for factor in (0.2, 0.3, 0.4):
        view.slider.set_state({"value": factor})
    go_on.set()
    assert view.wait(60)
    assert asked == [(WORKER, 0.1), (WORKER, 0.4)]
    assert view.drawn.edits[0].factor == 0.4
    assert view.slider.value == 0.4
