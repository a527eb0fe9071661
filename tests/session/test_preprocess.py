"""`session.preprocess`: another one records the input again; one that cannot be changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import interp_widgets as iw
from interp_widgets.errors import ClosedError, InputError, ParameterError
from interp_widgets.inputs import Preprocess
from interp_widgets.session.session import Session
from interp_widgets.widgets.views import VIEWS
from tests.widgets.models import cnn, images

PICTURES = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)) for seed in range(3)
]
START = Preprocess(32, 0.0 * np.ones(3), np.ones(3))
SMALL = Preprocess(24)


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(cnn(), PICTURES, preprocess=START) as made:
        yield made


def given_to_the_model(session: Session) -> torch.Tensor:
    return session.ready().activation("input")


def state_of(session: Session) -> tuple[Any, ...]:
    return (
        *(getattr(session, name) for name in sorted(session.trait_names())),
        session.preparation(),
        session.recordings,
    )


def test_another_preprocess_records_the_input_anew_and_keeps_what_is_looked_at(session: Session) -> None:
    session.layer, session.channel, session.target = "0", 3, 2
    before = session.trace
    session.preprocess = SMALL
    assert before is not None
    assert before.closed
    assert given_to_the_model(session).equal(SMALL(PICTURES[0]))
    assert session.preparation() == "24 x 24, ImageNet mean"
    assert (session.layer, session.channel, session.target, session.recordings) == ("0", 3, 2, 2)
    assert session.attribution().values.shape == (24, 24)
    session.example = 2
    assert given_to_the_model(session).equal(SMALL(PICTURES[2]))
    session.preprocess = START
    assert given_to_the_model(session).equal(START(PICTURES[2]))


def test_the_same_preprocess_again_records_nothing(session: Session) -> None:
    session.preprocess = Preprocess(32, (0.0,) * 3, (1.0,) * 3)
    session.prepare(START)
    assert session.recordings == 1


def test_every_view_follows(session: Session) -> None:
    views = [view(session) for view in VIEWS.values()]
    session.preprocess = SMALL
    for view in views:
        assert view.wait(60)
    assert VIEWS["inputs"](session).drawn.preparation == "24 x 24, ImageNet mean"
    shown = [view.drawn for view in views if hasattr(view.drawn, "recording")]
    assert shown
    assert {state.recording for state in shown} == {2}
    for view in views:
        view.close()


def broken(_picture: Image.Image) -> torch.Tensor:
    raise ZeroDivisionError("no such colour")


def endless(_picture: Image.Image) -> torch.Tensor:
    return torch.full((1, 3, 32, 32), float("inf"))


def set_alone(session: Session, preprocess: Any) -> None:
    session.preprocess = preprocess


def set_with_the_input(session: Session, preprocess: Any) -> None:
    with session.hold_trait_notifications():
        session.example = 1
        session.preprocess = preprocess


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (3, ParameterError, "preprocess must be a Preprocess or a function of a PIL image, got 3"),
        (Preprocess, ParameterError, "got the class Preprocess"),
        (Preprocess(32, 0, 1), InputError, r"does not take its input prepared like this \(32 x 32, in 0\.\.1\): Runt"),
        (broken, InputError, r"\(prepared by broken\): ZeroDivisionError: no such colour"),
        (lambda _picture: None, InputError, "inputs must hold at least one tensor, got NoneType"),
        (endless, InputError, "a picture needs finite values, got 3072"),
    ],
)
@pytest.mark.parametrize("change", [set_alone, Session.prepare, set_with_the_input])
def test_an_unusable_one_changes_nothing(
    session: Session, wrong: Any, error: type[Exception], sentence: str, change: Callable[[Session, Any], None]
) -> None:
    before, changes = state_of(session), []
    session.observe(changes.append)
    with pytest.raises(error, match=sentence):
        change(session, wrong)
    assert state_of(session) == before
    assert changes == []
    assert given_to_the_model(session).equal(START(PICTURES[0]))
    session.preprocess = SMALL  # and it goes on
    assert given_to_the_model(session).equal(SMALL(PICTURES[0]))


def test_input_and_preprocess_set_together_are_recorded_once(session: Session) -> None:
    with session.hold_trait_notifications():
        session.example, session.preprocess = 1, SMALL
    assert session.recordings == 2
    assert given_to_the_model(session).equal(SMALL(PICTURES[1]))


def test_one_refused_value_among_them_takes_the_preprocess_back(session: Session) -> None:
    before = state_of(session)
    with pytest.raises(iw.InterpError, match="channel must be in"), session.hold_trait_notifications():
        session.preprocess, session.channel = SMALL, 99
    assert state_of(session) == before
    session.example = 1
    assert given_to_the_model(session).equal(START(PICTURES[1]))


def test_an_input_recorded_meanwhile_is_recorded_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker looks at another input; before it is shown, the preprocess is changed."""
    record = Session._record

    def interrupted(self: Session, *arguments: Any) -> Any:
        take = record(self, *arguments)
        monkeypatch.setattr(Session, "_record", record)
        self.preprocess = SMALL
        return take

    monkeypatch.setattr(Session, "_record", interrupted)
    session.look_at(1)
    assert session.preprocess == SMALL
    assert given_to_the_model(session).equal(SMALL(PICTURES[1]))


