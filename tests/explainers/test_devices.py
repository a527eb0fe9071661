"""What explainers do where the model is not on the CPU, or not in single precision."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from tests.explainers.elsewhere import NAME, Device, Elsewhere, moved

IMAGE = torch.randn(1, 3, 10, 14, generator=torch.Generator().manual_seed(3))
FEW = {"steps": 6, "samples": 8, "segments": 6, "patch": 0.4}
SCORES = 64  # numbers that are fetched at once: the scores of a batch; a map has 140
ON_THE_CPU = ("EigenCAM", "EigenGradCAM", "PartitionSHAP")  # decomposed by numpy; run by shap


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Without in-place operations: the stand-in for a device has no memory that tensors could share."""
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).eval()


def variants() -> list[Any]:
    """Each explainer with few steps, and again with noise as its baseline where it has one."""
    found = []
    for name, kind in iw.EXPLAINERS.items():
        fields = {field.name: field for field in dataclasses.fields(kind)}
        few = {name: value for name, value in FEW.items() if name in fields}
        marks = pytest.mark.slow if kind.requires else ()  # shap compiles itself when it is first used
        found.append(pytest.param(kind(**few), id=name, marks=marks))
        if "baseline" in fields:
            baselines = ("noise", "blurred")
            found += [pytest.param(kind(**few, baseline=each), id=f"{name}-{each}", marks=marks) for each in baselines]
    return found


def layer_for(explainer: iw.Explainer) -> str | None:
    return "3" if explainer.at_layer else None


def test_the_stand_in_refuses_what_a_device_refuses() -> None:
    with Device() as device:
        there = IMAGE.to(NAME)
        assert there.device == NAME
        assert isinstance(there, Elsewhere)
        assert torch.equal((there * 2 + torch.tensor(1.0)).cpu(), IMAGE * 2 + 1)
        assert isinstance(torch.zeros(2, device=there.device), Elsewhere)
        with pytest.raises(RuntimeError, match="tensors on two devices"):
            there + IMAGE
        with pytest.raises(RuntimeError, match="tensors on two devices"):
            there[:, torch.tensor([0, 1])]
    assert (device.uploads, device.downloads) == ([IMAGE.numel()], [IMAGE.numel()])


@pytest.mark.parametrize("explainer", variants())
def test_a_map_is_the_same_on_another_device_and_stays_there(
    explainer: iw.Explainer, model: nn.Module, close: Callable[..., None]
) -> None:
    expected = explainer(iw.record(model, IMAGE), 2, layer_for(explainer))
    there = copy.deepcopy(model)
    with Device() as device:
        trace = iw.record(moved(there), IMAGE.to(NAME))
        device.downloads.clear()
        estimates = list(explainer.stream(trace, 2, layer_for(explainer)))
        found = estimates[-1]
        assert isinstance(found.values, Elsewhere)
        close(found.values.cpu(), expected.values)
        assert found.pixels().shape == (10, 14, 4)
    if type(explainer).__name__ not in ON_THE_CPU:
        # scores and errors may be fetched, maps and images may not, but for the one that was drawn here
        assert max(device.downloads[:-2], default=0) <= SCORES
    assert (found.error is None) == (expected.error is None)
    assert found.error is None or found.error == pytest.approx(expected.error, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("explainer", variants())
def test_the_model_gets_its_own_precision_and_the_map_has_single_precision_at_least(
    explainer: iw.Explainer, dtype: torch.dtype, model: nn.Module
) -> None:
    own = copy.deepcopy(model).to(dtype)
    seen: set[torch.dtype] = set()
    own[0].register_forward_pre_hook(lambda _module, args: seen.add(args[0].dtype))
    trace = iw.record(own, IMAGE.to(dtype))
    for found in explainer.stream(trace, 2, layer_for(explainer)):
        assert found.values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert seen == {dtype}
