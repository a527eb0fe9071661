"""Gradients along paths and under noise: against Captum, against plain loops over single passes, and against answers
that can be worked out by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise, product
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InputError, LayerError, LayoutError, ParameterError
from interp_widgets.explainers.baselines import BASELINES, Baseline, as_baseline
from interp_widgets.explainers.estimate import spread
from interp_widgets.trace import Contrast, SiteScore
from tests.explainers.subjects import SmallNet, image_for, subject

STEPS = 8
TARGET = 3
DOUBLE = 1e-9  # of the maximum: sums of a few hundred numbers in double precision
CAPTUM = 1e-6  # of the maximum: Captum rounds places and weights of the nodes to single precision
KINKS = 1e-4  # of the maximum: what that moves over a few of the many kinks of a deep model

Score = Callable[[torch.Tensor], torch.Tensor]
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


def net(seed: int = 2) -> SmallNet:
    torch.manual_seed(seed)
    model = SmallNet().double().eval()
    for parameter in (model.bn1.weight, model.bn1.bias, model.bn1.running_mean):
        nn.init.normal_(parameter, 0.5, 0.5)
    return model


def picture(count: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 8, 12, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


@cache
def recorded() -> tuple[SmallNet, torch.Tensor, iw.Trace]:
    model = net()
    return model, picture(), iw.record(model, picture())


@cache
def deep() -> tuple[nn.Module, torch.Tensor, iw.Trace]:
    """In double precision: in single precision rounding alone moves values over kinks, by a hundredth of the map."""
    model, image = deepcopy(subject("resnet18")).double(), image_for("resnet18").double()
    return model, image, iw.record(model, image)


def smooth() -> nn.Sequential:
    """A model of vectors whose integrals a few nodes give exactly."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def gradient_of(score: Score, x: torch.Tensor) -> torch.Tensor:
    """The gradient at one input, ``(1, ...)``, from one plain pass."""
    leaf = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(score(leaf).sum(), leaf)
    return found


def blurred_plainly(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """By SciPy, ``(C, H, W)``: the border repeated, cut off at three standard deviations."""
    if sigma == 0:
        return image
    radius = max(1, round(3 * sigma))
    found = image.numpy()
    for axis in (1, 2):
        found = gaussian_filter1d(found, sigma, axis=axis, mode="nearest", radius=radius)
    return torch.from_numpy(np.ascontiguousarray(found)).to(image)


def baseline_plainly(name: str, image: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """What ``BASELINES`` says, channel by channel; ``image`` is ``(C, H, W)``."""
    channels = []
    drawn = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed)).to(image)
    for channel, noise in zip(image, drawn, strict=True):
        low, high = min(channel.flatten().tolist()), max(channel.flatten().tolist())
        channels.append(
            {
                "zero": torch.zeros_like(channel),
                "dark": torch.full_like(channel, low),
                "mean": torch.full_like(channel, float(channel.sum()) / channel.numel()),
                "blurred": blurred_plainly(channel[None], max(channel.shape) / 16)[0],
                "noise": low + (high - low) * noise,
            }[name]
        )
    return torch.stack(channels)


