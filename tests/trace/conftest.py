"""A table of what the sweep over torchvision found, printed at the end of the run and written beside the test cache.

A row travels with its test's report, so that it arrives from the processes of pytest-xdist too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import pytest

PROPERTY = "row of the table"


@dataclass(frozen=True)
class Row:
    model: str
    layers: int
    sites: int
    differentiable: int
    activation_error: float
    gradient_error: float
    nonzero: float
    default_layer: str
    seconds: float


@pytest.fixture
def report_row(record_property: Callable[[str, object], None]) -> Callable[[Row], None]:
    """Adds a row to the table."""
    return lambda row: record_property(PROPERTY, asdict(row))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = terminalreporter.getreports("passed")
    rows = [Row(**value) for report in reports for name, value in report.user_properties if name == PROPERTY]
    if not rows:
        return
    lines = list(_lines(sorted(rows, key=lambda row: row.model)))
    path = Path(config.rootpath) / ".pytest_cache" / "torchvision.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    terminalreporter.section("every float model of torchvision")
    for line in lines:
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"{len(rows)} models, written to {path}")


def _lines(rows: list[Row]) -> Iterator[str]:
    head = [field.name.replace("_", " ") for field in fields(Row)]
    cells = [[_cell(value) for value in astuple(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for line in (head, *cells):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _cell(value: str | float) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
