"""Gradients against Captum's, on the models of the zoo."""

from __future__ import annotations

import copy

import pytest
import torch
from captum.attr import LayerActivation, LayerGradientXActivation, Saliency
from torch import nn

import interp_widgets as iw


def without_in_place_writes(model: nn.Module) -> nn.Module:
    """Captum reads a layer's value after its forward hook, when an in-place ReLU may have overwritten it."""
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return model


@pytest.mark.parametrize("name", ["digits", "scenes", "scenes-vit"])
def test_gradients_agree_with_captum(name: str) -> None:
    entry = iw.zoo.load(name)
    inputs = entry.inputs[:2]
    trace = iw.trace.record(entry.model, inputs)
    model = without_in_place_writes(copy.deepcopy(entry.model).eval())
    leaf = inputs.clone().requires_grad_()
    for target in (0, trace.prediction):
        expected = Saliency(model).attribute(leaf, target=target, abs=False)
        assert torch.allclose(trace.gradient("input", target), expected, atol=1e-5 * float(expected.abs().max()))
        for layer in trace.layers:
            module = model.get_submodule(layer)
            if (
                not isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm))
                or not trace.site(layer).differentiable
            ):
                continue
            activation = LayerActivation(model, module).attribute(inputs)
            product = LayerGradientXActivation(model, module).attribute(inputs, target=target).detach()
            if isinstance(activation, tuple):
                continue
            assert torch.allclose(
                trace.activation(layer), activation, atol=1e-5 * float(activation.abs().max() + 1e-12)
            ), layer
            found = trace.activation(layer) * trace.gradient(layer, target)
            assert torch.allclose(found, product, atol=1e-5 * float(product.abs().max() + 1e-12)), layer
