"""Guided Backprop, Deconvnet and Guided Grad-CAM: what is made of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch.nn.functional as F

import interp_widgets as iw
from interp_widgets.errors import LayerError
from tests.explainers.subjects import image_for, subject
from tests.propagation.models import ROUNDING, Functional, Plain, of_captum, picture


@pytest.mark.parametrize(
    ("kind", "rule"), [(iw.GuidedBackprop, "guided"), (iw.Deconvnet, "deconvnet")], ids=["guided", "deconvnet"]
)
def test_the_map_is_the_largest_or_mean_size_over_the_channels(
    kind: Any, rule: Any, close: Callable[..., None]
) -> None:
    expected = of_captum(rule, Plain(), picture(), 2)[0].abs()
    trace = iw.record(Functional(), picture())
    close(kind()(trace, 2).values, expected.amax(dim=0), ROUNDING)
    close(kind(channels="mean")(trace, 2).values, expected.mean(dim=0), ROUNDING)


def test_guided_grad_cam_is_the_product_of_its_parts(close: Callable[..., None]) -> None:
    trace = iw.record(subject("resnet18"), image_for("resnet18"))
    cam = iw.GradCAM()(trace, 3, "layer4").values
    assert float(cam.max()) > 0
    large = F.interpolate(cam[None, None], size=(96, 128), mode="bilinear", align_corners=False)[0, 0]
    close(iw.GuidedGradCAM()(trace, 3).values, large * iw.GuidedBackprop()(trace, 3).values)
    mean = iw.GuidedBackprop(channels="mean")(trace, 3).values
    close(iw.GuidedGradCAM(channels="mean")(trace, 3).values, large * mean)
    with pytest.raises(LayerError, match="explains the input only"):
        iw.GuidedGradCAM()(trace, 3, "layer4")
