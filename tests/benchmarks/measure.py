"""How things are measured: interleaved, medians, fresh processes where state would leak from one into the next.

A benchmark is made of parts. One that fails is reported and the others go on: see ``Parts``.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import interp_widgets as iw

__all__ = [
    "RESULTS",
    "Parts",
    "Row",
    "configured",
    "describe_machine",
    "fresh_process",
    "interleaved",
    "p95",
    "parser_for",
    "seconds",
    "write_json",
]

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"  # git ignores it


class Parts:
    """The parts of a benchmark, run one after another; one that fails is printed, and does not stop the others."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run one part: ``with parts.part("warm, resnet18"): ...``."""
        try:
            yield
        except Exception:  # noqa: BLE001 - whatever goes wrong in one part is no reason to lose the others
            self.report(name)

    def report(self, name: str) -> None:
        """The exception that is being handled is the failure of that part: print it, remember the part."""
        self.failed.append(name)
        print(f"FAILED: {name}", flush=True)
        traceback.print_exc()

    def exit_code(self) -> int:
        """1 if a part failed; then their names are printed."""
        if not self.failed:
            return 0
        print(f"{len(self.failed)} part(s) failed: {'; '.join(self.failed)}")
        return 1


def parser_for(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for ``python -m tests.benchmarks.<module>``, with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.benchmarks.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON that is written")
    return parser


def write_json(folder: Path, name: str, content: object) -> Path:
    """The results as a file; the folder is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def configured(name: str, samples: int | None) -> iw.Explainer:
    """The method of that name as it comes, or with so many steps and samples, where it has them."""
    kind = iw.EXPLAINERS[name]
    fields = {field.name for field in dataclasses.fields(kind)} & {"steps", "samples"}
    return kind(**dict.fromkeys(fields, samples)) if samples is not None else kind()


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
    gc.collect()
    gc.freeze()  # what is there already need not be looked through before each call
    try:
        for number in range(-warm_up, rounds):
            for name, call in calls.items():
                gc.collect()
                gc.disable()
                took = seconds(lambda call=call, number=number: call(number))  # type: ignore[misc]
                gc.enable()
                if number >= 0:
                    times[name].append(took)
    finally:
        gc.enable()
        gc.unfreeze()
    return times


def p95(times: list[float]) -> float:
    """The time that 95 of 100 stay below."""
    return sorted(times)[min(len(times) - 1, round(0.95 * (len(times) - 1)))]


def fresh_process(code: str, rounds: int = 1) -> list[Any]:
    """What ``code`` prints as its last line, as JSON, from each of several new Python processes."""
    found = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            raise RuntimeError(f"a fresh process ended with {done.returncode}: {done.stderr[-2000:]}")
        found.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return found


def describe_machine(threads: int) -> dict[str, object]:
    """What the numbers were measured on."""
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
