"""What every view of `VIEWS` promises, alone in a cell or beside others; a new view needs no test for it."""

from __future__ import annotations

import dataclasses
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from torch import nn

from interp_widgets.explainers import IntegratedGradients
from interp_widgets.session.session import Session
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.canvas_aid import CanvasAid
from interp_widgets.widgets.kit.check_box import CheckBox
from interp_widgets.widgets.kit.class_list import ClassList
from interp_widgets.widgets.kit.diagram import Diagram
from interp_widgets.widgets.kit.layer_tree import LayerTree
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.kit.profile import Profile
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.table import Table
from interp_widgets.widgets.kit.thumbnails import Thumbnails
from interp_widgets.widgets.kit.tiles import Tiles
from interp_widgets.widgets.views import VIEWS, SessionView
from tests.widgets.models import cnn, images, workers

NAMES = ("ant", "bee", "cat", "dog", "eel")
# Another value for each trait of a session.
OTHER = {"layer": "0", "channel": 5, "target": 3, "explainer": "LayerCAM", "at_layer": True, "example": 1}


class Diary:
    """In which threads the model ran, forwards and backwards; shared by copies of the model."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def __deepcopy__(self, _memo: object) -> Diary:
        return self

    def write(self) -> None:
        self.threads.append(threading.current_thread().name)


class _Noted(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: torch.Tensor, diary: Diary) -> torch.Tensor:
        context.diary = diary
        diary.write()
        return values.clone()

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        context.diary.write()
        return gradients[0], None


class Watched(nn.Module):
    """Writes down where it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = cnn()
        self.diary = Diary()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        noted: torch.Tensor = _Noted.apply(self.inner(pictures), self.diary)
        return noted


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(cnn(), images(3), class_names=NAMES) as made:
        yield made
    for thread in workers():
        thread.join(30)
    assert workers() == []


@pytest.fixture(params=VIEWS, ids=str)
def kind(request: pytest.FixtureRequest) -> type[SessionView]:
    return VIEWS[request.param]


@pytest.fixture
def view(kind: type[SessionView], session: Session) -> Iterator[SessionView]:
    with_view = kind(session)
    assert with_view.wait(60)
    yield with_view
    with_view.close()


def _inside(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _inside(child)


# A state


def test_it_watches_traits_of_the_session(kind: type[SessionView]) -> None:
    assert set(kind.watches) <= set(Session.class_trait_names())
    assert "trace" in kind.watches


def test_its_state_is_frozen_and_the_same_as_long_as_nothing_changes(view: SessionView, session: Session) -> None:
    state = view.resolve(session)
    assert dataclasses.is_dataclass(state)
    assert type(state).__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has them
    assert state == view.resolve(session) == view.drawn


@pytest.mark.parametrize("name", OTHER)
def test_it_shows_what_the_session_says(view: SessionView, session: Session, name: str) -> None:
    setattr(session, name, OTHER[name])
    assert view.wait(60)
    assert view.error == ""
    assert view.drawn == view.resolve(session)


def test_it_is_moved_by_the_session(view: SessionView, session: Session) -> None:
    before = view.drawn
    session.example = 1
    session.layer, session.target = "0", 3
    assert view.wait(60)
    assert view.drawn != before


def test_resolving_and_drawing_change_no_trait_of_the_session(view: SessionView, session: Session) -> None:
    changes: list[Any] = []
    session.observe(changes.append)
    view.draw(view.resolve(session))
    assert changes == []


def test_drawing_what_is_drawn_sends_nothing(view: SessionView, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def send(_widget: ipywidgets.Widget, message: Any, buffers: Any = None) -> None:  # noqa: ARG001 - ipywidgets' own
        sent.append(message)

    monkeypatch.setattr(ipywidgets.Widget, "_send", send)
    view._draw(view.drawn)
    assert [message for message in sent if message.get("state") or message.get("method") == "custom"] == []


# For eyes, ears and hands


def test_every_picture_has_a_text_and_the_view_says_what_it_shows(view: SessionView, session: Session) -> None:
    def check() -> None:
        assert len(view.alt) > 10
        for widget in _inside(view):
            if isinstance(widget, (Picture, Tiles)) and widget.layout.display != "none":
                assert len(widget.alt) > 10, widget
            if isinstance(widget, (Slider, Menu, CanvasAid)):
                assert widget.label, widget
            if isinstance(widget, (CheckBox, ClassList, Diagram, LayerTree, Menu, Slider, Table, Thumbnails, Tiles)):
                assert _is_explained(widget), widget
            if isinstance(widget, Thumbnails) and widget.layout.display != "none":
                assert all(widget.names)

    check()
    said = view.alt
    session.example = 1
    session.layer, session.target, session.explainer = "0", 3, "LayerCAM"
    assert view.wait(60)
    check()
    assert view.alt != said


def _is_explained(control: ipywidgets.Widget) -> bool:
    """Whether a control says what it is for, in one line; a menu may say so of each of its options instead."""
    meanings = control.meanings if isinstance(control, Menu) else {}
    said = [control.help] if control.help else [meanings.get(value, "") for _, value in control.options]
    return all(words and "\n" not in words for words in said)


def test_whatever_the_mouse_can_do_the_keyboard_can(view: SessionView) -> None:
    for widget in _inside(view):
        if not isinstance(widget, BrowserWidget):
            continue
        own = Path(inspect.getfile(type(widget))).with_suffix(".js").read_text(encoding="utf-8")
        clicked = re.findall(r'(\S+)\.addEventListener\("(?:click|pointer\w+|mouse\w+)"', own)
        buttons = re.findall(r'const (\w+) = make\("button"', own)  # Enter and the space bar click them
        if set(clicked) <= set(buttons):
            continue
        takes_focus = "...KEYS" in own
        hears_keys = 'addEventListener("keydown"' in widget._text
        assert takes_focus, f"{type(widget).__name__} cannot be reached with Tab"
        assert hears_keys, f"{type(widget).__name__} hears no key"


def test_an_error_is_a_sentence_in_the_view_until_it_works_again(
    view: SessionView, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_session: Session) -> Any:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(view, "resolve", failing)
    session.example = 1
    assert view.wait(60)
    assert "ZeroDivisionError: on purpose" in view.error
    assert view.error == view.bar.error
    assert view.bar in _inside(view)
    assert not view.bar.at_work()
    monkeypatch.undo()
    session.example = 2
    assert view.wait(60)
    assert view.error == ""
    assert view.drawn == view.resolve(session)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit], ids=lambda kind: kind.__name__)
