"""The curve of an activation function is the function as torch computes it, over the values that it was given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from interp_widgets.inspectors.activation_curve import activation_curve
from interp_widgets.trace import record

FUNCTIONS = {
    "celu": nn.CELU(0.7),
    "elu": nn.ELU(0.7),
    "gelu": nn.GELU("tanh"),
    "hardshrink": nn.Hardshrink(0.3),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardswish": nn.Hardswish(),
    "hardtanh": nn.Hardtanh(-0.4, 0.6),
    "leaky_relu": nn.LeakyReLU(0.2),
    "log_sigmoid": nn.LogSigmoid(),
    "mish": nn.Mish(),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "selu": nn.SELU(),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
    "softplus": nn.Softplus(2.0),
    "softshrink": nn.Softshrink(0.3),
    "tanh": nn.Tanh(),
    "threshold": nn.Threshold(0.1, 0.5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_curve_is_the_function_with_its_own_parameters(name: str) -> None:
    function = FUNCTIONS[name]
    with record(nn.Sequential(nn.Linear(4, 30), function), torch.randn(3, 4)) as trace:
        curve = activation_curve(trace, "1")
        assert curve is not None
        given = trace.activation("0")
    assert curve.name == name
    np.testing.assert_array_equal(curve.y, function(torch.from_numpy(curve.x)).numpy())
    assert curve.x[0] < min(0.0, float(given.min()))
    assert curve.x[-1] > max(0.0, float(given.max()))
    assert curve.inputs.counts.sum() == given.numel()
    assert curve.inputs.mean == pytest.approx(float(given.double().mean()))


def test_inputs_are_those_before_a_function_that_writes_in_place() -> None:
    x = torch.tensor([[-3.0, -1.0, 2.0]])
    with record(
        nn.Sequential(nn.Identity(), nn.BatchNorm1d(3, affine=False), nn.ReLU(inplace=True)).eval(), x
    ) as trace:
        curve = activation_curve(trace, "2")
    assert curve is not None
    assert (curve.inputs.edges[0], curve.inputs.edges[-1]) == pytest.approx((-3.0, 2.0), rel=1e-5)  # eps of the norm
    np.testing.assert_array_equal(curve.y, np.maximum(curve.x, 0))


def test_what_is_no_function_of_one_number_has_no_curve() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1), nn.PReLU(4))
    with record(model, torch.randn(2, 4)) as trace:
        assert [activation_curve(trace, layer) for layer in ("0", "1", "2")] == [None, None, None]


def test_inputs_that_are_all_zero_have_a_curve() -> None:
    with record(nn.Sequential(nn.Identity(), nn.Sigmoid()), torch.zeros(1, 3)) as trace:
        curve = activation_curve(trace, "1")
    assert curve is not None
    assert (curve.x[0], curve.x[-1]) == pytest.approx((-0.55, 0.55))  # numpy's bins go half a unit to each side


def test_complex_values_have_no_curve() -> None:
    with record(nn.Sequential(nn.Identity(), nn.Tanh()), torch.randn(1, 3, dtype=torch.complex64)) as trace:
        assert activation_curve(trace, "1") is None


class Floor(nn.Module):
    """A clamp whose limit is another value: a function of two numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(x, min=x.mean())


def test_a_clamp_at_another_value_has_no_curve() -> None:
    with record(nn.Sequential(nn.Identity(), Floor()), torch.randn(1, 3)) as trace:
        assert activation_curve(trace, "1") is None
