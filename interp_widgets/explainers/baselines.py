"""What an input is compared with: the input that says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.explainers.base import limits, precise
from interp_widgets.trace import Trace
from interp_widgets.trace.arguments import is_name_of, shown

__all__ = ["BASELINES", "BASELINE_LIMITS", "Baseline", "Given", "as_baseline", "baseline_input", "baseline_value"]

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
    raise ParameterError(f"baseline must be a tensor or one of {', '.join(BASELINES)}, got {shown(baseline)}")


BASELINE_LIMITS = limits(options=tuple(BASELINES), help="what the input is compared with", convert=as_baseline)
"""Metadata of the hyper-parameter ``baseline``."""


def baseline_input(trace: Trace, name: str, baseline: Baseline, example: int, seed: int = 0) -> torch.Tensor:
    """The baseline of one recorded input, its shape without the batch axis.

    Raises:
        InputError: a given baseline of another shape.
    """
    value = precise(trace.activation(name))
    value = value[example] if trace.is_batch else value
    if isinstance(baseline, Given):
        given = baseline.values.to(value)
        given = given[0] if given.ndim == value.ndim + 1 and len(given) == 1 else given
        if given.shape != value.shape:
            raise InputError(
                f"the baseline must have the input's shape {tuple(value.shape)}, got {tuple(baseline.values.shape)}"
            )
        return given
    if baseline == "zero":
        return torch.zeros_like(value)
    image = value.ndim == 3
    axes = (1, 2) if image else tuple(range(value.ndim))
    if baseline == "dark":
        return value.amin(dim=axes, keepdim=True).expand_as(value).clone()
    if baseline == "mean":
        return value.mean(dim=axes, keepdim=True).expand_as(value).clone()
    if baseline == "blurred":
        return blurred(value, max(value.shape[-2:]) / 16) if image else value.mean().expand_as(value).clone()
    low, high = value.amin(dim=axes, keepdim=True), value.amax(dim=axes, keepdim=True)
    drawn = torch.rand(value.shape, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * drawn.to(value)


def baseline_value(trace: Trace, layer: str, baseline: Baseline, example: int, seed: int = 0) -> torch.Tensor:
    """The value of an input or layer, without its batch axis, when the model is given the baselines of its inputs."""
    name = trace.site(layer).name
    if name in trace.input_sites:
        return baseline_input(trace, name, baseline, example, seed)
    followed = [site for site in trace.input_sites if trace.sites[site].dtype.is_floating_point]
    if not followed:  # token ids: their embedding is compared with a baseline of its own
        return baseline_input(trace, name, baseline, example, seed)
    inputs = {site: baseline_input(trace, site, baseline, example, seed)[None] for site in followed}
    with trace.rerun(inputs, example=example) as other:
        value = precise(other.activation(name))
        return value[0] if trace.is_batch else value


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian blur of ``(C, H, W)``, ``sigma`` in pixels; the border is repeated."""
    if sigma <= 0:
        return image.clone()
    for axis in (1, 2):
        radius = max(1, round(3 * sigma))
        places = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
        kernel = torch.exp(-0.5 * (places / sigma).square())
        kernel = kernel / kernel.sum()
        shape = (1, 1, -1, 1) if axis == 1 else (1, 1, 1, -1)
        padding = (0, 0, radius, radius) if axis == 1 else (radius, radius, 0, 0)
        padded = F.pad(image[:, None], padding, mode="replicate")
        image = F.conv2d(padded, kernel.reshape(shape))[:, 0]
    return image
