"""Methods that refine: painted at once, better and better, stopped when nobody wants them any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from interp_widgets.errors import InputError
from interp_widgets.explainers import GradCAM, IntegratedGradients, SmoothGrad
from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import baseline_of
from interp_widgets.explainers.estimate import ErrorKind, Estimate
from interp_widgets.explainers.question import Question
from interp_widgets.widgets.explorer import Explorer, explore
from tests.widgets.models import cnn, images, panel_of, workers

NAMES = ("ant", "bee", "cat", "dog", "eel")
PATIENCE = 20  # seconds; a test that waits so long has failed


class Valve:
    """Lets one estimate after another out, and counts how often a stream was begun."""

    def __init__(self) -> None:
        self.tickets = threading.Semaphore(0)
        self.painted = threading.Semaphore(0)
        self.begun: list[Any] = []
        self.reached: list[Any] = []

    def let(self, count: int) -> None:
        for _ in range(count):
            self.tickets.release()


VALVE = Valve()


@dataclass(frozen=True)
class Slow(Explainer):
    """``total`` estimates, the k-th of them ``k`` everywhere but for one corner."""

    title: ClassVar[str] = "Slow"
    summary: ClassVar[str] = "waits for the test"
    refines: ClassVar[bool] = True
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.STANDARD_ERROR

    total: int = field(default=4, metadata=limits(1, 100, help="estimates"))
    fails_at: int = field(default=0, metadata=limits(0, 100, help="estimate that cannot be had"))

    def estimates(self, question: Question) -> Iterator[Estimate]:
        VALVE.begun.append(question.target)
        for step in range(1, self.total + 1):
            assert VALVE.tickets.acquire(timeout=PATIENCE)
            if step == self.fails_at:
                raise InputError("this estimate cannot be had")
            VALVE.reached.append((question.target, step))
            values = torch.full((24, 24), float(step))
            values[0, 0] = 0
            yield Estimate(values, step, self.total, 1 / step)


@pytest.fixture(autouse=True)
def _fresh_valve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "VALVE", Valve())
    monkeypatch.setattr("interp_widgets.session.jobs.PAINT_EVERY", 0.0)


@pytest.fixture
def explorer() -> Iterator[Explorer]:
    made = explore(cnn(), images(3), class_names=NAMES, target=0)
    assert made.wait(PATIENCE)
    made.session.tolerance = 0  # each test says itself how much is done
    assert made.wait(PATIENCE)
    yield made
    VALVE.let(1000)
    made.close()
    for thread in workers():
        thread.join(PATIENCE)
    assert workers() == []


def until(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(PATIENCE * 100):
        if condition():
            return
        waited.wait(0.01)
    pytest.fail("what the test waits for did not happen")


def shown(explorer: Explorer) -> float:
    picture = explorer.controls["attribution"]
    return float(picture._frames[picture.row, picture.column].values().max())


def test_the_first_estimate_is_painted_while_the_others_are_computed(explorer: Explorer) -> None:
    panel = panel_of(explorer)
    explorer.session.explainer = Slow()
    assert panel.stop.layout.visibility == "visible"
    for step in (1, 2, 3):
        VALVE.let(1)
        until(lambda step=step: f"{step} of 4 evaluations" in explorer.status)  # type: ignore[misc]
        assert shown(explorer) == pytest.approx(step)
        assert f"standard error {1 / step:.1%}" in explorer.status
        assert "s left" in explorer.status
        assert panel.stop.layout.visibility == "visible"
        assert not panel.attribution.busy  # the estimate is not hidden behind a sign
        assert f"{step} of 4 evaluations so far" in panel.attribution.alt
    VALVE.let(1)
    assert explorer.wait(PATIENCE)
    assert shown(explorer) == pytest.approx(4)
    assert "left" not in explorer.status
    assert "so far" not in panel.attribution.alt
    assert panel.stop.layout.visibility == "hidden"


def test_what_is_being_computed_is_named_before_there_is_an_estimate(explorer: Explorer) -> None:
    panel = panel_of(explorer)
    explorer.session.explainer = Slow()
    assert panel.attribution.busy
    assert panel.attribution.doing == explorer.status == "computing Slow for “ant”…"
    assert panel.attribution.label == "Slow · ant"
    explorer.session.target = 3  # the same method: until there is an estimate, the map before it is shown, dimmed
    assert panel.attribution.doing == explorer.status == "computing Slow for “dog”…"
    assert panel.attribution.label == "Slow · dog"
    explorer.session.at_layer = True
    assert panel.attribution.doing == f"computing Slow for “dog” at {explorer.session.layer}…"
    VALVE.let(9)
    assert explorer.wait(PATIENCE)
    assert panel.attribution.label.startswith("Slow · dog · standard error ")
    assert "Slow for “dog”" in explorer.status


def test_no_older_map_stays_under_the_name_of_what_was_stopped(explorer: Explorer) -> None:
    picture = panel_of(explorer).attribution
    explorer.session.explainer = Slow()
    VALVE.let(4)
    assert explorer.wait(PATIENCE)
    explorer.session.target = 3
    explorer.controls["stop"].click()
    assert (picture.busy, picture.view) == (False, "base")
    assert picture.label == picture.alt == "stopped: no map yet"
    explorer.session.target = 0  # known
    assert picture.view == "overlay"
    assert picture.label.startswith("Slow · ant")
    VALVE.let(1)  # the estimate that was being computed


def test_an_estimate_that_is_there_stays_when_it_is_stopped(explorer: Explorer) -> None:
    picture = panel_of(explorer).attribution
    explorer.session.explainer = Slow()
    VALVE.let(1)
    until(lambda: "1 of 4" in explorer.status)
    explorer.controls["stop"].click()
    assert (picture.busy, picture.view) == (False, "overlay")
    assert picture.label.startswith("Slow · ant")
    VALVE.let(1)


def test_no_older_map_stays_under_the_name_of_what_failed(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = panel_of(explorer).attribution
    explorer.session.explainer = Slow()
    VALVE.let(4)
    assert explorer.wait(PATIENCE)
    monkeypatch.setattr(Slow, "estimates", lambda *_: 1 // 0)
    explorer.session.target = 3
    assert explorer.wait(PATIENCE)
    assert "ZeroDivisionError" in explorer.error
    assert (picture.busy, picture.view) == (False, "base")
    assert picture.label == picture.alt == "no map: the status line says why"


def test_another_channel_does_not_begin_it_anew(explorer: Explorer) -> None:
    explorer.session.explainer = Slow()
    VALVE.let(2)
    until(lambda: "2 of 4" in explorer.status)
    explorer.session.channel = 3
    explorer.controls["ranking"].value = "number"
    assert explorer.controls["stop"].layout.visibility == "visible"
    VALVE.let(2)
    assert explorer.wait(PATIENCE)
    assert len(VALVE.begun) == 1
    assert shown(explorer) == pytest.approx(4)
    assert explorer.controls["channel"].has(explorer.controls["channel"].row, 3)


def test_another_class_puts_an_end_to_it_and_its_own_map_wins(explorer: Explorer) -> None:
    explorer.session.explainer = Slow()
    VALVE.let(2)
    until(lambda: "2 of 4" in explorer.status)
    explorer.session.target = 1
    VALVE.let(1)  # the old stream may wait for this one
    VALVE.let(4)
    assert explorer.wait(PATIENCE)
    old, new = VALVE.begun
    assert old != new
    assert max(step for target, step in VALVE.reached if target == old) <= 3
    assert "“bee”" in explorer.status
    assert shown(explorer) == pytest.approx(4)
    assert list(explorer.controls["attribution"]._frames) == [(0, 1)]  # the estimate that was given up is not held


def test_a_stopped_estimate_stays_until_another_map_is_there(explorer: Explorer) -> None:
    explorer.session.explainer = Slow()
    VALVE.let(2)
    until(lambda: "2 of 4" in explorer.status)
    explorer.controls["stop"].click()
    VALVE.let(1)
    assert explorer.wait(PATIENCE)
    explorer.session.target = 1
    assert list(explorer.controls["attribution"]._frames) == [(0, 0)]  # under the sign that another is on its way
    VALVE.let(4)
    assert explorer.wait(PATIENCE)
    assert list(explorer.controls["attribution"]._frames) == [(0, 1)]
    VALVE.let(4)
    explorer.session.target = 0
    assert explorer.wait(PATIENCE)
    assert sorted(explorer.controls["attribution"]._frames) == [(0, 0), (0, 1)]  # finished ones are kept


def test_an_estimate_that_arrives_when_another_class_is_asked_for_is_not_held(explorer: Explorer) -> None:
    explorer.session.explainer = Slow()
    VALVE.let(2)
    until(lambda: "2 of 4" in explorer.status)
    view = explorer.views[1]
    early = view.drawn
    explorer.session.target = 1
    view._arrive(early)  # the worker had it when the class was chosen
    VALVE.let(5)
    assert explorer.wait(PATIENCE)
    view._arrive(early)
    assert list(explorer.controls["attribution"]._frames) == [(0, 1)]


def test_stop_keeps_what_is_there_and_a_new_question_goes_on(explorer: Explorer) -> None:
    explorer.session.explainer = Slow()
    VALVE.let(2)
    until(lambda: "2 of 4" in explorer.status)
    explorer.controls["stop"].click()
    assert explorer.status.startswith("stopped")
    assert explorer.controls["stop"].layout.visibility == "hidden"
    VALVE.let(1)
    assert explorer.wait(PATIENCE)
    assert shown(explorer) == pytest.approx(2)
    explorer.session.channel = 2
    assert explorer.wait(PATIENCE)
    assert (shown(explorer), len(VALVE.begun)) == (pytest.approx(2), 1)
    VALVE.let(10)
    explorer.session.target = 2
    assert explorer.wait(PATIENCE)
    assert shown(explorer) == pytest.approx(4)


def test_what_was_finished_once_is_not_computed_again(explorer: Explorer) -> None:
    VALVE.let(8)
    explorer.session.explainer = Slow()
    assert explorer.wait(PATIENCE)
    explorer.session.explainer = GradCAM()
    explorer.session.explainer = Slow()
    assert explorer.wait(PATIENCE)
    assert len(VALVE.begun) == 1
    assert "done before" in explorer.status
    assert shown(explorer) == pytest.approx(4)


def test_an_estimate_that_cannot_be_had_is_a_sentence(explorer: Explorer) -> None:
    VALVE.let(20)
    explorer.session.explainer = Slow(fails_at=3)
    assert explorer.wait(PATIENCE)
    assert "this estimate cannot be had" in explorer.status
    assert explorer.controls["attribution"].view == "base"
    explorer.session.explainer = Slow()
    assert explorer.wait(PATIENCE)
    assert explorer.controls["attribution"].view == "overlay"
    assert shown(explorer) == pytest.approx(4)


def test_another_input_and_closing_put_an_end_to_it(explorer: Explorer) -> None:
    explorer.session.explainer = Slow()
    VALVE.let(1)
    until(lambda: "1 of 4" in explorer.status)
    explorer.controls["thumbnails"].set_state({"selected": 2})
    VALVE.let(1)
    until(lambda: explorer.session.example == 2)
    VALVE.let(2)
    until(lambda: len(VALVE.begun) == 2)
    explorer.close()
    VALVE.let(100)
    for thread in workers():
        thread.join(PATIENCE)
    assert workers() == []
    assert len(VALVE.reached) < 8


def test_a_pass_that_nobody_wants_is_left_in_the_middle(explorer: Explorer) -> None:
    """A thousand steps would take minutes; the worker is free as soon as the method changes."""
    explorer.session.explainer = IntegratedGradients(steps=1000)
    until(lambda: "of 1000" in explorer.status)
    explorer.session.explainer = "GradCAM"
    assert explorer.wait(PATIENCE)
    assert explorer.status.startswith("Grad-CAM")
    assert explorer.session.known(explainer=IntegratedGradients(steps=1000)) is None
    assert not any(module._forward_hooks for module in explorer.session.model.modules())


# Hyper-parameters


def test_a_control_changes_the_explainer_and_python_moves_the_control(explorer: Explorer) -> None:
    session, controls = explorer.session, explorer._attribution.parameters
    session.explainer = SmoothGrad(samples=4)
    assert explorer.wait(PATIENCE)
    controls.controls["samples"].set_state({"value": 6})
    assert explorer.wait(PATIENCE)
    assert session.explainer == SmoothGrad(samples=6)
    assert "6 evaluations" in explorer.status
    controls.controls["channels"].set_state({"value": "mean"})
    assert session.explainer == SmoothGrad(samples=6, channels="mean")
    session.explainer = SmoothGrad(samples=500)
    explorer.controls["stop"].click()
    assert (controls.controls["samples"].value, controls.controls["samples"].max) == (500, 500)
    session.explainer = "GradCAM"
    assert list(controls.controls) == ["relu"]
    controls.controls["relu"].set_state({"value": False})
    assert explorer.wait(PATIENCE)
    assert session.explainer == GradCAM(relu=False)
    assert explorer.controls["attribution"].signed


def test_the_baseline_is_shown(explorer: Explorer) -> None:
    shown_baseline = explorer._attribution.parameters.baseline
    assert shown_baseline.layout.display == "none"
    explorer.session.explainer = IntegratedGradients(steps=2, baseline="blurred")
    assert explorer.wait(PATIENCE)
    assert shown_baseline.layout.display == ""
    trace = explorer.session.trace
    expected = baseline_of(trace.activation("input")[0], "blurred")
    assert not np.allclose(expected, trace.activation("input")[0])
    picture = explorer.session.baseline_picture()
    assert picture is not None
    assert picture.shape == (*expected.shape[1:], 3)
    explorer.session.explainer = "GradCAM"
    assert shown_baseline.layout.display == "none"


def test_a_map_that_is_not_sure_enough_says_so_and_offers_to_go_on(explorer: Explorer) -> None:
    session, button = explorer.session, explorer._bar.remedy
    session.explainer = SmoothGrad(samples=4, noise=1.0)
    assert explorer.wait(PATIENCE)
    assert button.layout.display == "none"  # nobody asked for more
    session.tolerance = 0.001
    assert explorer.wait(PATIENCE)
    assert (button.description, button.layout.display) == ("Go on, with 8 evaluations", "")
    button.click()
    assert explorer.wait(PATIENCE)
    assert session.explainer == SmoothGrad(samples=8, noise=1.0)


def test_the_line_below_says_what_to_do_about_a_large_error(explorer: Explorer) -> None:
    session, button = explorer.session, explorer._bar.remedy
    session.explainer = SmoothGrad(samples=4, noise=1.0)
    assert explorer.wait(PATIENCE)
    error = session.attribution().error
    assert error is not None
    assert error > 0.2  # large, whether or not somebody asked for less
    miss = f"another seed would change the map by about {error:.0%}"
    assert explorer.status.startswith(f"{miss}: raise samples. SmoothGrad for ")
    session.tolerance = 0.001
    assert explorer.wait(PATIENCE)
    assert explorer.status.startswith(f"{miss}: go on, or raise samples. SmoothGrad for ")
    assert button.tooltip == f"{miss}: go on, or raise samples"


def test_a_method_goes_on_by_itself_until_it_is_as_sure_as_asked(explorer: Explorer) -> None:
    session = explorer.session
    session.tolerance = 0.05
    session.explainer = IntegratedGradients(steps=2)
    assert explorer.wait(PATIENCE)
    assert session.attribution().error <= 0.05
    assert session.explainer == IntegratedGradients(steps=2)
