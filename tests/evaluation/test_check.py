"""The check of all methods on one model."""

from __future__ import annotations

import importlib
import io
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import ParameterError
from interp_widgets.evaluation import check
from interp_widgets.explainers.estimate import ErrorKind, Estimate
from interp_widgets.explainers.question import Question
from interp_widgets.explainers.registry import Registry
from tests.explainers.subjects import SmallNet

IMAGE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))


# The check of all methods


@dataclass(frozen=True)
class Gappy(iw.Gradient):
    """Promises to add up and does not."""

    title: ClassVar[str] = "Gappy"
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.COMPLETENESS_GAP

    def estimates(self, question: Question) -> Iterator[Estimate]:
        for estimate in super().estimates(question):
            yield estimate._replace(error=0.98)


@dataclass(frozen=True)
class Moody(iw.Gradient):
    """Another map every time."""

    title: ClassVar[str] = "Moody"

    def estimates(self, question: Question) -> Iterator[Estimate]:
        for estimate in super().estimates(question):
            yield estimate._replace(values=estimate.values * torch.rand(()))


@pytest.fixture
def _more_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry((iw.GradCAM, iw.EigenCAM, iw.Gradient, iw.SmoothGrad, iw.IntegratedGradients, Gappy, Moody))
    monkeypatch.setattr(importlib.import_module("interp_widgets.evaluation.check"), "EXPLAINERS", known)


@pytest.mark.usefixtures("_more_methods")
def test_every_method_is_judged() -> None:
    report = check(SmallNet(), IMAGE, target=2)
    assert [found.method for found in report][:2] == ["GradCAM", "EigenCAM"]
    assert report["Gradient"].verdict == "works"
    assert report["EigenCAM"].verdict == "careful"
    assert "the same for another class" in report["EigenCAM"].reason
    assert (report["Gappy"].verdict, report["Gappy"].reason[:7]) == ("wrong", "gap 98%")
    assert (report["Moody"].verdict, report["Moody"].reason) == ("wrong", "asked again, it gives another map")
    assert "completeness gap" in report["IntegratedGradients"].reason
    words = str(report)
    assert all(name in words for name in ("SmallNet", "Gappy", "wrong"))


@pytest.mark.usefixtures("_more_methods")
def test_a_model_without_maps_is_refused_by_what_needs_them_and_explained_by_the_others() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).eval()
    report = check(model, torch.rand(1, 6))
    assert report["GradCAM"].verdict == "refuses"
    assert "no layer" in report["GradCAM"].reason
    assert report["Gradient"].verdict == "works"


def test_names_from_outside_stay_text() -> None:
    hostile = type("<img src=x onerror=alert(1)>", (SmallNet,), {})
    shown = check(hostile(), IMAGE, methods=["Gradient"])._repr_html_()
    assert "<img" not in shown
    assert "&lt;img src=x" in shown


def test_an_unknown_method_is_refused_and_a_trace_is_taken() -> None:
    with pytest.raises(ParameterError, match="no explainer is named 'GradCM'; did you mean 'GradCAM'"):
        check(SmallNet(), IMAGE, methods=["GradCM"])
    with iw.record(SmallNet(), IMAGE) as trace:
        assert check(trace, methods=["Gradient"])["Gradient"].verdict == "works"
        assert not trace.closed


@dataclass(frozen=True)
class Broken(iw.Gradient):
    """Somebody else's method, with a fault."""

    title: ClassVar[str] = "Broken"

    def estimates(self, question: Question) -> Iterator[Estimate]:
        raise ZeroDivisionError("by its author")


def test_a_method_with_a_fault_is_named_and_the_others_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("interp_widgets.evaluation.check")
    monkeypatch.setattr(module, "EXPLAINERS", Registry((Broken, iw.Gradient)))
    report = check(SmallNet(), IMAGE)
    assert (report["Broken"].verdict, report["Broken"].reason) == ("wrong", "ZeroDivisionError: by its author")
    assert report["Gradient"].verdict == "works"


def test_a_slow_method_is_run_once_and_asked_again_for_its_second_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("interp_widgets.evaluation.check")
    asked: list[int] = []

    @dataclass(frozen=True)
    class Counted(iw.SmoothGrad):
        def estimates(self, question: Question) -> Iterator[Estimate]:
            for estimate in super().estimates(question):
                asked.append(estimate.done)
                yield estimate

    monkeypatch.setattr(module, "EXPLAINERS", Registry((Counted,)))
    assert check(SmallNet(), IMAGE, target=1)["Counted"].verdict == "works"
    assert asked[-4:] == [*asked[:2], *asked[:2]]  # again, and for another class
    assert asked.count(iw.SmoothGrad().samples) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_progress_is_one_line_that_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    check(SmallNet(), IMAGE, methods=["Gradient", "SmoothGrad"])
    *told, blank, end = terminal.getvalue().split("\r")[1:]
    assert told[0] == "checking method 1 of 2, Gradient"
    assert re.fullmatch(r"checking method 2 of 2, SmoothGrad: \d+ of 32 evaluations, about \d+ s left *", told[-2])
    assert (blank.strip(), end) == ("", "")
    assert len(blank) >= len(told[-1].rstrip())


def test_in_a_notebook_the_progress_is_an_output_that_is_empty_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            assert raw
            shown.append(data["text/plain"])

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert raw and display_id and data == {"text/plain": ""}  # noqa: PT018 - one call
        return Handle()

    monkeypatch.setattr("IPython.get_ipython", lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", display)
    check(SmallNet(), IMAGE, methods=["Gradient"])
    assert shown == ["checking method 1 of 1, Gradient", ""]


def test_a_draft_that_comes_only_when_a_gradient_is_recorded_makes_no_other_map() -> None:
    """LRP paints a draft first where it costs nothing: that is no sign of a method that changes its mind."""
    with iw.record(SmallNet(), IMAGE) as trace:
        trace.gradient("input", 1)
        assert check(trace, target=1, methods=["LRP"])["LRP"].verdict == "works"
        assert check(trace, target=2, methods=["LRP", "Gradient", "LRP"])["LRP"].verdict == "works"


def test_nothing_is_written_where_nobody_reads_along(capfd: pytest.CaptureFixture[str]) -> None:
    check(SmallNet(), IMAGE, methods=["Gradient"])
    assert capfd.readouterr() == ("", "")


def test_no_method_at_all_is_refused() -> None:
    with pytest.raises(ParameterError, match="give at least one method"):
        iw.check(torch.nn.Linear(4, 3), torch.rand(1, 4), methods=[])
