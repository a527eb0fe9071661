"""The README's table from the files of the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import readme


def test_a_row_holds_what_each_benchmark_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    score = {"method": "Grad-CAM", "control": False, "verdict": "better than every control"}
    score |= {"hits": 0.92, "hits_low": 0.87, "hits_high": 0.95, "inside": 0.212, "inside_margin": 0.009}
    areas = {"method": "Grad-CAM", "control": False, "insertion": [0.4, 0.3], "deletion": [0.1, 0.2]}
    areas |= {"insertion_beats": 2, "deletion_beats": 1}
    files = {
        "truth_scenes": {"scores": [score, score | {"method": "random map", "control": True}]},
        "truth_scenes-shortcut": {"scores": [score | {"verdict": "no better than |input|"}]},
        "randomisation": {"correlations": {"GradCAM": [0.95, 0.6]}},
        "faithfulness_efficientnet_lite0": {"areas": [areas, areas | {"method": "random map", "control": True}]},
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    _, line, method, control, empty, *legend = readme.table().splitlines()
    assert line == "|---|" + "---:|" * 8
    inside = "92% (87%-95%) | 21.2 ± 0.9 %"
    assert method == f"| Grad-CAM | {inside} | {inside} ✗ | 0.95 ✗ | 0.60 ✗ | 0.350 | 0.150 ✗ |"
    assert control.endswith("| refuses |  |  |  | *0.350* | *0.150* |")
    assert empty == ""
    assert legend == readme.LEGEND.splitlines()
