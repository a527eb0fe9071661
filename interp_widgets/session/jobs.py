"""Slow work off the kernel's main loop: one thread, the newest question of each asker, and how a refinement is paced.

A job is a generator that works between its ``yield``s. One thread runs the jobs of a session, one step at a time: what
must go first, then what somebody waits for, then what takes long, then what may be asked for next. A job that is asked
again replaces the one before; the thread exists while there is work and ends with it.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from interp_widgets.explainers import Attribution
from interp_widgets.trace.interrupt import Interrupted, interruptible

__all__ = ["Jobs", "Rank", "Steps"]

PAINT_EVERY = 0.1  # seconds between two estimates that are painted
REST = 0.15  # seconds without a new question before anything is prefetched
LAST_STEP = 30.0  # seconds that a process which ends waits for the operation in progress

Steps = Iterator[None]


class Rank(IntEnum):
    """What is run before what."""

    FIRST = 0  # another input: every other answer depends on it
    ASKED = 1  # somebody waits for it, and it takes one pass
    LONG = 2  # somebody waits for it, and watches it getting better
    LATER = 3  # may be asked for next


@dataclass(eq=False)
class _Job:
    owner: Hashable
    begin: Callable[[], Steps]
    on_error: Callable[[BaseException], object]
    rank: Rank
    number: int  # of two jobs of one rank the smaller one is run
    steps: Steps | None = None
    is_wanted: bool = True

    def step(self) -> bool:
        """Work until the next ``yield``; whether there may be more to do."""
        if self.steps is None:
            self.steps = self.begin()
        try:
            next(self.steps)
        except StopIteration:
            return False
        return True


class Jobs:
    """The jobs of one session and the thread that runs them.

    Every pass of the model on this thread is given up in its middle once the jobs are closed or the process ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._waiting: dict[Hashable, _Job] = {}
        self._current: _Job | None = None
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count()
        self._last_request = 0.0
        self._closed = False
        _ALL.add(self)

    def submit(
        self,
        owner: Hashable,
        job: Callable[[], Steps],
        *,
        on_error: Callable[[BaseException], object],
        rank: Rank = Rank.ASKED,
    ) -> None:
        """Run ``job()``; what the same owner asked for before is given up after its current step.

        What the job raises, whatever it is, goes to ``on_error`` on the worker's thread, unless nobody wants the job
        any more.
        """
        with self._lock:
            if self._closed:
                return
            self._drop(owner)
            self._waiting[owner] = _Job(owner, job, on_error, rank, next(self._numbers))
            self._last_request = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="interp_widgets worker", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def cancel(self, owner: Hashable) -> None:
        """Give up what this owner asked for."""
        with self._lock:
            self._drop(owner)
            self._lock.notify_all()

    def cancel_all(self, owner: Hashable) -> None:
        """Give up what this owner asked for, and what it asked for under keys ``(owner, ...)``."""
        with self._lock:
            keys = [*self._waiting, *([] if self._current is None else [self._current.owner])]
            for key in keys:
                if key is owner or (isinstance(key, tuple) and key[0] is owner):
                    self._drop(key)
            self._lock.notify_all()

    def close(self) -> None:
        """Give up everything, in the middle of a pass, and take no more work."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            if self._current is not None:
                self._current.is_wanted = False
            self._lock.notify_all()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def inside(self) -> bool:
        """Whether the caller runs on the worker's thread."""
        return threading.current_thread() is self._thread

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        with self._lock:
            return self._thread is not None

    def waits(self, owner: Hashable) -> bool:
        """Whether something that this owner asked for has yet to begin, or to go on."""
        with self._lock:
            return owner in self._waiting

    def wait(self, timeout: float | None = None) -> bool:
        """Block until there is no work left; whether that was reached in ``timeout`` seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: self._thread is None, timeout=timeout)

    def refine(self, stream: Iterator[Attribution]) -> Iterator[Attribution | None]:
        """Called by a job: the estimates worth painting, and ``None`` for each of the others.

        The first and the last estimate are painted at once, those between not more often than they can be seen. As soon
        as the job is not wanted any more, the pass of the model is given up in its middle.
        """
        painted = float("-inf")
        while True:
            with interruptible(self._is_superseded):
                found = next(stream, None)
            if found is None:
                return
            now = time.monotonic()
            if found.done >= found.total or now - painted >= PAINT_EVERY:
                painted = now
                yield found
            else:
                yield None

    def _drop(self, owner: Hashable) -> None:
        self._waiting.pop(owner, None)
        if self._current is not None and self._current.owner == owner:
            self._current.is_wanted = False

    def _is_superseded(self) -> bool:
        return self._closed or self._current is None or not self._current.is_wanted

    def _run(self) -> None:
        while (job := self._take()) is not None:
            has_more = False
            try:
                with interruptible(lambda: self._closed):
                    has_more = job.step()
            except Interrupted:
                pass  # nobody wants it any more
            except BaseException as error:  # noqa: BLE001 - a user's model raises what it likes; the thread must live on
                self._report(job, error)
            self._put_back(job, has_more=has_more)

    def _report(self, job: _Job, error: BaseException) -> None:
        if job.is_wanted:
            with contextlib.suppress(Exception):  # the owner failed too; the next job must run
                job.on_error(error)

    def _take(self) -> _Job | None:
        """The next job; without one the thread is over."""
        with self._lock:
            while self._waiting:
                job = min(self._waiting.values(), key=lambda each: (each.rank, each.number))
                rest = self._last_request + REST - time.monotonic()
                if job.rank is not Rank.LATER or rest <= 0:
                    self._current = self._waiting.pop(job.owner)
                    return job
                self._lock.wait(rest)
            self._thread = None
            self._lock.notify_all()
            return None

    def _put_back(self, job: _Job, *, has_more: bool) -> None:
        with self._lock:
            self._current = None
            goes_on = has_more and job.is_wanted
            if goes_on:
                if job.rank is Rank.LATER:
                    job.number = next(self._numbers)  # in turn with the other owners
                self._waiting[job.owner] = job
        if not goes_on and job.steps is not None:
            with contextlib.suppress(Exception):
                getattr(job.steps, "close", lambda: None)()

    def join(self, timeout: float) -> None:
        """Wait until the thread is over."""
        thread = self._thread
        if thread is not None and not self.inside:
            thread.join(timeout)


_ALL: weakref.WeakSet[Jobs] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """A thread that is still inside torch while the interpreter goes away aborts the process."""
    running = list(_ALL)
    for jobs in running:
        jobs.close()
    deadline = time.monotonic() + LAST_STEP
    for jobs in running:
        jobs.join(max(0.0, deadline - time.monotonic()))