def test_a_preprocess_prepared_meanwhile_is_of_the_input_that_is_looked_at(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Session._record

    def interrupted(self: Session, *arguments: Any) -> Any:
        take = record(self, *arguments)
        monkeypatch.setattr(Session, "_record", record)
        self.example = 1
        return take

    monkeypatch.setattr(Session, "_record", interrupted)
    session.prepare(SMALL)
    assert session.example == 1
    assert given_to_the_model(session).equal(SMALL(PICTURES[1]))


@pytest.mark.parametrize("meanwhile", [SMALL, START])
def test_a_trace_recorded_again_meanwhile_does_not_take_the_preprocess_back(
    session: Session, monkeypatch: pytest.MonkeyPatch, meanwhile: Preprocess
) -> None:
    record = Session._record

    def interrupted(self: Session, *arguments: Any) -> Any:
        take = record(self, *arguments)
        monkeypatch.setattr(Session, "_record", record)
        self.preprocess = meanwhile
        return take

    session.release()
    monkeypatch.setattr(Session, "_record", interrupted)
    assert given_to_the_model(session).equal(meanwhile(PICTURES[0]))
    session.example = 1
    assert given_to_the_model(session).equal(meanwhile(PICTURES[1]))


def test_the_same_preprocess_by_two_threads_is_recorded_by_the_quicker(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, slower = Session._record, []

    def interrupted(self: Session, *arguments: Any) -> Any:
        take = record(self, *arguments)
        monkeypatch.setattr(Session, "_record", record)
        self.preprocess = SMALL
        slower.append(take.trace)
        return take

    monkeypatch.setattr(Session, "_record", interrupted)
    session.prepare(SMALL)
    assert session.recordings == 2
    assert [trace.closed for trace in slower] == [True]  # nothing of it is kept


def test_an_input_that_is_added_is_prepared_in_the_new_way(session: Session, tmp_path: Path) -> None:
    PICTURES[1].save(tmp_path / "mine.png")
    session.preprocess = SMALL
    session.add(tmp_path / "mine.png", "mine")
    session.preprocess = START
    assert (len(session.inputs), session.name_of(3)) == (4, "mine")
    assert given_to_the_model(session).equal(START(PICTURES[1]))


def test_none_leaves_it_to_the_model() -> None:
    model = cnn()
    model.config = SimpleNamespace(image_size=48)
    with Session(model, PICTURES[0], preprocess=SMALL) as session:
        session.preprocess = None
        assert session.preparation() == "48 x 48, ImageNet mean"


def test_a_tensor_stays_what_it_is_and_is_shown_in_other_colours() -> None:
    tensor = images(1)
    with Session(cnn(), tensor) as session:
        session.preprocess = SMALL
        assert given_to_the_model(session).equal(tensor)
        shown = session.picture()
        assert shown is not None
        assert (shown == SMALL.undo(tensor[0])).all()
        with pytest.raises(InputError, match=r"has shape \(1, H, W\), got \(3, 32, 32\)"):
            session.preprocess = Preprocess(32, 0, 1)
        assert session.preprocess == SMALL


def test_a_closed_session_is_not_prepared(session: Session) -> None:
    session.close()
    with pytest.raises(ClosedError, match="closed"):
        session.preprocess = SMALL
    with pytest.raises(ClosedError, match="closed"):
        session.prepare(SMALL)


def current(session: Session) -> list[str]:
    return [each.name for each in session.preprocess_choices() if each.preprocess == session.preprocess]


def test_the_choices_are_ranges_at_the_size_that_is_used(session: Session) -> None:
    found = {each.name: each.words for each in session.preprocess_choices()}
    assert found == {
        "as given": "32 x 32, in 0..1",
        "as usual": "224 x 224, ImageNet mean",
        "ImageNet mean and deviation": "32 x 32, ImageNet mean",
        "-1..1": "32 x 32, in -1..1",
        "0..255": "32 x 32, in 0..255",
    }
    assert current(session) == ["as given"]


def test_each_choice_can_be_made_and_is_the_current_one_then(session: Session) -> None:
    for choice in session.preprocess_choices():
        session.preprocess = choice.preprocess
        assert session.preparation() == choice.words
        assert len(current(session)) == 1
    low, high = float(given_to_the_model(session).min()), float(given_to_the_model(session).max())
    assert low >= 0
    assert high > 200  # 0..255 was the last


def test_a_preprocess_of_ones_own_is_among_the_choices(session: Session) -> None:
    session.preprocess = Preprocess(24, 0.4 * np.ones(3), np.ones(3))
    assert current(session) == ["your own"]
    session.preprocess = START.__call__
    assert current(session) == ["your own"]
    session.preprocess = START
    assert current(session) == ["as given"]


def test_what_equals_the_models_own_is_the_models_own() -> None:
    model = cnn()
    model.pretrained_cfg = {"input_size": (3, 40, 40), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}
    with Session(model, PICTURES[0]) as session:
        assert [each.name for each in session.preprocess_choices()] == [
            "as the model says", "ImageNet mean and deviation", "0..1", "0..255",
        ]  # fmt: skip
        assert current(session) == ["as the model says"]
        session.preprocess = Preprocess(40, 0.5 * np.ones(3), 0.5 * np.ones(3), 40, "bicubic")
        assert current(session) == ["as the model says"]


def test_grey_images_have_no_imagenet_mean() -> None:
    with Session(cnn(channels=1), PICTURES[0]) as session:
        assert [each.name for each in session.preprocess_choices()] == ["as usual", "-1..1", "0..255"]
