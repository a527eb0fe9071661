"""The README's table of how far each method can be trusted, from the files that two benchmarks wrote.

``python -m tests.benchmarks.readme`` writes it anew after ``tests.benchmarks.truth`` and
``tests.benchmarks.randomisation`` have run.
"""

from __future__ import annotations

import json
from typing import Any

import interp_widgets as iw
from tests.benchmarks.measure import RESULTS, ROOT
from tests.benchmarks.randomisation import fault

START, END = "<!-- trust: written by tests.benchmarks.readme -->", "<!-- trust ends -->"
MODELS = ("scenes", "scenes-shortcut")


def table() -> str:
    """One row per method and control, by the share inside on ``scenes``."""
    scores = {name: _scores(name) for name in MODELS}
    stages = json.loads((RESULTS / "randomisation.json").read_text(encoding="utf-8"))["correlations"]
    random = {iw.EXPLAINERS[name].title: values for name, values in stages.items() if values}
    columns = ["method", *(f"{name}: {what}" for name in MODELS for what in ("hits", "inside"))]
    head = f"| {' | '.join([*columns, 'last layer random', 'all random'])} |"
    rows = [head, "|---|" + "---:|" * (2 * len(MODELS) + 2)]
    bar = r"\|"  # in a table's cell
    for method in scores[MODELS[0]]:
        cells = [cell for name in MODELS for cell in _cells(scores[name].get(method))]
        rows.append(f"| {method.replace('|', bar)} | {' | '.join([*cells, *_alike(random.get(method))])} |")
    return "\n".join(rows)


def _scores(model: str) -> dict[str, dict[str, Any]]:
    found = json.loads((RESULTS / f"truth_{model}.json").read_text(encoding="utf-8"))["scores"]
    return {score["method"]: score for score in found}


def _cells(score: dict[str, Any] | None) -> tuple[str, str]:
    if score is None:
        return "refuses", ""
    hits = f"{score['hits']:.0%} ({score['hits_low']:.0%}-{score['hits_high']:.0%})"
    inside = f"{score['inside'] * 100:.1f} ± {score['inside_margin'] * 100:.1f} %"
    if score["control"]:
        return hits, f"*{inside}*"
    return hits, inside if score["verdict"].startswith("better") else f"{inside} ✗"


def _alike(values: list[float] | None) -> tuple[str, str]:
    if values is None:
        return "", ""
    last, everything = f"{values[0]:.2f}", f"{values[-1]:.2f}"
    return (last + " ✗" if fault(values) else last), (everything + " ✗" if fault([0.0, values[-1]]) else everything)


def main() -> None:
    """Put the table in its place."""
    path = ROOT / "README.md"
    before, rest = path.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    path.write_text(f"{before}{START}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
