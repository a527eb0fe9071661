"""Slow work off the kernel's main loop: one thread, the newest request wins."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

__all__ = ["Worker"]

Job = Callable[[], Iterator[None]]


class Worker:
    """Runs one job at a time. A job is a generator: between two of its steps it can be stopped by a newer one.

    A job that was submitted as ``first`` (another input was chosen) goes before the others and is replaced only by one
    of its kind. The thread exists while there is work and ends by itself; what a job raises goes to ``on_error``.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._lock = threading.Condition()
        self._waiting: Job | None = None
        self._first: Job | None = None
        self._in_first = False
        self._thread: threading.Thread | None = None
        self._number = 0
        self._closed = False

    def submit(self, job: Job, *, first: bool = False) -> None:
        """Run ``job`` as soon as the step that runs now is done; what waited before is dropped."""
        with self._lock:
            if self._closed:
                return
            self._number += 1
            if first:
                self._first = job
            else:
                self._waiting = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="interp_widgets worker", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def cancel(self) -> None:
        """Stop what runs after its current step, and drop what waits."""
        with self._lock:
            self._number += 1
            self._waiting = self._first = None
            self._lock.notify_all()

    def pause(self, seconds: float) -> None:
        """Called by a job: wait, but not longer than until a newer request comes."""
        with self._lock:
            number = self._number
            self._lock.wait_for(lambda: self._number != number, timeout=seconds)

    @property
    def first_pending(self) -> bool:
        """Whether a job that was submitted as ``first`` runs or waits."""
        with self._lock:
            return self._first is not None or self._in_first

    @property
    def inside(self) -> bool:
        """Whether the caller runs on the worker's thread."""
        return threading.current_thread() is self._thread

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        with self._lock:
            return self._thread is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Block until there is no work left; whether that was reached in ``timeout`` seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: self._thread is None, timeout=timeout)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def close(self) -> None:
        """Stop for good."""
        with self._lock:
            self._closed = True
        self.cancel()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            job, number = taken
            try:
                for _ in job():
                    if self._number != number:
                        break
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a thread's error would be lost; the owner shows it
                with contextlib.suppress(Exception):
                    self._on_error(error)

    def _take(self) -> tuple[Job, int] | None:
        """The next job; without one the thread is over."""
        with self._lock:
            job = self._first or self._waiting
            self._in_first = self._first is not None
            if self._first is not None:
                self._first = None
            else:
                self._waiting = None
            if job is None:
                self._thread = None
                self._lock.notify_all()
                return None
            return job, self._number
