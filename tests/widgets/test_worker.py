"""`Worker`: one thread, the newest request wins, no error is lost, nothing stays behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from interp_widgets.session.jobs import Worker


class Recorder:
    """Jobs that write down what they did, and can be held at a step."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.errors: list[Exception] = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def held(self) -> Iterator[None]:
        """Two steps; the first waits for the gate."""
        self.entered.set()
        assert self.gate.wait(20)
        self.done.append("held 1")
        yield
        self.done.append("held 2")

    def job(self, name: str) -> Iterator[None]:
        self.done.append(name)
        yield

    def failing(self) -> Iterator[None]:
        yield
        raise ValueError("on purpose")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def worker(recorder: Recorder) -> Iterator[Worker]:
    made = Worker(recorder.errors.append)
    yield made
    recorder.gate.set()
    made.close()
    assert made.wait(20)


def test_the_newest_request_wins_and_stops_the_running_one_between_two_steps(
    worker: Worker, recorder: Recorder
) -> None:
    worker.submit(recorder.held)
    assert recorder.entered.wait(20)
    for name in ("second", "third", "fourth"):
        worker.submit(lambda name=name: recorder.job(name))
    assert worker.busy
    recorder.gate.set()
    assert worker.wait(20)
    assert recorder.done == ["held 1", "fourth"]
    assert not worker.busy


def test_cancel_stops_what_runs_after_its_step_and_drops_what_waits(worker: Worker, recorder: Recorder) -> None:
    worker.submit(recorder.held)
    assert recorder.entered.wait(20)
    worker.submit(lambda: recorder.job("waiting"))
    worker.cancel()
    recorder.gate.set()
    assert worker.wait(20)
    assert recorder.done == ["held 1"]
    worker.submit(lambda: recorder.job("later"))
    assert worker.wait(20)
    assert recorder.done == ["held 1", "later"]


def test_an_error_is_reported_and_the_next_job_runs(worker: Worker, recorder: Recorder) -> None:
    worker.submit(recorder.failing)
    assert worker.wait(20)
    assert [str(error) for error in recorder.errors] == ["on purpose"]
    worker.submit(lambda: recorder.job("next"))
    assert worker.wait(20)
    assert recorder.done == ["next"]


def test_a_pause_ends_as_soon_as_something_newer_is_asked_for(worker: Worker, recorder: Recorder) -> None:
    paused = threading.Event()

    def resting() -> Iterator[None]:
        paused.set()
        worker.pause(600)
        yield
        recorder.done.append("after the rest")

    worker.submit(resting)
    assert paused.wait(20)
    worker.submit(lambda: recorder.job("newer"))
    assert worker.wait(20)
    assert recorder.done == ["newer"]


def test_waiting_gives_up_after_its_timeout(worker: Worker, recorder: Recorder) -> None:
    assert worker.wait(0)
    worker.submit(recorder.held)
    assert recorder.entered.wait(20)
    assert not worker.wait(0.01)


def test_the_thread_ends_with_the_work(worker: Worker) -> None:
    seen: list[threading.Thread] = []

    def job() -> Iterator[None]:
        seen.append(threading.current_thread())
        yield

    worker.submit(job)
    assert worker.wait(20)
    seen[0].join(20)
    assert not seen[0].is_alive()
    assert seen[0] is not threading.current_thread()
    assert seen[0].daemon


def test_a_closed_worker_takes_no_more_work_and_stops_what_runs(worker: Worker, recorder: Recorder) -> None:
    worker.submit(recorder.held)
    assert recorder.entered.wait(20)
    worker.close()
    worker.submit(lambda: recorder.job("too late"))
    recorder.gate.set()
    assert worker.wait(20)
    assert recorder.done == ["held 1"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_while_an_error_is_reported_does_not_end_the_worker_for_good(recorder: Recorder) -> None:
    def reporting(error: Exception) -> None:
        raise RuntimeError("the owner failed too") from error

    worker = Worker(reporting)
    worker.submit(recorder.failing)
    assert worker.wait(20)
    worker.submit(lambda: recorder.job("next"))
    assert worker.wait(20)
    assert recorder.done == ["next"]


def test_many_requests_from_many_threads_leave_the_last_one_done_and_no_thread(
    worker: Worker, recorder: Recorder
) -> None:
    def ask(start: int) -> None:
        for number in range(start, start + 100):
            worker.submit(lambda number=number: recorder.job(str(number)))

    askers = [threading.Thread(target=ask, args=(start,)) for start in range(0, 400, 100)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    worker.submit(lambda: recorder.job("last"))
    assert worker.wait(20)
    assert recorder.done[-1] == "last"
    assert recorder.errors == []
