"""Models, images and plain single passes for what follows gradients along paths and under noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn

import interp_widgets as iw
from tests.explainers.subjects import SmallNet

TARGET = 3
DOUBLE = 1e-9  # of the maximum: sums of a few hundred numbers in double precision

Score = Callable[[torch.Tensor], torch.Tensor]


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
