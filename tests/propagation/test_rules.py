"""Gradients by other rules: against Captum, by hand, and on models that Captum gets wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.propagation.rules import ruled_gradient
from tests.explainers.subjects import image_for, subject
from tests.propagation.models import (
    PEERS,
    ROUNDING,
    WRITTEN,
    Functional,
    Plain,
    Reused,
    of_captum,
    picture,
    times_gradient,
)


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("rule", PEERS)
def test_a_ruled_gradient_agrees_with_captum_however_the_model_is_written(
    rule: Any, written: type[Plain], close: Callable[..., None]
) -> None:
    """The peer is always given the version whose ReLUs are modules."""
    expected = of_captum(rule, Plain(), picture(), 2)
    trace = iw.record(written(), picture())
    close(ruled_gradient(trace, trace.input_sites[0], 2, rule=rule), expected, ROUNDING)


@pytest.mark.parametrize("rule", PEERS)
def test_captum_overlooks_functional_relus(rule: str, close: Callable[..., None]) -> None:
    """Or has it been mended? It gives the plain gradient."""
    model = Functional()
    (plain,) = torch.autograd.grad(model(x := picture().requires_grad_())[0, 2], x)
    close(of_captum(rule, model, picture(), 2), plain, ROUNDING)
    assert float((of_captum(rule, Plain(), picture(), 2) - plain).abs().max()) > 0.1 * float(plain.abs().max())


@pytest.mark.parametrize("rule", PEERS)
def test_a_ruled_gradient_of_a_resnet_agrees_with_captum(rule: Any, close: Callable[..., None]) -> None:
    """Whose ReLUs are reused and write in place; the peer gets one that does not, with a ReLU for each call."""
    model, image = subject("resnet18"), image_for("resnet18")
    other = copy.deepcopy(model)
    for module in other.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if type(module).__name__ == "BasicBlock":
            module.second = nn.ReLU()
            module.forward = _block.__get__(module)  # type: ignore[method-assign]
    trace = iw.record(model, image)
    expected = of_captum(rule, other.eval(), image, 3)
    close(ruled_gradient(trace, trace.input_sites[0], 3, rule=rule), expected)


def _block(block: Any, x: torch.Tensor) -> torch.Tensor:
    """A residual block of torchvision, with another ReLU at its end."""
    skipped = x if block.downsample is None else block.downsample(x)
    x = block.relu(block.bn1(block.conv1(x)))
    return block.second(block.bn2(block.conv2(x)) + skipped)


ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.2),
    nn.PReLU(),
    nn.ELU(),
    nn.CELU(),
    nn.SELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Softplus(),
    nn.Hardswish(),
    nn.Hardtanh(),
    nn.RReLU(),
    nn.Threshold(0.1, 0.0),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_the_rules_at_one_activation_function_by_hand(activation: nn.Module) -> None:
    values = torch.linspace(-8, 8, 41, dtype=torch.float64)
    arriving = torch.cat([torch.full((41,), 2.0), torch.full((41,), -3.0)]).double()
    model = nn.Sequential(activation, nn.Linear(82, 1)).double().eval()
    with torch.no_grad():
        model[1].weight[0] = arriving
    x = values.repeat(2)
    trace = iw.record(model, x[None])
    site = trace.input_sites[0]
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(activation(leaf).sum(), leaf)
    guided = torch.where(arriving > 0, arriving * slope, 0).clamp(min=0)
    torch.testing.assert_close(ruled_gradient(trace, site, 0, rule="guided")[0], guided)
    torch.testing.assert_close(ruled_gradient(trace, site, 0, rule="deconvnet")[0], arriving.clamp(min=0))


@pytest.mark.parametrize("rule", PEERS)
@pytest.mark.parametrize("first", [True, False])
def test_gradients_afterwards_are_the_plain_ones(rule: Any, *, first: bool, close: Callable[..., None]) -> None:
    model = Reused()
    expected = iw.record(model, picture()).gradient("conv1", 2)
    trace = iw.record(model, picture())
    if first:
        trace.gradient("conv1", 2)
    ruled = ruled_gradient(trace, "conv1", 2, rule=rule)
    assert float((ruled - expected).abs().max()) > 0.1 * float(expected.abs().max())
    assert torch.equal(trace.gradient("conv1", 2), expected)
    close(trace.gradient(trace.input_sites[0], 2)[0], times_gradient(model, picture(), 2) / picture()[0], 1e-6)
    assert torch.equal(ruled_gradient(trace, "conv1", 2, rule=rule), ruled), "a ruled gradient is not a cached one"


def test_after_an_exception_gradients_are_the_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = iw.record(Plain(), picture())
    expected = iw.record(Plain(), picture()).gradient("conv1", 2)

    def broken(*_args: Any) -> None:
        raise ZeroDivisionError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr("interp_widgets.propagation.rules._guided", broken)
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            ruled_gradient(trace, "conv1", 2, rule="guided")
    assert torch.equal(trace.gradient("conv1", 2), expected)
