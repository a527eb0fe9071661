"""Statistics that are taken of parts of the values and put together: of batch after batch, each seen once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.inspectors.activation_function import ActivationFunction

__all__ = ["SAMPLE_SIZE", "Moments", "Sample"]

SAMPLE_SIZE = 2**16  # a quantile of so many values is off by 0.2 % of the distribution (one standard error, the median)
AT_ONCE = 2**18  # values that are turned into doubles at a time: 2 MiB, which a processor's cache holds

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """What is exact of each channel, ``(C,)`` each; of finite values but for ``total``.

    Args:
        total: how many values there were.
        finite: how many of them are neither NaN nor infinite.
        zeros: how many are exactly zero.
        saturated: how many are near a limit of the activation function.
        mean: 0 where no value is finite.
        squares: sum of the squared differences from the mean.
        minimum, maximum: infinity, and minus infinity, where no value is finite.
    """

    total: Counts
    finite: Counts
    zeros: Counts
    saturated: Counts
    mean: Numbers
    squares: Numbers
    minimum: Numbers
    maximum: Numbers

    @classmethod
    def of(cls, value: torch.Tensor, axis: int | None, function: ActivationFunction | None) -> Moments:
        """Those of a tensor of real numbers.

        Args:
            axis: which counts the channels; ``None``: the values are one channel.
        """
        channels = value.reshape(1, value.numel()) if axis is None else value.movedim(axis, 0)
        at_once = max(1, AT_ONCE // max(1, channels[:1].numel()))
        parts = [
            _moments(part.reshape(len(part), part[:1].numel()), function) for part in torch.split(channels, at_once)
        ]
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def merged(self, other: Moments) -> Moments:
        """Those of the values of both (Chan, Golub and LeVeque 1979, eq. 2.1).

        Two that differ in their number of channels are put together as one channel: the axis counts something else.
        """
        if len(self.total) != len(other.total):
            return self.pooled().merged(other.pooled())
        finite = self.finite + other.finite
        share = other.finite / np.maximum(finite, 1)
        step = other.mean - self.mean
        return Moments(
            total=self.total + other.total,
            finite=finite,
            zeros=self.zeros + other.zeros,
            saturated=self.saturated + other.saturated,
            mean=self.mean + step * share,
            squares=self.squares + other.squares + step**2 * self.finite * share,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
        )

    def pooled(self) -> Moments:
        """Those of all channels as one, ``(1,)`` each."""
        finite = self.finite.sum(keepdims=True)
        mean = (self.mean * self.finite).sum(keepdims=True) / np.maximum(finite, 1)
        between = self.finite * (self.mean - mean) ** 2
        return Moments(
            total=self.total.sum(keepdims=True),
            finite=finite,
            zeros=self.zeros.sum(keepdims=True),
            saturated=self.saturated.sum(keepdims=True),
            mean=mean,
            squares=(self.squares + between).sum(keepdims=True),
            minimum=self.minimum.min(keepdims=True, initial=np.inf),
            maximum=self.maximum.max(keepdims=True, initial=-np.inf),
        )

    @property
    def std(self) -> Numbers:
        """Standard deviation of the values themselves (divided by their number), ``(C,)``."""
        return np.sqrt(self.squares / np.maximum(self.finite, 1))


def _moments(rows: torch.Tensor, function: ActivationFunction | None) -> Moments:
    """Those of ``(C, n)``."""
    exact = rows.double()
    # As doubles: torch adds those up four times as fast as truth values.
    zeros = torch.eq(exact, 0, out=torch.empty_like(exact)).sum(dim=1).long()
    near = _saturated(exact, function)
    total = torch.full_like(zeros, exact.shape[1])
    sums = exact.sum(dim=1)
    if exact.numel() and bool(torch.isfinite(sums).all()):  # so is every value
        finite = total
        lowest, highest = exact.amin(dim=1), exact.amax(dim=1)
    else:
        is_finite = torch.isfinite(exact)
        finite = is_finite.sum(dim=1)
        sums = exact.where(is_finite, 0.0).sum(dim=1)
        no_value = exact.new_full((len(exact), 1), torch.inf)
        lowest = torch.cat([exact.where(is_finite, torch.inf), no_value], dim=1).amin(dim=1)
        highest = torch.cat([exact.where(is_finite, -torch.inf), -no_value], dim=1).amax(dim=1)
        exact = exact.where(is_finite, (sums / finite.clamp(min=1))[:, None])  # adds nothing to the squares
    mean = sums / finite.clamp(min=1)
    squares = torch.linalg.vector_norm(exact - mean[:, None], dim=1).square()
    found = (total, finite, zeros, near, mean, squares, lowest, highest)
    return Moments(*(each.cpu().numpy() for each in found))


def _saturated(exact: torch.Tensor, function: ActivationFunction | None) -> torch.Tensor:
    """How many of each row ``(C, n)`` are near a limit of the function, ``(C,)``."""
    if function is None or not function.limits:
        return torch.zeros(len(exact), dtype=torch.int64, device=exact.device)
    near = torch.zeros_like(exact, dtype=torch.bool)
    for limit in function.limits:
        near |= (exact - limit).abs() <= function.margin
    return near.sum(dim=1)


@dataclass(frozen=True, eq=False)
class Sample:
    """Values drawn at random from all seen, each as likely as any other, without replacement.

    Every value has a random key in 0..1; those with the smallest keys are the sample, so that two samples are put
    together by their keys. Keys are made only for values that may be in it.

    Args:
        values, keys: ``(n,)`` each, at most ``SAMPLE_SIZE``.
        threshold: keys of further values count below it; 1 as long as all values are in the sample.
    """

    values: Numbers
    keys: Numbers
    threshold: float = 1.0

    @classmethod
    def empty(cls) -> Sample:
        """One of nothing."""
        return cls(np.zeros(0), np.zeros(0))

    def with_values(self, value: torch.Tensor, rng: np.random.Generator) -> Sample:
        """One of the values seen so far and of those of a tensor."""
        flat = value.flatten()
        below = int(rng.binomial(len(flat), self.threshold))  # how many of their keys count
        count = min(below, SAMPLE_SIZE)
        limit = self.threshold
        if below > count:  # the largest of the `count` smallest of `below` uniform numbers: an order statistic
            limit *= rng.beta(count, below - count + 1)
        keys = rng.random(count) * limit
        if below > count:
            keys[rng.integers(count)] = limit
        chosen = np.arange(count)
        if count < len(flat):
            chosen = rng.choice(len(flat), count, replace=False, shuffle=False)
        drawn = flat[torch.from_numpy(chosen).to(flat.device)].double().cpu().numpy()
        values, all_keys = np.concatenate([self.values, drawn]), np.concatenate([self.keys, keys])
        if len(values) <= SAMPLE_SIZE:
            return Sample(values, all_keys, limit)
        kept = np.argpartition(all_keys, SAMPLE_SIZE - 1)[:SAMPLE_SIZE]
        return Sample(values[kept], all_keys[kept], float(all_keys[kept].max()))
