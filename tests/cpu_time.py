"""``make quick`` stays quick: there a test that takes many seconds of processor time and is not marked ``slow`` fails.

Processor time and not the clock's: it counts all threads and the processes a test waited for, and a busy machine does
not change it much. Marked is what takes more than ``SLOW`` seconds on the machine this was written on; the limit that
fails is higher, because other processors are slower. What fixtures do counts for no test: several may share it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

SLOW = 2.0  # seconds of processor time: mark such a test
LIMIT = 4 * SLOW  # seconds: without the mark it fails

SPENT = pytest.StashKey[float]()


class CpuTime:
    """Measures the call of each test; ``limit`` is in seconds."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Note what the call took."""
        before = spent()
        try:
            return (yield)
        finally:
            item.stash[SPENT] = spent() - before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Fail a test that passed, but not quickly."""
        report = yield
        is_marked = any(item.get_closest_marker(name) for name in ("slow", "browser"))
        took = item.stash.get(SPENT, 0.0)
        if call.when == "call" and report.passed and not is_marked and took > self.limit:
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} took {took:.1f} s of processor time; without the mark `slow` a test may take "
                f"{self.limit:g}: make it smaller, or mark it (rule and reason: tests/cpu_time.py)"
            )
        return report


def spent() -> float:
    """Processor seconds of this process, all its threads, and the processes it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
