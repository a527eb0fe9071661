"""What methods share that take gradients along paths and under noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.explainers.baselines import BASELINES, as_baseline
from interp_widgets.trace import Contrast
from tests.explainers.paths import DOUBLE, TARGET, baseline_plainly, net, picture, recorded

PATHS: dict[str, iw.Explainer] = {
    "IntegratedGradients": iw.IntegratedGradients(steps=11),
    "IntegratedGradients from noise": iw.IntegratedGradients(steps=11, baseline="noise"),
    "BlurIG": iw.BlurIG(steps=11),
    "SmoothGrad": iw.SmoothGrad(samples=11),
    "SmoothGradSquared": iw.SmoothGradSquared(samples=11),
    "VarGrad": iw.VarGrad(samples=11, channels="mean"),
    "ExpectedGradients": iw.ExpectedGradients(samples=11),
    "ExpectedGradients from the mean": iw.ExpectedGradients(samples=11, baseline="mean", noise=0.2),
}

RANDOM = [name for name in PATHS if name not in ("IntegratedGradients", "BlurIG")]


@pytest.mark.parametrize(
    ("explainer", "name"),
    [
        *((iw.IntegratedGradients, name) for name in (*BASELINES, "given")),
        # from noise it draws a baseline for each sample: see the plain loop
        *((iw.ExpectedGradients, name) for name in (*BASELINES, "given") if name != "noise"),
    ],
)
def test_of_a_linear_model_it_is_weight_times_difference(
    explainer: Callable[..., iw.Explainer], name: str, close: Callable[..., None]
) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 12, 5)).double()
    start = torch.randn(3, 8, 12, dtype=torch.float64)
    baseline = as_baseline(start if name == "given" else name)
    if name != "given":
        start = baseline_plainly(name, picture()[0])
    weight = model[1].weight[TARGET].detach().reshape(3, 8, 12)
    found = explainer(baseline=baseline)(iw.record(model, picture()), TARGET)
    close(found.values, (weight * (picture()[0] - start)).sum(dim=0), DOUBLE)


class Formula(nn.Module):
    """Two features that count alike, one that does not count, one that only bends."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, _, d = x.unbind(dim=1)
        first = torch.sin(a * b) + torch.tanh(a + b) * d.square()
        return torch.stack([first, d.exp(), a - d], dim=1)


@pytest.mark.parametrize(
    "explainer",
    [
        iw.IntegratedGradients(),
        iw.ExpectedGradients(baseline="zero"),
        iw.SmoothGrad(noise=0.0),
        iw.SmoothGradSquared(noise=0.0),
    ],
    ids=lambda explainer: type(explainer).__name__,
)
def test_a_feature_that_does_not_count_gets_nothing_and_two_that_count_alike_get_the_same(
    explainer: iw.Explainer,
) -> None:
    x = torch.tensor([[0.7, 0.7, 1.9, -0.4]], dtype=torch.float64)
    values = explainer(iw.record(Formula(), x), 0).values
    assert values.shape == (4,)
    assert values[2] == 0
    assert values[0] != 0
    assert float(values[0]) == pytest.approx(float(values[1]), rel=1e-12)
    assert float(values[0]) != pytest.approx(float(values[3]), rel=1e-3)


@pytest.mark.parametrize("name", [n for n in PATHS if n.startswith(("Integrated", "Blur", "Expected"))])
def test_a_map_is_linear_in_the_target(name: str, close: Callable[..., None]) -> None:
    _, _, trace = recorded()
    explainer = PATHS[name]
    one, other = (explainer(trace, target).values for target in (TARGET, 1))
    close(explainer(trace, Contrast(TARGET, 1)).values, one - other, DOUBLE)
    scaled = explainer(trace, lambda output: 2 * output[0, TARGET] + output[0, 1]).values
    close(scaled, 2 * one + other, DOUBLE)


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_seed_gives_the_same_map_and_another_seed_another(name: str) -> None:
    _, _, trace = recorded()
    explainer: Any = PATHS[name]
    first = explainer(trace, TARGET).values
    torch.manual_seed(77)  # of no influence
    assert torch.equal(explainer(trace, TARGET).values, first)
    again = replace(explainer, seed=1)(trace, TARGET).values
    assert float((again - first).abs().max()) > 1e-3 * float(first.abs().max())


