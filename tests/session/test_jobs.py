"""`Jobs`: one thread, the newest question of each asker, what is quick before what is long, no error lost, an end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from interp_widgets.explainers import Attribution
from interp_widgets.session import jobs as jobs_module
from interp_widgets.session.jobs import Jobs, Rank
from interp_widgets.trace import ClassScore
from interp_widgets.trace.interrupt import Interrupted, interruption
from tests.demo_server import ROOT

PATIENCE = 20  # seconds; a test that waits so long has failed


class Recorder:
    """Jobs that write down what they did, and can be held at a step."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.errors: list[BaseException] = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def held(self) -> Iterator[None]:
        """Two steps; the first waits for the gate."""
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        self.done.append("held 1")
        yield
        self.done.append("held 2")

    def job(self, name: str, steps: int = 1) -> Iterator[None]:
        for _ in range(steps):
            self.done.append(name)
            yield

    def failing(self, error: BaseException) -> Iterator[None]:
        yield
        raise error


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def jobs(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(jobs_module, "REST", 0.01)
    made = Jobs()
    yield made
    recorder.gate.set()
    made.close()
    assert made.wait(PATIENCE)


def _ask(jobs: Jobs, recorder: Recorder, name: str, owner: str = "a", rank: Rank = Rank.ASKED, steps: int = 1) -> None:
    jobs.submit(owner, lambda: recorder.job(name, steps), on_error=recorder.errors.append, rank=rank)


def _hold(jobs: Jobs, recorder: Recorder, owner: str = "a", rank: Rank = Rank.ASKED) -> None:
    jobs.submit(owner, recorder.held, on_error=recorder.errors.append, rank=rank)
    assert recorder.entered.wait(PATIENCE)


def test_the_newest_question_of_an_owner_wins_and_stops_its_running_one_between_two_steps(
    jobs: Jobs, recorder: Recorder
) -> None:
    _hold(jobs, recorder)
    for name in ("second", "third", "fourth"):
        _ask(jobs, recorder, name)
    assert jobs.busy
    recorder.gate.set()
    assert jobs.wait(PATIENCE)
    assert recorder.done == ["held 1", "fourth"]
    assert not jobs.busy


def test_what_others_asked_for_is_kept(jobs: Jobs, recorder: Recorder) -> None:
    _hold(jobs, recorder, owner="a")
    _ask(jobs, recorder, "b", owner="b")
    _ask(jobs, recorder, "c", owner="c")
    recorder.gate.set()
    assert jobs.wait(PATIENCE)
    assert recorder.done == ["held 1", "held 2", "b", "c"]


def test_what_is_urgent_goes_between_the_steps_of_what_is_long(jobs: Jobs, recorder: Recorder) -> None:
    _hold(jobs, recorder, owner="long", rank=Rank.LONG)
    _ask(jobs, recorder, "later", owner="later", rank=Rank.LATER)
    _ask(jobs, recorder, "longer", owner="longer", rank=Rank.LONG, steps=2)
    _ask(jobs, recorder, "asked", owner="asked", rank=Rank.ASKED)
    _ask(jobs, recorder, "first", owner="first", rank=Rank.FIRST)
    recorder.gate.set()
    assert jobs.wait(PATIENCE)
    assert recorder.done == ["held 1", "first", "asked", "held 2", "longer", "longer", "later"]


def test_what_may_be_asked_for_later_is_done_in_turns_after_a_rest(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "REST", 600)
    jobs = Jobs()
    for owner in ("a", "b"):
        _ask(jobs, recorder, owner, owner=owner, rank=Rank.LATER, steps=2)
    _ask(jobs, recorder, "asked", owner="c")
    assert not jobs.wait(0.2)
    assert recorder.done == ["asked"]  # nobody rests when something is asked for
    monkeypatch.setattr(jobs_module, "REST", 0)
    _ask(jobs, recorder, "asked", owner="c")
    assert jobs.wait(PATIENCE)
    assert recorder.done == ["asked", "asked", "a", "b", "a", "b"]


def test_cancel_stops_what_runs_after_its_step_and_drops_what_waits(jobs: Jobs, recorder: Recorder) -> None:
    _hold(jobs, recorder, owner="a")
    _ask(jobs, recorder, "waiting", owner="b")
    jobs.cancel("b")
    jobs.cancel("a")
    recorder.gate.set()
    assert jobs.wait(PATIENCE)
    assert recorder.done == ["held 1"]
    _ask(jobs, recorder, "later")
    assert jobs.wait(PATIENCE)
    assert recorder.done == ["held 1", "later"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_whatever_a_job_raises_is_reported_and_the_next_one_runs(
    jobs: Jobs, recorder: Recorder, error: type[BaseException]
) -> None:
    jobs.submit("a", lambda: recorder.failing(error("on purpose")), on_error=recorder.errors.append)
    assert jobs.wait(PATIENCE)
    assert [(type(each), str(each)) for each in recorder.errors] == [(error, "on purpose")]
    _ask(jobs, recorder, "next")
    assert jobs.wait(PATIENCE)
    assert recorder.done == ["next"]


def test_an_error_of_what_nobody_wants_any_more_is_not_reported(jobs: Jobs, recorder: Recorder) -> None:
    def held_and_failing() -> Iterator[None]:
        recorder.entered.set()
        assert recorder.gate.wait(PATIENCE)
        yield from recorder.failing(ValueError("nobody asked"))

    jobs.submit("a", held_and_failing, on_error=recorder.errors.append)
    assert recorder.entered.wait(PATIENCE)
    _ask(jobs, recorder, "newer")
    recorder.gate.set()
    assert jobs.wait(PATIENCE)
    assert (recorder.done, recorder.errors) == (["newer"], [])


def test_an_error_while_an_error_is_reported_does_not_end_the_worker_for_good(jobs: Jobs, recorder: Recorder) -> None:
    def reporting(error: BaseException) -> None:
        raise RuntimeError("the owner failed too") from error

    jobs.submit("a", lambda: recorder.failing(ValueError("on purpose")), on_error=reporting)
    assert jobs.wait(PATIENCE)
    _ask(jobs, recorder, "next")
    assert jobs.wait(PATIENCE)
    assert recorder.done == ["next"]


def test_waiting_gives_up_after_its_timeout(jobs: Jobs, recorder: Recorder) -> None:
    assert jobs.wait(0)
    _hold(jobs, recorder)
    assert not jobs.wait(0.01)


def test_the_thread_ends_with_the_work(jobs: Jobs) -> None:
    seen: list[tuple[threading.Thread, bool]] = []

    def job() -> Iterator[None]:
        seen.append((threading.current_thread(), jobs.inside))
        yield

    jobs.submit("a", job, on_error=print)
    assert jobs.wait(PATIENCE)
    ((thread, was_inside),) = seen
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert thread is not threading.current_thread()
    assert (was_inside, jobs.inside) == (True, False)


def test_closed_jobs_take_no_more_work_and_leave_a_pass_in_its_middle(jobs: Jobs, recorder: Recorder) -> None:
    unwanted: list[bool] = []

    def passing() -> Iterator[None]:
        asks = interruption()
        assert asks is not None
        unwanted.append(asks())
        recorder.entered.set()
        assert recorder.gate.wait(PATIENCE)
        unwanted.append(asks())
        yield
        recorder.done.append("too late")

    jobs.submit("a", passing, on_error=recorder.errors.append)
    assert recorder.entered.wait(PATIENCE)
    jobs.close()
    _ask(jobs, recorder, "too late", owner="b")
    recorder.gate.set()
    assert jobs.wait(PATIENCE)
    assert (recorder.done, unwanted) == ([], [False, True])


def test_many_requests_from_many_threads_leave_the_last_one_done_and_no_thread(jobs: Jobs, recorder: Recorder) -> None:
    def ask(start: int) -> None:
        for number in range(start, start + 100):
            _ask(jobs, recorder, str(number))

    askers = [threading.Thread(target=ask, args=(start,)) for start in range(0, 400, 100)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    _ask(jobs, recorder, "last")
    assert jobs.wait(PATIENCE)
    assert recorder.done[-1] == "last"
    assert recorder.errors == []


# The refinement loop


def _estimates(count: int) -> Iterator[Attribution]:
    for done in range(1, count + 1):
        yield Attribution(
            values=torch.full((2, 2), float(done)),
            method="m",
            layer="l",
            target=ClassScore(0),
            score=0.0,
            signed=False,
            label="c",
            background=None,
            done=done,
            total=count,
        )


def test_the_first_and_the_last_estimate_are_painted_and_few_of_the_others(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted: list[int | None] = []

    def job() -> Iterator[None]:
        for found in jobs.refine(_estimates(6)):
            painted.append(None if found is None else found.done)
            yield

    for every, expected in ((600.0, [1, None, None, None, None, 6]), (0.0, [1, 2, 3, 4, 5, 6])):
        monkeypatch.setattr(jobs_module, "PAINT_EVERY", every)
        painted.clear()
        jobs.submit("a", job, on_error=print)
        assert jobs.wait(PATIENCE)
        assert painted == expected


def test_a_refinement_that_is_not_wanted_any_more_is_left_in_the_middle_of_a_pass(
    jobs: Jobs, recorder: Recorder
) -> None:
    def stream() -> Iterator[Attribution]:
        recorder.entered.set()
        assert recorder.gate.wait(PATIENCE)
        asks = interruption()
        assert asks is not None
        if asks():
            recorder.done.append("left")
            raise Interrupted
        yield from _estimates(1)

    def job() -> Iterator[None]:
        for _ in jobs.refine(stream()):
            recorder.done.append("painted")
            yield

    jobs.submit("a", job, on_error=recorder.errors.append)
    assert recorder.entered.wait(PATIENCE)
    _ask(jobs, recorder, "newer")
    recorder.gate.set()
    assert jobs.wait(PATIENCE)
    assert (recorder.done, recorder.errors) == (["left", "newer"], [])


# The end of the process

ENDING = """
import threading, torch
from torch import nn
import interp_widgets as iw
torch.set_num_threads(2)
model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)).eval()
explorer = iw.explore(model, torch.rand(1, 3, 224, 224))
explorer.wait()
explorer.session.explainer = {method}
for _ in range(500):
    if explorer.session.jobs.busy and "of" in explorer.status:
        break
    threading.Event().wait(0.01)
print("ending")
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["iw.RISE(samples=20000)", "iw.IntegratedGradients(steps=1000)", "iw.LRP()"])
def test_a_process_that_ends_while_an_explorer_computes_ends_quietly(method: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING.format(method=method)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "ending", "")
