"""Integrated gradients and Blur IG: against Captum, against plain loops over single passes, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import LayerError, LayoutError
from interp_widgets.explainers.baselines import BASELINES, Baseline, as_baseline
from interp_widgets.trace import SiteScore
from tests.explainers.paths import (
    DOUBLE,
    TARGET,
    Score,
    baseline_plainly,
    blurred_plainly,
    class_score,
    gradient_of,
    integrated,
    picture,
    recorded,
    smooth,
)
from tests.explainers.subjects import image_for, subject

STEPS = 8

CAPTUM = 1e-6  # of the maximum: Captum rounds places and weights of the nodes to single precision

KINKS = 1e-4  # of the maximum: what that moves over a few of the many kinks of a deep model


@cache
def deep() -> tuple[nn.Module, torch.Tensor, iw.Trace]:
    """In double precision: in single precision rounding alone moves values over kinks, by a hundredth of the map."""
    model, image = deepcopy(subject("resnet18")).double(), image_for("resnet18").double()
    return model, image, iw.record(model, image)


# Integrated gradients


@pytest.mark.parametrize("name", [*BASELINES, "given"])
def test_integrated_gradients_agree_with_captum_from_every_baseline(name: str, close: Callable[..., None]) -> None:
    model, image, trace = recorded()
    start = torch.linspace(-1, 1, image.numel(), dtype=image.dtype).reshape(image.shape)
    baseline: Baseline = as_baseline(start)
    if name != "given":
        start, baseline = baseline_plainly(name, image[0], seed=4)[None], name
    expected = captum.attr.IntegratedGradients(model).attribute(
        image.clone().requires_grad_(), start, target=TARGET, n_steps=STEPS, method="gausslegendre"
    )
    found = iw.IntegratedGradients(steps=STEPS, baseline=baseline, seed=4)(trace, TARGET)
    close(found.values, expected[0].detach().sum(dim=0), CAPTUM)


@pytest.mark.parametrize("name", ["zero", "blurred"])
def test_integrated_gradients_of_a_deep_model_agree_with_captum(name: str, close: Callable[..., None]) -> None:
    model, image, trace = deep()
    expected = captum.attr.IntegratedGradients(model).attribute(
        image.clone().requires_grad_(),
        baseline_plainly(name, image[0])[None],
        target=TARGET,
        n_steps=STEPS,
        method="gausslegendre",
    )
    found = iw.IntegratedGradients(steps=STEPS, baseline=name)(trace, TARGET)
    close(found.values, expected[0].detach().sum(dim=0), KINKS)


@pytest.mark.parametrize("layer", ["conv1", "relu", "conv2"])
@pytest.mark.parametrize("name", ["zero", "mean", "noise"])
def test_at_a_layer_they_agree_with_captums_layer_integrated_gradients(
    name: str, layer: str, close: Callable[..., None]
) -> None:
    model, image, trace = recorded()
    expected = captum.attr.LayerIntegratedGradients(model, model.get_submodule(layer)).attribute(
        image,
        baseline_plainly(name, image[0], seed=6)[None],
        target=TARGET,
        n_steps=STEPS,
        method="gausslegendre",
    )
    found = iw.IntegratedGradients(steps=STEPS, baseline=name, seed=6)(trace, TARGET, layer)
    close(found.values, expected[0].detach().sum(dim=0), CAPTUM)


def test_in_a_deep_model_they_agree_with_captums_layer_integrated_gradients(close: Callable[..., None]) -> None:
    model, image, trace = deep()
    expected = captum.attr.LayerIntegratedGradients(model, model.layer3).attribute(
        image, torch.zeros_like(image), target=TARGET, n_steps=STEPS, method="gausslegendre"
    )
    found = iw.IntegratedGradients(steps=STEPS)(trace, TARGET, "layer3")
    close(found.values, expected[0].detach().sum(dim=0), KINKS)


def test_in_front_of_an_in_place_relu_the_line_is_between_the_values_before_it(close: Callable[..., None]) -> None:
    model, image, trace = recorded()
    rest: Score = lambda bn1: model.head(model.conv2(bn1.relu()).relu().mean(dim=(2, 3)))[:, TARGET]  # noqa: E731
    ends = [model.bn1(model.conv1(x)).detach() for x in (baseline_plainly("dark", image[0])[None], image)]
    found = iw.IntegratedGradients(steps=STEPS, baseline="dark")(trace, TARGET, "bn1")
    close(found.values, integrated(rest, *ends, STEPS).sum(dim=0), DOUBLE)


@pytest.mark.parametrize("channel", [0, 5])
def test_what_a_unit_reacts_to_agrees_with_captums_neuron_integrated_gradients(
    channel: int, close: Callable[..., None]
) -> None:
    model, image, trace = recorded()
    expected = captum.attr.NeuronIntegratedGradients(model, model.conv2).attribute(
        image.clone().requires_grad_(),
        neuron_selector=lambda output: output[:, channel].sum(dim=(1, 2)),
        n_steps=STEPS,
        method="gausslegendre",
    )
    found = iw.IntegratedGradients(steps=STEPS)(trace, SiteScore("conv2", channel))
    close(found.values, expected[0].detach().sum(dim=0), CAPTUM)


def test_what_a_unit_reacts_to_at_an_earlier_layer_is_the_integral_between_the_two(close: Callable[..., None]) -> None:
    model, image, trace = recorded()
    ends = [model.conv1(x).detach() for x in (torch.zeros_like(image), image)]
    expected = integrated(lambda conv1: model.conv2(model.bn1(conv1).relu())[:, 2].sum(), *ends, STEPS)
    found = iw.IntegratedGradients(steps=STEPS)(trace, SiteScore("conv2", 2), "conv1")
    close(found.values, expected.sum(dim=0), DOUBLE)


def test_token_ids_are_compared_with_an_embedding_of_zeros(close: Callable[..., None]) -> None:
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 5)).double()
    trace = iw.record(model, torch.tensor([[1, 6, 3]]))
    found = iw.IntegratedGradients(steps=2)(trace, TARGET)
    assert found.layer == "0"
    close(found.values, (model[2].weight[TARGET].reshape(3, 4) * model[0].weight[[1, 6, 3]]).detach(), DOUBLE)


def test_they_sum_to_the_change_of_the_score_and_the_error_says_how_nearly() -> None:
    model, image, trace = recorded()
    scores = [float(class_score(model, x).detach()) for x in (image, baseline_plainly("mean", image[0])[None])]
    change = scores[0] - scores[1]
    gaps = []
    for steps in (4, 256):
        found = iw.IntegratedGradients(steps=steps, baseline="mean")(trace, TARGET)
        gap = abs(float(found.values.sum()) - change) / abs(change)
        assert found.error == pytest.approx(gap, rel=1e-6)
        gaps.append(gap)
    assert gaps[1] < 0.01  # a hundred kinks of the ReLUs on the way, each off by at most a node's share
    assert gaps[1] < gaps[0]


def test_they_sum_exactly_where_the_score_is_smooth() -> None:
    x = torch.randn(1, 6, dtype=torch.float64)
    model = smooth()
    found = iw.IntegratedGradients(steps=24)(iw.record(model, x), TARGET)
    change = float((model(x) - model(torch.zeros_like(x)))[0, TARGET].detach())
    assert float(found.values.sum()) == pytest.approx(change, rel=1e-9)  # Gauss-Legendre converges exponentially
    assert found.error is not None
    assert found.error < 1e-9


def test_estimates_use_the_known_nodes_with_weights_scaled_to_one(close: Callable[..., None]) -> None:
    model, image, trace = recorded()
    places, weights = np.polynomial.legendre.leggauss(STEPS)
    gradients = [gradient_of(partial(class_score, model), (p + 1) / 2 * image)[0] for p in places.tolist()]
    for estimate in iw.IntegratedGradients(steps=STEPS).stream(trace, TARGET):
        nodes = [0, 4, 2, 6, 1, 5, 3, 7][: estimate.done]  # first one, then halves, then quarters
        mean = sum(weights[node] * gradients[node] for node in nodes) / sum(weights[node] for node in nodes)
        close(estimate.values, (image[0] * mean).sum(dim=0), DOUBLE)


# Blur IG


def blur_ig(score: Score, image: torch.Tensor, widths: list[float]) -> torch.Tensor:
    """Xu et al. 2020, eq. 7, by the trapezium rule over these blurs; ``image`` is ``(1, C, H, W)``."""
    along = [blurred_plainly(image[0], width) for width in widths]
    gradients = [gradient_of(score, each[None])[0] for each in along]
    total = torch.zeros_like(image[0])
    for step in range(len(widths) - 1):
        total += (gradients[step] + gradients[step + 1]) / 2 * (along[step + 1] - along[step])
    return total.sum(dim=0)


@pytest.mark.parametrize("blur", [0.05, 0.3])
def test_blur_ig_is_the_trapezium_rule_over_blurs_that_shrink_quadratically(
    blur: float, close: Callable[..., None]
) -> None:
    model, image, trace = recorded()
    widths = [blur * 12 * (1 - step / 8) ** 2 for step in range(9)]
    estimates = list(iw.BlurIG(steps=9, blur=blur).stream(trace, TARGET))
    close(estimates[-1].values, blur_ig(partial(class_score, model), image, widths), DOUBLE)
    assert [estimate.done for estimate in estimates[:2]] == [1, 3]
    coarse = blur_ig(partial(class_score, model), image, [widths[step] for step in (0, 4, 8)])
    close(estimates[1].values, coarse, DOUBLE)
    way = image[0] - blurred_plainly(image[0], widths[0])
    close(estimates[0].values, (trace.gradient("input", TARGET)[0] * way).sum(dim=0), DOUBLE)


def test_blur_ig_sums_to_the_change_of_the_score_and_the_gap_falls_with_the_square_of_the_steps() -> None:
    """As that of the trapezium rule does where the score is smooth."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 6 * 10, 5)).double()
    image = picture()
    start = blurred_plainly(image[0], 0.2 * 12)[None]
    change = float((class_score(model, image) - class_score(model, start)).detach())
    trace = iw.record(model, image)
    gaps = []
    for steps in (8, 32, 128):
        found = iw.BlurIG(steps=steps)(trace, TARGET)
        gap = abs(float(found.values.sum()) - change) / abs(change)
        assert found.error == pytest.approx(gap, rel=1e-6)
        gaps.append(gap)
    assert gaps[2] < 1e-3
    assert gaps[1] < gaps[0] / 8
    assert gaps[2] < gaps[1] / 8


def test_blur_ig_of_a_linear_model_is_weight_times_what_blurring_takes_away(close: Callable[..., None]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 12, 5)).double()
    weight = model[1].weight[TARGET].detach().reshape(3, 8, 12)
    expected = (weight * (picture()[0] - blurred_plainly(picture()[0], 0.1 * 12))).sum(dim=0)
    close(iw.BlurIG(blur=0.1, steps=2)(iw.record(model, picture()), TARGET).values, expected, DOUBLE)


def test_blur_ig_refuses_what_is_no_image() -> None:
    with pytest.raises(LayoutError, match=r"Blur IG explains images: 'input' with shape \(6,\) is none"):
        iw.BlurIG()(iw.record(smooth(), torch.randn(1, 6, dtype=torch.float64)), TARGET)
    with pytest.raises(LayerError, match="Blur IG explains the input only, not the layer 'conv1'"):
        iw.BlurIG()(recorded()[2], TARGET, "conv1")