@pytest.mark.parametrize("name", PATHS)
def test_estimates_come_with_what_is_done_and_end_with_what_a_call_returns(name: str) -> None:
    _, _, trace = recorded()
    estimates = list(PATHS[name].stream(trace, TARGET))
    done = [estimate.done for estimate in estimates]
    assert done == [1, 3, 7, 11]
    assert {estimate.total for estimate in estimates} == {11}
    called = PATHS[name](trace, TARGET)
    assert torch.equal(called.values, estimates[-1].values)
    assert called.error == estimates[-1].error
    assert called.error is not None
    assert not torch.equal(estimates[0].values, called.values)


@pytest.mark.parametrize("name", PATHS)
def test_how_many_are_done_at_once_does_not_matter(
    name: str, take_one_at_a_time: Callable[[], None], close: Callable[..., None]
) -> None:
    _, _, trace = recorded()
    expected = PATHS[name](trace, TARGET)
    take_one_at_a_time()
    estimates = list(PATHS[name].stream(trace, TARGET))
    assert [estimate.done for estimate in estimates] == list(range(1, 12))
    close(estimates[-1].values, expected.values, DOUBLE)
    assert estimates[-1].error == pytest.approx(expected.error, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("BlurIG", "input"), *product([n for n in PATHS if n != "BlurIG"], ["input", "conv1", "bn1", "conv2"])],
)
def test_one_of_a_batch_is_explained_as_if_it_were_alone(name: str, layer: str, close: Callable[..., None]) -> None:
    model, images = net(), picture(3)
    trace = iw.record(model, images)
    for example in (1, 2):
        alone = PATHS[name](iw.record(model, images[example : example + 1]), TARGET, layer)
        found = PATHS[name](trace, TARGET, layer, example=example)
        close(found.values, alone.values, DOUBLE)
        assert found.error == pytest.approx(alone.error, rel=1e-6)
        assert found.score == pytest.approx(alone.score)


class Beside(nn.Module):
    """The score depends on the input beside the layer ``conv``, too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((self.conv(x).tanh() * x).mean(dim=(2, 3)))


@pytest.mark.parametrize("name", [n for n in PATHS if n != "BlurIG"])
def test_what_bypasses_the_layer_is_that_of_the_example(name: str, close: Callable[..., None]) -> None:
    model, images = Beside().double(), picture(2)
    alone = PATHS[name](iw.record(model, images[1:]), TARGET, "conv")
    found = PATHS[name](iw.record(model, images), TARGET, "conv", example=1)
    close(found.values, alone.values, DOUBLE)
    assert found.error == pytest.approx(alone.error, rel=1e-6)


@pytest.mark.parametrize("name", PATHS)
def test_a_model_in_training_mode_is_explained_as_in_evaluation_and_left_as_it_is(
    name: str, close: Callable[..., None]
) -> None:
    expected = PATHS[name](recorded()[2], TARGET).values
    model = net().train()
    model.conv2.eval()
    before = [(key, value.clone()) for key, value in model.state_dict().items()]
    image = picture()
    random = torch.get_rng_state()
    close(PATHS[name](iw.record(model, image), TARGET).values, expected, DOUBLE)
    assert torch.equal(torch.get_rng_state(), random)
    assert [path for path, module in model.named_modules() if not module.training] == ["conv2"]
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert torch.equal(image, picture())


@pytest.mark.parametrize("name", PATHS)
def test_a_map_has_the_precision_of_the_model_and_hardly_depends_on_it(name: str, close: Callable[..., None]) -> None:
    double = PATHS[name](recorded()[2], TARGET).values
    single = PATHS[name](iw.record(net().float(), picture().float()), TARGET).values
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    close(single, double, 0.05)  # rounding moves a few values over the kinks of the ReLUs