def test_an_error_on_the_worker_is_shown_and_the_view_goes_on(
    view: SessionView, session: Session, error: type[BaseException]
) -> None:
    def failing() -> None:
        raise error("on purpose")

    view.run_first(failing)
    assert view.wait(60)
    assert f"{error.__name__}: on purpose" in view.error
    assert not view.bar.at_work()
    session.example = 1
    assert view.wait(60)
    assert view.error == ""
    assert view.drawn == view.resolve(session)


# Threads, and the end


def _touch(widget: ipywidgets.Widget) -> Iterator[Callable[[], object]]:
    """What a hand does with a control, as the browser says it."""
    states: list[dict[str, Any]] = []
    if isinstance(widget, Slider):
        states = [{"value": widget.max}, {"value": widget.min}]
    elif isinstance(widget, Menu):
        states = [{"value": value} for _, value in widget.options[1:3]]
    elif isinstance(widget, CheckBox):
        states = [{"value": not widget.value}]
    elif isinstance(widget, (Tiles, ClassList, Thumbnails)):
        states = [{"selected": 1}, {"selected": 2}]
    elif isinstance(widget, LayerTree):
        states = [{"selected": node["path"]} for node in widget.nodes[:2]]
    elif isinstance(widget, Diagram):
        states = [{"selected": box["name"]} for box in widget.boxes[:3]]
    elif isinstance(widget, Profile):
        states = [{"selected": name} for name in widget.names[:2]]
    elif isinstance(widget, Table):
        states = [{"selected": row["path"]} for row in widget.rows[:3]]
    for state in states:
        yield lambda state=state: widget.set_state(state)


@pytest.mark.parametrize("asleep", [False, True], ids=["awake", "asleep"])
def test_the_model_never_runs_on_the_main_thread(kind: type[SessionView], asleep: bool) -> None:
    model = Watched().eval()
    with Session(model, images(3), class_names=NAMES) as session:
        view = kind(session)
        assert view.wait(60)
        model.diary.threads.clear()
        for name in ("layer", "channel", "target", "explainer"):
            if asleep:
                session.release()
            value = {"layer": "inner.0"}.get(name, OTHER[name])
            session.set_trait(name, value)
        assert view.wait(60)
        model.diary.threads.clear()  # what a user sets in Python may record at once; the view may not
        for widget in list(_inside(view)):
            for touch in _touch(widget) if widget in _inside(view) else ():
                if asleep:
                    session.release()
                touch()
                assert view.wait(60)
        session.explainer = IntegratedGradients(steps=3)
        assert view.wait(60)
        assert view.error == ""
        view.close()
    assert set(model.diary.threads) <= {"interp_widgets worker"}


def test_nothing_is_left_after_close(kind: type[SessionView], session: Session) -> None:
    kind(session).close()  # what is made once for all is made now
    assert session.jobs.wait(60)
    before, observers = set(_instances), _observers(session)
    view = kind(session)
    session.example = 1
    session.explainer = "IntegratedGradients"
    assert view.wait(60)
    view.close()
    view.close()
    left = [type(_instances[key]).__name__ for key in set(_instances) - before]
    assert left == []
    assert _observers(session) == observers
    session.target = 2  # a closed view does not mind
    assert session.jobs.wait(60)


def _observers(session: Session) -> int:
    return sum(len(handlers) for kinds in session._trait_notifiers.values() for handlers in kinds.values())


def test_two_views_of_a_kind_move_together(kind: type[SessionView], session: Session) -> None:
    first, second = kind(session), kind(session)
    for widget in list(_inside(first)):
        for touch in _touch(widget) if widget in _inside(first) else ():
            touch()
            assert first.wait(60)
            assert first.error == second.error == ""
            assert first.resolve(session) == first.drawn
            assert second.resolve(session) == second.drawn
    first.close()
    session.channel = 1
    assert second.wait(60)
    assert second.drawn == second.resolve(session)
    second.close()
