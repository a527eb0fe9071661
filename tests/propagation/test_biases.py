"""The biases of a pass, against those that pytorch-grad-cam finds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytorch_grad_cam as peers

import interp_widgets as iw
from interp_widgets.propagation.biases import biases
from tests.explainers.models import ROUNDING, normalised, picture
from tests.explainers.subjects import SmallNet, subject


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_the_biases_are_those_of_pytorch_grad_cam(name: str, close: Callable[..., None]) -> None:
    model = normalised(SmallNet() if name == "small" else subject(name))
    trace = iw.record(model, picture(64, 80))
    ours = {trace.site(site).index: bias for site, bias in biases(trace)}
    with peers.FullGrad(model, []) as cam:
        theirs = {id(module): bias for module, bias in zip(cam.target_layers, cam.bias_data, strict=True)}
    assert len(theirs) >= 3
    paths = {id(module): path for path, module in model.named_modules()}
    for module, bias in theirs.items():
        close(ours.pop(trace.site(paths[module]).index), bias, ROUNDING)
    assert list(ours) == [trace.site(trace.logits_site).index]  # the head, which has no maps
