"""Gradients under noise and expected gradients: against plain loops over single passes and Captum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.explainers.baselines import as_baseline
from tests.explainers.paths import (
    DOUBLE,
    TARGET,
    Score,
    baseline_plainly,
    class_score,
    gradient_of,
    integrated,
    recorded,
    smooth,
)
from tests.explainers.subjects import SmallNet

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


@pytest.mark.parametrize("channels", ["max", "mean"])
@pytest.mark.parametrize("name", MOMENTS)
def test_the_error_is_the_jackknifes_of_the_map_that_is_shown(name: str, channels: Any) -> None:
    """Efron 1982, eq. 3.13, with up to eight groups: every eighth sample is in the same."""
    model, image, trace = recorded()
    kind, moment = MOMENTS[name]
    gradients = noisy_gradients(partial(class_score, model), image, 13, 0.15, 0)
    for estimate in kind(samples=13, channels=channels).stream(trace, TARGET):
        count = estimate.done
        if count < 3:
            assert estimate.error is None
            continue
        groups = min(count, 8)
        others = []
        for group in range(groups):
            kept = [gradients[sample] for sample in range(count) if sample % 8 != group]
            others.append(joined(moment(torch.stack(kept)), channels))
        squares = sum((other - sum(others) / groups).square().sum() for other in others)
        expected = ((groups - 1) / groups * squares).sqrt() / estimate.values.norm()
        assert estimate.error == pytest.approx(float(expected), rel=1e-6)  # a root of differences


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
    stacked = torch.stack(terms).sum(dim=1)  # the maps, (samples, H, W)
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
