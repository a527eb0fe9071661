"""How things are measured: interleaved, medians, fresh processes where state would leak from one into the next."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Row", "describe_machine", "fresh_process", "interleaved", "p95", "seconds"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Row:
    """One number: ``limit`` is its target, ``None`` for what is only reported."""

    what: str
    model: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        goal = "" if self.limit is None else f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return f"{self.model:<10} {self.what:<52} {self.value:>10.3g} {self.unit:<3} {goal:<12} {verdict:<7}{self.note}"


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes; what it returns is freed outside the measured time."""
    started = time.perf_counter()
    kept = call()
    took = time.perf_counter() - started
    del kept
    return took


def interleaved(calls: Mapping[str, Callable[[int], object]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of each call per round, in turns (A B C A B C ...), so that a busy machine slows all of them alike.

    Each call gets the number of its round, so that it can ask something new each time.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-warm_up, rounds):
        for name, call in calls.items():
            gc.collect()
            gc.disable()
            took = seconds(lambda call=call, number=number: call(number))  # type: ignore[misc]
            gc.enable()
            if number >= 0:
                times[name].append(took)
    return times


def p95(times: list[float]) -> float:
    """The time that 95 of 100 stay below."""
    return sorted(times)[min(len(times) - 1, round(0.95 * (len(times) - 1)))]


def fresh_process(code: str, rounds: int = 1) -> list[Any]:
    """What ``code`` prints as its last line, as JSON, from each of several new Python processes."""
    found = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        found.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return found


def describe_machine(threads: int) -> dict[str, object]:
    """What the numbers were measured on."""
    import os
    import platform

    import torch

    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
