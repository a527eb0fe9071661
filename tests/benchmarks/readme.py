"""The README's table of how far each method can be trusted, from the files that three benchmarks wrote.

``python -m tests.benchmarks.readme`` writes it anew after ``truth``, ``randomisation`` and ``faithfulness`` of
``tests.benchmarks`` have run.
"""

from __future__ import annotations

import json
from typing import Any

import interp_widgets as iw
from tests.benchmarks.measure import RESULTS, ROOT
from tests.benchmarks.randomisation import fault

START, END = "<!-- trust: written by tests.benchmarks.readme -->", "<!-- trust ends -->"
MODELS = ("scenes", "scenes-shortcut")
PHOTOGRAPHS = "efficientnet_lite0"
LEGEND = """\
*Insertion* and *deletion*, on the photographs of `efficientnet_lite0`, say whether the pixels ranked first carry the
class: the area under its probability while they are uncovered on the blurred picture (higher is better), or become grey
(lower is better); ✗ where it is better than a random map's on half of the photographs or fewer.
"""


def table() -> str:
    """One row per method and control, by the share inside on ``scenes``."""
    scores = {name: _scores(name) for name in MODELS}
    stages = _read("randomisation")["correlations"]
    random = {iw.EXPLAINERS[name].title: values for name, values in stages.items() if values}
    photographs = {areas["method"]: areas for areas in _read(f"faithfulness_{PHOTOGRAPHS}")["areas"]}
    columns = [f"{name}: {what}" for name in MODELS for what in ("hits", "inside")]
    columns += ["last layer random", "all random", "insertion", "deletion"]
    rows = [f"| method | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    bar = r"\|"  # in a table's cell
    for method in scores[MODELS[0]]:
        cells = [cell for name in MODELS for cell in _cells(scores[name].get(method))]
        cells += [*_alike(random.get(method)), *_areas(photographs.get(method))]
        rows.append(f"| {method.replace('|', bar)} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", LEGEND.strip()])


def _scores(model: str) -> dict[str, dict[str, Any]]:
    return {score["method"]: score for score in _read(f"truth_{model}")["scores"]}


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


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


def _areas(areas: dict[str, Any] | None) -> tuple[str, str]:
    if areas is None:
        return "", ""
    return _mean(areas, "insertion"), _mean(areas, "deletion")


def _mean(areas: dict[str, Any], name: str) -> str:
    """The mean over the photographs; in italics that of a control."""
    values = areas[name]
    mean = f"{sum(values) / len(values):.3f}"
    if areas["control"]:
        return f"*{mean}*"
    return mean if areas[f"{name}_beats"] > len(values) / 2 else f"{mean} ✗"


def main() -> None:
    """Put the table in its place."""
    path = ROOT / "README.md"
    before, rest = path.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    path.write_text(f"{before}{START}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
