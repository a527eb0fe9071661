"""What an input is compared with: the input that says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.explainers.hyper_parameters import limits
from interp_widgets.trace.arguments import is_name_of, shown
from interp_widgets.words import say

__all__ = [
    "BASELINES",
    "BASELINE_LIMITS",
    "NOISE_SEED_LIMITS",
    "Baseline",
    "Given",
    "as_baseline",
    "baseline_of",
    "baselines_of",
    "blurred",
]

BASELINES: Mapping[str, str] = MappingProxyType(
    {
        "zero": "zeros: the average colour of the training images for a model that normalises its input",
        "dark": "the smallest value that each channel of this input has",
        "mean": "the mean of each channel of this input",
        "blurred": "this input, blurred",
        "noise": "uniform noise between the extremes of each channel of this input",
    }
)


@dataclass(frozen=True, eq=False)
class Given:
    """A baseline of the user's own: another image."""

    values: torch.Tensor


Baseline = str | Given


def as_baseline(baseline: str | torch.Tensor | Given) -> Baseline:
    """A name from ``BASELINES``, or a tensor made fit for a hyper-parameter.

    Raises:
        ParameterError: no such name.
    """
    if isinstance(baseline, torch.Tensor):
        return Given(baseline.detach().clone())
    if isinstance(baseline, Given) or is_name_of(baseline, BASELINES):
        return baseline
    sentence = say(
        "baseline must be a tensor or one of {names}, got {baseline}",
        names=", ".join(BASELINES),
        baseline=shown(baseline),
    )
    raise ParameterError(sentence)


BASELINE_LIMITS = limits(options=tuple(BASELINES), help="what the input is compared with", convert=as_baseline)
"""Metadata of the hyper-parameter ``baseline``."""

NOISE_SEED_LIMITS = limits(0, 2**31 - 1, help="of a baseline of noise", only_with={"baseline": "noise"})
"""Metadata of the hyper-parameter ``seed`` where nothing is drawn but the baseline."""


def baseline_of(value: torch.Tensor, baseline: Baseline, seed: int = 0) -> torch.Tensor:
    """The baseline of one input, in its shape, on its device and in its precision.

    Args:
        value: the input without its batch axis.
        baseline: see ``BASELINES``.
        seed: of a baseline of noise; the same numbers on every device.

    Raises:
        InputError: a given baseline of another shape.
    """
    return baselines_of(value, baseline, [seed])[0]


def baselines_of(value: torch.Tensor, baseline: Baseline, seeds: Sequence[int]) -> torch.Tensor:
    """One baseline per seed, ``(B, *shape)``; they are the same but for noise. See ``baseline_of``."""
    if isinstance(baseline, Given):
        return _given(value, baseline).expand(len(seeds), *value.shape)
    is_image = value.ndim == 3
    axes = (1, 2) if is_image else tuple(range(value.ndim))
    if baseline == "noise":
        low = value.amin(dim=axes, keepdim=True)
        high = value.amax(dim=axes, keepdim=True)
        # drawn on the CPU, so that a seed means the same numbers on every device; moved once
        drawn = [torch.rand(value.shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return low + (high - low) * torch.stack(drawn).to(value)  # (B, *shape)
    if baseline == "zero":
        single = torch.zeros_like(value)
    elif baseline == "dark":
        single = value.amin(dim=axes, keepdim=True)
    elif baseline == "blurred" and is_image:
        single = blurred(value, max(value.shape[-2:]) / 16)
    else:
        single = value.mean(dim=axes, keepdim=True)
    return single.expand(len(seeds), *value.shape).clone()


def _given(value: torch.Tensor, baseline: Given) -> torch.Tensor:
    given = baseline.values.to(value)
    if given.ndim == value.ndim + 1 and len(given) == 1:
        given = given[0]
    if given.shape != value.shape:
        sentence = say(
            "the baseline must have the input's shape {wanted}, got {shape}",
            wanted=tuple(value.shape),
            shape=tuple(baseline.values.shape),
        )
        raise InputError(sentence)
    return given


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian blur of ``(C, H, W)``, ``sigma`` in pixels; the border is repeated."""
    if sigma <= 0:
        return image.clone()
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel = kernel / kernel.sum()
    for shape, padding in (
        ((1, 1, -1, 1), (0, 0, radius, radius)),  # down the rows
        ((1, 1, 1, -1), (radius, radius, 0, 0)),  # along the columns
    ):
        padded = F.pad(image[:, None], padding, mode="replicate")
        image = F.conv2d(padded, kernel.reshape(shape))[:, 0]
    return image
