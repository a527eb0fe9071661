"""``moments_of``: sums over the single values of a tensor, read in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from interp_widgets.inspectors.tensors import blocks

__all__ = ["Moments", "moments_of"]


@dataclass(frozen=True)
class Moments:
    """Norm, zeros and the others are those of the finite values.

    Args:
        norm: root of the sum of squared sizes.
        zeros: share of zeros, 0..1; ``None`` where no value is finite, and so are all below but ``nonfinite``.
        nonfinite: values that are NaN or infinite.
        minimum, maximum: ``None`` for complex numbers, which have no order.
        mean: complex for complex numbers.
        std: standard deviation, divided by the number of values.
    """

    norm: float
    zeros: float | None
    nonfinite: int
    minimum: float | None
    maximum: float | None
    mean: float | complex | None
    std: float | None


def moments_of(tensor: torch.Tensor) -> Moments:
    """The moments of a tensor of any shape, in double precision."""
    count = zeros = 0
    mean: float | complex = 0.0
    squares = 0.0  # sizes, squared and summed
    spread = 0.0  # squared distances from the mean, summed
    lows: list[float] = []
    highs: list[float] = []
    for block in blocks(tensor):
        finite = block[torch.isfinite(block)]
        own = finite.numel()
        if own == 0:
            continue
        center = finite.mean().item()
        away = center - mean
        # Chan, Golub and LeVeque 1983: moments of two parts are joined without a second reading
        spread += float((finite - center).abs().square().sum()) + abs(away) ** 2 * count * own / (count + own)
        mean += away * own / (count + own)
        count += own
        squares += float(finite.abs().square().sum())
        zeros += own - int(torch.count_nonzero(finite))
        if not finite.is_complex():
            low, high = finite.aminmax()
            lows.append(float(low))
            highs.append(float(high))
    return Moments(
        norm=math.sqrt(squares),
        zeros=zeros / count if count else None,
        nonfinite=tensor.numel() - count,
        minimum=min(lows, default=None),
        maximum=max(highs, default=None),
        mean=mean if count else None,
        std=math.sqrt(spread / count) if count else None,
    )
