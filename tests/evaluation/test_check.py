"""What is said about maps that mean nothing, and the check of all methods on one model."""

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
from interp_widgets.evaluation import check, diagnose
from interp_widgets.explainers.estimate import ErrorKind, Estimate
from interp_widgets.explainers.question import Question
from interp_widgets.explainers.registry import Registry
from tests.explainers.subjects import SmallNet, image_for, subject

IMAGE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))


class Two(nn.Module):
    """Class 0 is the mean of the ReLU of a 1x1 convolution, class 1 its negative."""

    def __init__(self, weight: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        nn.init.constant_(self.conv.weight, weight)
        nn.init.constant_(self.conv.bias, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = self.conv(x).relu().mean(dim=(1, 2, 3))
        return torch.stack([score, -score], dim=1)


def finding_of(model: nn.Module, explainer: iw.Explainer, target: object, layer: str | None = None) -> object:
    trace = iw.record(model, IMAGE)
    return diagnose(trace, explainer, explainer(trace, target, layer))  # type: ignore[arg-type]


def test_a_map_that_says_something_has_no_finding() -> None:
    assert finding_of(Two(), iw.GradCAM(), 0, "conv") is None


def test_evidence_against_only_is_named_and_the_way_out_shows_it() -> None:
    found = finding_of(Two(), iw.GradCAM(), 1, "conv")
    assert "evidence against the target" in found.reason  # type: ignore[attr-defined]
    assert dict(found.change) == {"explainer": iw.GradCAM(relu=False)}  # type: ignore[attr-defined]
    trace = iw.record(Two(), IMAGE)
    assert float(found.change["explainer"](trace, 1, "conv").values.max()) < 0  # type: ignore[attr-defined]


def test_a_silent_layer_is_named() -> None:
    class Silent(Two):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).relu().mean(dim=(2, 3))

    trace = iw.record(Silent(weight=-1.0), IMAGE)
    found = diagnose(trace, iw.LayerCAM(), iw.LayerCAM()(trace, 0, "/relu"))
    assert found is not None
    assert "every activation of this layer is zero" in found.reason
    assert dict(found.change) in ({}, {"layer": "conv"})


def test_a_layer_that_the_score_does_not_depend_on_is_named() -> None:
    class Aside(SmallNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.conv2(self.conv1(x))  # beside the way to the output
            return super().forward(x)

    trace = iw.record(Aside(), IMAGE)
    found = diagnose(trace, iw.Gradient(), iw.Gradient()(trace, 0, "conv2:0"))
    assert found is not None
    assert found.reason == "the score does not depend on this layer: its gradient is zero"
    assert found.change["layer"] == trace.default_layer()


def test_a_saturated_score_is_named_and_the_way_out_is_the_class() -> None:
    def certain(output: torch.Tensor) -> torch.Tensor:
        return (output * 1e4).softmax(dim=1)[0, 0]

    trace = iw.record(Two(), IMAGE)
    found = diagnose(trace, iw.Gradient(), iw.Gradient()(trace, certain))
    assert found is not None
    assert "saturated softmax" in found.reason
    assert dict(found.change) == {"target": 0}


def test_positions_that_nobody_reads_are_named() -> None:
    trace = iw.record(subject("vit_b_16"), image_for("vit_b_16"))
    last = "encoder.layers.encoder_layer_11"
    explainer = iw.EigenCAM()
    found = diagnose(trace, explainer, explainer(trace, 3, last))
    assert found is not None
    assert "the positions of its map mean little" in found.reason
    assert dict(found.change) == {"layer": trace.default_layer()}
    assert diagnose(trace, explainer, explainer(trace, 3, trace.default_layer())) is None


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


def test_the_explorer_says_why_a_map_is_blank_and_offers_the_way_out() -> None:
    with iw.explore(Two(), IMAGE, target=1, layer="conv", explainer="GradCAM") as explorer:
        assert explorer.wait(20)
        remedy = explorer.controls["remedy"]
        assert explorer.status.startswith("all that this layer says is evidence against the target")
        assert remedy.layout.display == ""
        assert remedy.description == "Show evidence against"
        remedy.click()
        assert explorer.wait(20)
        assert explorer.session.explainer == iw.GradCAM(relu=False)
        assert remedy.layout.display == "none"
        assert explorer.status.startswith("Grad-CAM")


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
