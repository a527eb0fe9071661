"""Which methods cannot explain what is looked at, told without a pass: each one that is named fails, and no other."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from interp_widgets.errors import InterpError
from interp_widgets.explainers import EXPLAINERS, Explainer, from_callable
from interp_widgets.session.session import Session
from interp_widgets.trace import Contrast
from tests.widgets.models import Detector, TokenModel, cnn, images, mlp

SLOW_TO_START = "PartitionSHAP"  # its package compiles itself for ten seconds when it is first used


def _quick(kind: type[Explainer]) -> Explainer:
    few = {"steps": 2, "samples": 4, "segments": 4, "patch": 0.4}
    named = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in few.items() if name in named})


class Cut(nn.Module):
    """A layer with maps that autograd does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, 3, 1)
        self.after = cnn()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            before = self.before(x)
        scores: torch.Tensor = self.after(before + x)
        return scores


def _video() -> nn.Module:
    return nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


SUBJECTS: dict[str, tuple[nn.Module, torch.Tensor, dict[str, Any]]] = {
    "image": (cnn(), images(1), {}),
    "numbers": (mlp(), torch.ones(1, 4), {}),
    "tokens": (TokenModel().eval(), torch.tensor([[3, 1, 4, 1, 5]]), {}),
    "video": (_video(), torch.ones(1, 3, 5, 12, 12), {}),
    "no gradient": (Cut().eval(), images(1), {"layer": "before", "at_layer": True}),
}


def _refuses(session: Session, method: Explainer) -> bool:
    try:
        session.attribution(explainer=method)
    except InterpError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("target", [0, Contrast(0, 1)], ids=["class", "contrast"])
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_method_is_named_exactly_where_it_would_refuse(name: str, target: Any) -> None:
    model, inputs, state = SUBJECTS[name]
    with Session(model, inputs, target=target, **state) as session:
        session.explainer = from_callable(lambda _model, image, _index: image, title="Mine")
        methods = {each: _quick(kind) for each, kind in EXPLAINERS.items() if each != SLOW_TO_START}
        methods |= session.explainers
        unmet = session.unmet_needs()
        for each, method in methods.items():
            assert _refuses(session, method) == (each in unmet), (each, unmet.get(each))


def test_each_need_is_said_in_its_own_words() -> None:
    def of(name: str, **state: Any) -> dict[str, str]:
        model, inputs, given = SUBJECTS[name]
        with Session(model, inputs, **given, **state) as session:
            return session.unmet_needs()

    assert of("image", target=0) == {}
    assert of("image", target=Contrast(0, 1)) == {"FinerCAM": "needs a class"}
    assert of("numbers")["GradCAM"] == of("numbers")["GuidedGradCAM"] == "needs maps"
    assert of("video")["ScoreCAM"] == of("video")["RISE"] == of("video")["PartitionSHAP"] == "needs an image"
    assert of("tokens")["KernelSHAP"] == "needs an input of numbers"
    assert of("no gradient")["LRP"] == of("no gradient")["Gradient"] == "needs a gradient"


def test_what_is_not_installed_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EXPLAINERS["PartitionSHAP"], "requires", "no_such_package")
    for name in ("image", "numbers"):
        with Session(*SUBJECTS[name][:2]) as session:
            assert session.unmet_needs()["PartitionSHAP"] == "not installed"


def test_nothing_is_marked_as_long_as_no_target_is_chosen() -> None:
    with Session(Detector(), images(1)) as session:
        assert session.target is None
        assert session.unmet_needs() == {}


def test_telling_runs_no_model() -> None:
    model = cnn()
    with Session(model, images(1)) as session, session.steady():

        def refuse(*_given: object) -> None:
            raise AssertionError("a pass")

        model.register_forward_pre_hook(refuse)
        assert session.trace is not None
        session.trace.rerun = session.trace.gradient = refuse  # type: ignore[assignment,method-assign]
        assert session.unmet_needs() == {}
