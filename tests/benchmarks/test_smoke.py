"""Each benchmark runs to its end on little, so that no new method or view breaks one unseen."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import interp_widgets as iw
from tests.benchmarks import errors, gpu, inspect, live
from tests.benchmarks.controls import CONTROLS
from tests.benchmarks.measure import ROOT, Parts
from tests.benchmarks.peers import SMALL

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a benchmark with some options; the JSON it wrote."""
    threads = torch.get_num_threads()

    def call(module: str, *options: str, writes: str) -> Any:
        code = importlib.import_module(f"tests.benchmarks.{module}").main([*options, "--results", str(tmp_path)])
        assert code == 0, capsys.readouterr().out
        return json.loads((tmp_path / f"{writes}.json").read_text(encoding="utf-8"))

    yield call
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=pytest.mark.slow if part == "memory" else ()) for part in live.PARTS]
)
def test_every_part_of_live_runs(part: str, run: Run) -> None:
    rows = run("live", "--models", SMALL, "--rounds", "1", "--parts", part, writes="live")["rows"]
    assert {row["model"] for row in rows} == {SMALL}
    assert all(row["value"] > 0 for row in rows)


@pytest.mark.parametrize("part", inspect.PARTS)
def test_every_part_of_inspect_runs(part: str, run: Run) -> None:
    rows = run("inspect", "--models", SMALL, "--rounds", "1", "--parts", part, writes="inspect")["rows"]
    assert {row["model"] for row in rows} == {SMALL}
    assert all(row["value"] > 0 for row in rows if "raises" not in row["note"])


@pytest.mark.slow
def test_live_measures_the_import(run: Run) -> None:
    (row,) = run("live", "--rounds", "1", "--parts", "import", writes="live")["rows"]
    assert row["unit"] == "s"


@pytest.mark.slow
def test_methods_measures_every_explainer(run: Run) -> None:
    results = run("methods", "--model", SMALL, "--rounds", "1", writes="methods")["results"]
    assert {result["method"] for result in results} == set(iw.EXPLAINERS)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["scenes", "scenes-shortcut"])  # those of `make trust`
def test_truth_judges_every_explainer(model: str, run: Run) -> None:
    found = run("truth", "--models", model, "--images", "3", "--samples", "8", writes=f"truth_{model}")
    titles = {score["method"] for score in found["scores"] if not score["control"]}
    assert titles == {kind.title for kind in iw.EXPLAINERS.values()}


@pytest.mark.slow
def test_randomisation_judges_every_explainer(run: Run) -> None:
    options = ("--images", "1", "--seeds", "1", "--samples", "8")
    found = run("randomisation", *options, writes="randomisation")
    assert set(found["correlations"]) == set(iw.EXPLAINERS)
    assert all(len(values) == len(found["stages"]) for values in found["correlations"].values())


@pytest.mark.slow
def test_faithfulness_judges_every_explainer(run: Run) -> None:
    little = ("--models", "scenes", "--images", "1", "--steps", "2", "--samples", "8")
    found = run("faithfulness", *little, writes="faithfulness_scenes")
    titles = {areas["method"] for areas in found["areas"] if not areas["control"]}
    assert titles == {kind.title for kind in iw.EXPLAINERS.values()}


@pytest.mark.slow
def test_errors_judges_every_method_that_states_a_standard_error(run: Run) -> None:
    found = run("errors", "--models", "digits", writes="errors")
    assert {row["method"] for row in found["digits"]} == {iw.EXPLAINERS[name].title for name in errors.STATING}


def test_a_part_that_fails_is_reported_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> Iterator[Any]:
        raise KeyError("visible")

    monkeypatch.setitem(live.PARTS, "cold", broken)
    options = ["--models", SMALL, "--rounds", "1", "--parts", "cold", "bytes", "--results", str(tmp_path)]
    assert live.main(options) == 1
    printed = capsys.readouterr()
    assert "FAILED: cold, small" in printed.out
    assert "KeyError: 'visible'" in printed.err
    assert "bytes: Picture, a class change" in printed.out
    assert printed.out.splitlines()[-1] == "1 part(s) failed: cold, small"


def test_parts_that_all_run_are_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    parts = Parts()
    with parts.part("first"):
        pass
    assert parts.exit_code() == 0
    assert capsys.readouterr().out == ""


def test_gpu_measures_on_a_cpu_when_it_is_told_to(run: Run) -> None:
    little = ("--rounds", "1", "--many-rounds", "1", "--masks", "4", "--samples", "2")
    found = run("gpu", "--device", "cpu", "--models", SMALL, "--many", SMALL, *little, writes="gpu")
    (row,) = found["models"]
    measured = {name: value for name, value in row.items() if name not in ("model", "device")}
    assert {name for name, value in measured.items() if not value > 0} == {"memory"}  # of a card only
    assert [row["method"] for row in found["methods"]] == [
        *("RISE", "ScoreCAM", "DeepLift", "DeepLiftSHAP", "ShapleySampling")
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card, so it would measure")
def test_gpu_says_in_a_sentence_that_there_is_no_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("This machine has no CUDA device: nothing was measured")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.browser
def test_browser_moves_every_control(tmp_path: Path) -> None:
    """In a process of its own: Playwright runs once in each, and the other browser tests have it."""
    little = ("--models", "scenes", "--networks", "here", "--moves", "2", "--results", str(tmp_path))
    command = [sys.executable, "-m", "tests.benchmarks.browser", *little]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lines = json.loads((tmp_path / "browser.json").read_text(encoding="utf-8"))["lines"]
    assert {line["control"] for line in lines} == set(CONTROLS)
    assert all(line["shown_median"] > 0 for line in lines)
