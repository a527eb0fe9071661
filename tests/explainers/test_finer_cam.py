"""Finer-CAM: against Grad-CAM of a difference, its own and pytorch-grad-cam's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytorch_grad_cam.utils.model_targets import FinerWeightedTarget

import interp_widgets as iw
from interp_widgets.errors import TargetError
from interp_widgets.explainers.question import Question
from interp_widgets.trace.targets import OutputScore
from tests.explainers.models import ROUNDING, of, picture, small_net


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("target", [0, 2, 4])
def test_finer_cam_is_grad_cam_of_the_difference(
    target: int, classes: int, strength: float, close: Callable[..., None]
) -> None:
    model, image = small_net(), picture()
    trace = iw.record(model, image)
    scores = trace.logits[0].tolist()
    near = sorted((abs(scores[k] - scores[target]), k) for k in range(5) if k != target)
    others = [k for _, k in near[:classes]]

    def difference(output: torch.Tensor) -> torch.Tensor:
        return output[0, target] - strength * sum(output[0, k] for k in others) / classes

    expected = iw.GradCAM()(trace, OutputScore(difference), "conv1").values
    close(iw.FinerCAM(strength=strength, classes=classes)(trace, target, "conv1").values, expected, ROUNDING)


def test_finer_cam_with_one_class_has_the_target_of_pytorch_grad_cam(close: Callable[..., None]) -> None:
    """With more, the peer weighs the classes by their probability."""
    model, image, target = of("resnet18", (64, 96))
    trace = iw.record(model, image)
    (other,) = ((trace.logits[0] - trace.logits[0, target]).abs().argsort()[1:2]).tolist()
    theirs = FinerWeightedTarget(target, [other], 0.8)
    expected = iw.GradCAM()(trace, OutputScore(lambda output: theirs(output[0])), "layer4").values
    close(iw.FinerCAM(strength=0.8, classes=1)(trace, target, "layer4").values, expected)


def test_finer_cam_compares_with_the_classes_there_are() -> None:
    trace = iw.record(small_net(), picture())
    assert sorted(iw.FinerCAM(classes=20).similar(Question(trace, iw.ClassScore(2), "conv1"), 2)) == [0, 1, 3, 4]


def test_finer_cam_refuses_what_is_no_class() -> None:
    trace = iw.record(small_net(), picture())
    with pytest.raises(TargetError, match="Finer-CAM explains classes only"):
        iw.FinerCAM()(trace, iw.Contrast(0, 1))