def integrated(score: Score, start: torch.Tensor, end: torch.Tensor, steps: int) -> torch.Tensor:
    """Sundararajan et al. 2017, eq. 1, node by node; ``start`` and ``end`` are ``(1, ...)``."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(end)
    for place, weight in zip(places, weights, strict=True):
        alpha = (float(place) + 1) / 2
        total += float(weight) / 2 * gradient_of(score, start + alpha * (end - start))
    return ((end - start) * total)[0]


def class_score(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model(x)[:, TARGET]


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


@pytest.mark.parametrize("baseline", ["dark", "mean", "blurred", "noise"])
def test_a_vectors_baseline_is_made_of_all_its_numbers(baseline: str, close: Callable[..., None]) -> None:
    model, x = nn.Linear(6, 5).double(), torch.randn(1, 6, dtype=torch.float64)
    low, high, mean = float(x.min()), float(x.max()), float(x.mean())
    drawn = low + (high - low) * torch.rand(6, generator=torch.Generator().manual_seed(0)).double()
    start = {"dark": low, "mean": mean, "blurred": mean, "noise": drawn}[baseline]
    found = iw.IntegratedGradients(baseline=baseline)(iw.record(model, x), TARGET)
    close(found.values, (model.weight[TARGET] * (x - start)).detach()[0], DOUBLE)


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


def test_estimates_use_the_known_nodes_with_weights_scaled_to_one(close: Callable[..., None]) -> None:
    model, image, trace = recorded()
    places, weights = np.polynomial.legendre.leggauss(STEPS)
    gradients = [gradient_of(partial(class_score, model), (p + 1) / 2 * image)[0] for p in places.tolist()]
    for estimate in iw.IntegratedGradients(steps=STEPS).stream(trace, TARGET):
        nodes = [0, 4, 2, 6, 1, 5, 3, 7][: estimate.done]  # first one, then halves, then quarters
        mean = sum(weights[node] * gradients[node] for node in nodes) / sum(weights[node] for node in nodes)
        close(estimate.values, (image[0] * mean).sum(dim=0), DOUBLE)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13, 32, 100])
def test_the_order_of_the_nodes_covers_all_of_them_once_and_evenly_from_the_start(count: int) -> None:
    order = spread(count)
    assert sorted(order) == list(range(count))
    for known in range(2, count + 1):
        seen = sorted(order[:known])
        widest = max(after - before for before, after in pairwise([*seen, count]))
        assert widest <= 4 * count / known


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


# Noise


def noisy_gradients(score: Score, value: torch.Tensor, samples: int, noise: float, seed: int) -> torch.Tensor:
    """One by one; ``value`` is ``(1, ...)``."""
    generator = torch.Generator().manual_seed(seed)
    deviation = noise * (max(value.flatten().tolist()) - min(value.flatten().tolist()))
    found = []
    for _ in range(samples):
        drawn = torch.randn(value.shape[1:], generator=generator).to(value)
        found.append(gradient_of(score, value + deviation * drawn)[0])
    return torch.stack(found)


MOMENTS: dict[str, tuple[Callable[..., iw.Explainer], Callable[[torch.Tensor], torch.Tensor]]] = {
    "SmoothGrad": (iw.SmoothGrad, lambda found: found.mean(dim=0)),
    "SmoothGradSquared": (iw.SmoothGradSquared, lambda found: (found * found).mean(dim=0)),
    "VarGrad": (iw.VarGrad, lambda found: ((found - found.mean(dim=0)) ** 2).mean(dim=0)),
}


def joined(found: torch.Tensor, channels: str) -> torch.Tensor:
    return found.abs().amax(dim=0) if channels == "max" else found.abs().mean(dim=0)


@pytest.mark.parametrize("channels", ["max", "mean"])
@pytest.mark.parametrize("layer", ["input", "conv1"])
@pytest.mark.parametrize("name", MOMENTS)
def test_a_moment_of_noisy_gradients_agrees_with_a_plain_loop(
    name: str, layer: str, channels: str, close: Callable[..., None]
) -> None:
    model, image, trace = recorded()
    kind, moment = MOMENTS[name]
    value = image if layer == "input" else model.conv1(image).detach()

    def score(x: torch.Tensor) -> torch.Tensor:
        x = model.bn1(model.conv1(x) if layer == "input" else x).relu()
        return model.head(model.conv2(x).relu().mean(dim=(2, 3)))[:, TARGET]

    gradients = noisy_gradients(score, value, 9, 0.3, 5)
    found = kind(samples=9, noise=0.3, seed=5, channels=channels)(trace, TARGET, layer)
    close(found.values, joined(moment(gradients), channels), DOUBLE)


@pytest.mark.parametrize("name", MOMENTS)
def test_the_error_is_the_standard_error_of_the_mean_relative_to_it(name: str) -> None:
    model, image, trace = recorded()
    kind, _ = MOMENTS[name]
    terms = noisy_gradients(partial(class_score, model), image, 13, 0.15, 0)
    terms = terms if name == "SmoothGrad" else terms**2
    for estimate in kind(samples=13).stream(trace, TARGET):
        known = terms[: estimate.done]
        if estimate.done == 1:
            assert estimate.error is None
            continue
        expected = (known.var(dim=0) / estimate.done).sum().sqrt() / known.mean(dim=0).norm()
        assert estimate.error == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("name", MOMENTS)
def test_of_one_sample_there_is_the_gradient_or_its_square_to_see(name: str, close: Callable[..., None]) -> None:
    model, image, trace = recorded()
    (gradient,) = noisy_gradients(partial(class_score, model), image, 1, 0.15, 0)
    first = next(iter(MOMENTS[name][0]().stream(trace, TARGET)))
    assert (first.done, first.total) == (1, 32)
    close(first.values, joined(gradient if name == "SmoothGrad" else gradient**2, "max"), DOUBLE)


@pytest.mark.parametrize("channels", ["max", "mean"])
@pytest.mark.parametrize("layer", ["input", "bn1"])
def test_without_noise_it_is_the_gradient(layer: str, channels: Any, close: Callable[..., None]) -> None:
    _, _, trace = recorded()
    gradient = trace.gradient(layer, TARGET)[0]
    plain = iw.Gradient(channels=channels)(trace, TARGET, layer).values
    close(iw.SmoothGrad(noise=0.0, channels=channels)(trace, TARGET, layer).values, plain, DOUBLE)
    squared = iw.SmoothGradSquared(noise=0.0, channels=channels)(trace, TARGET, layer).values
    close(squared, joined(gradient**2, channels), DOUBLE)
    nothing = iw.VarGrad(noise=0.0, channels=channels)(trace, TARGET, layer).values
    assert float(nothing.abs().max()) < 1e-12 * float(squared.max())  # a difference of equal numbers


@pytest.mark.parametrize(
    ("name", "kind", "tolerance"),
    # the standard errors of 2000 samples, measured by the explainer itself, are 0.01, 0.01 and below 0.05
    [("SmoothGrad", "smoothgrad", 0.05), ("SmoothGradSquared", "smoothgrad_sq", 0.05), ("VarGrad", "vargrad", 0.15)],
)
def test_moments_of_many_samples_agree_with_captums_noise_tunnel(
    name: str, kind: str, tolerance: float, close: Callable[..., None]
) -> None:
    x = torch.randn(1, 6, dtype=torch.float64)
    model = smooth()
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
    expected = tunnel.attribute(
        x.clone().requires_grad_(),
        nt_type=kind,
        nt_samples=2000,
        stdevs=0.2 * float(x.max() - x.min()),
        target=TARGET,
        abs=False,
    )[0]
    found = MOMENTS[name][0](samples=2000, noise=0.2)(iw.record(model, x), TARGET)
    close(found.values, expected.detach().abs() if name == "SmoothGrad" else expected.detach(), tolerance)


# Expected gradients


@pytest.mark.parametrize("name", ["noise", "zero", "blurred"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_expected_gradients_agree_with_a_plain_loop(name: str, noise: float, close: Callable[..., None]) -> None:
    model, image, trace = recorded()
    generator = torch.Generator().manual_seed(8)
    terms = []
    for sample in range(9):
        start = baseline_plainly(name, image[0], seed=8 + sample)
        drawn = torch.randn(image[0].shape, generator=generator).to(image)
        end = image[0] + noise * float(image.max() - image.min()) * drawn
        place = float(torch.rand((), generator=generator))
        gradient = gradient_of(partial(class_score, model), (start + place * (end - start))[None])[0]
        terms.append(gradient * (end - start))
    found = iw.ExpectedGradients(samples=9, baseline=name, noise=noise, seed=8)(trace, TARGET)
    close(found.values, (sum(terms) / 9).sum(dim=0), DOUBLE)
    stacked = torch.stack(terms)
    expected = (stacked.var(dim=0) / 9).sum().sqrt() / stacked.mean(dim=0).norm()
    assert found.error == pytest.approx(float(expected), rel=1e-6)


def test_expected_gradients_at_a_layer_of_what_is_linear_behind_it_are_weight_times_difference(
    close: Callable[..., None],
) -> None:
    model = smooth()
    x = torch.randn(1, 6, dtype=torch.float64)
    found = iw.ExpectedGradients(baseline="mean", samples=3)(iw.record(model, x), TARGET, "1")
    hidden, start = (model[:2](each).detach() for each in (x, torch.full_like(x, float(x.mean()))))
    close(found.values, (model[2].weight[TARGET].detach() * (hidden - start))[0], DOUBLE)


def test_expected_gradients_from_one_baseline_agree_with_captum_and_with_the_integral_in_expectation() -> None:
    x, start = torch.randn(2, 1, 6, dtype=torch.float64)
    model = smooth()
    found = iw.ExpectedGradients(samples=2000, baseline=as_baseline(start))(iw.record(model, x), TARGET)
    integral = integrated(partial(class_score, model), start, x, 32)
    np.random.seed(0)  # noqa: NPY002 - Captum draws from it
    theirs = captum.attr.GradientShap(model).attribute(
        x.clone().requires_grad_(), start, n_samples=2000, stdevs=0.0, target=TARGET
    )[0]
    assert found.error is not None
    assert 0 < found.error < 0.05
    off = found.error * float(found.values.norm())  # one standard error of either estimate
    assert float((found.values - integral).norm()) < 3 * off
    assert float((found.values - theirs.detach()).norm()) < 3 * 2**0.5 * off


@pytest.mark.parametrize(
    "explainer",
    [iw.SmoothGrad(noise=0.5), iw.SmoothGradSquared(noise=0.5), iw.ExpectedGradients(), iw.VarGrad(noise=0.5)],
    ids=lambda explainer: type(explainer).__name__,
)
def test_the_error_falls_with_the_root_of_the_samples(explainer: Any) -> None:
    trace = iw.record(smooth(), torch.randn(1, 6, dtype=torch.float64))
    errors = [replace(explainer, samples=samples)(trace, TARGET).error for samples in (50, 200, 800)]
    for before, after in pairwise(errors):
        assert after == pytest.approx(before / 2, rel=0.35)  # the spread itself is an estimate from 50 samples


@pytest.mark.parametrize(
    "explainer", [iw.SmoothGrad(noise=0.5, samples=60), iw.ExpectedGradients(samples=60)], ids=["noise", "places"]
)
def test_the_error_says_how_far_the_map_is_from_that_of_many_samples(explainer: Any) -> None:
    trace = iw.record(smooth(), torch.randn(1, 6, dtype=torch.float64))
    many = replace(explainer, samples=2000, seed=10**6)(trace, TARGET).values
    ratios = []
    for seed in range(0, 1000, 100):
        found = replace(explainer, seed=seed)(trace, TARGET)
        ratios.append((float((found.values - many).norm()) / float(many.norm()) / found.error) ** 2)
    mean_ratio = sum(ratios) / len(ratios)
    assert 0.4 < mean_ratio < 2.5  # one in expectation; ten runs of six numbers scatter by about a third


# What they share


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


@pytest.mark.parametrize("kind", [iw.IntegratedGradients, iw.ExpectedGradients])
def test_a_baseline_that_does_not_fit_is_refused_in_words(kind: Callable[..., iw.Explainer]) -> None:
    _, image, trace = recorded()
    with pytest.raises(InputError, match=r"must have the input's shape \(3, 8, 12\), got \(3, 12, 8\)"):
        kind(baseline=torch.zeros(3, 12, 8))(trace, TARGET)
    with pytest.raises(ParameterError, match="a tensor or one of zero, dark, mean, blurred, noise, got 'black'"):
        kind(baseline="black")
    one, batch = (kind(baseline=tensor)(trace, TARGET).values for tensor in (image[0] / 2, image / 2))
    assert torch.equal(one, batch)


def test_a_given_baseline_is_kept_as_it_was_given() -> None:
    _, image, trace = recorded()
    start = torch.zeros_like(image[0])
    explainer = iw.IntegratedGradients(steps=2, baseline=as_baseline(start))
    before = explainer(trace, TARGET).values
    start += 1
    assert torch.equal(explainer(trace, TARGET).values, before)


@pytest.mark.parametrize("kind", [iw.SmoothGrad, iw.SmoothGradSquared, iw.VarGrad])
def test_how_sure_a_map_is_does_not_depend_on_the_unit_of_the_score(kind: type[iw.Explainer]) -> None:
    """In single precision the fourth power of a small gradient would be nothing, and the map perfectly sure."""
    torch.manual_seed(0)
    model = SmallNet().eval()
    errors = []
    for unit in (1.0, 1e-10):
        with torch.no_grad():
            model.head.weight.mul_(unit)
        with iw.record(model, torch.randn(1, 3, 8, 12, generator=torch.Generator().manual_seed(1))) as trace:
            errors.append(kind()(trace, 1).error)
    assert errors[0] is not None
    assert errors[0] > 0.01
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)  # noise in single precision
