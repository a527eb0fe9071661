"""What an activation report says of each layer and channel, and what is wrong in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp_widgets.inspectors.histogram import Histogram
from interp_widgets.inspectors.running import Moments
from interp_widgets.inspectors.survey import Survey
from interp_widgets.words import say

__all__ = ["ActivationRow", "ChannelStatistics", "activation_row", "flags"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 32
MOST_NAMED = 10  # layers with dead units, the worst first
FEWEST_DEAD = 0.005  # share that is 1 % when rounded
MOSTLY = 0.5  # share of saturated values that is told
DECADES = 3.0  # a change through depth by a factor of 1,000 is told
FEWEST_LAYERS = 4  # a line through fewer says nothing


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Statistics of each channel of a layer over all inputs and positions, ``(C,)`` each.

    Args:
        mean, std, minimum, maximum: of its finite values; NaN where there is none.
        sparsity: share of its values that are exactly zero, 0..1.
        dead: whether all its values were exactly zero, for every input seen.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    sparsity: NDArray[np.float64]
    dead: NDArray[np.bool_]

    @classmethod
    def of(cls, moments: Moments) -> ChannelStatistics:
        """Those of some moments."""
        has_any = moments.finite > 0
        return cls(
            mean=np.where(has_any, moments.mean, np.nan),
            std=np.where(has_any, moments.std, np.nan),
            minimum=np.where(has_any, moments.minimum, np.nan),
            maximum=np.where(has_any, moments.maximum, np.nan),
            sparsity=moments.zeros / np.maximum(moments.total, 1),
            dead=(moments.zeros == moments.total) & (moments.total > 0),
        )


@dataclass(frozen=True)
class ActivationRow:
    """How the values of one layer are distributed, over all inputs, channels and positions seen.

    Args:
        layer: the name of its site: a module path, with the number of the call where it was called more than once.
        type: name of the module's class, or of the operation.
        shape: of the values for one input.
        mean, std, minimum, maximum: of the finite values; the standard deviation is divided by their number.
        q05, q25, median, q75, q95: quantiles.
        sparsity: share of values that are exactly zero, 0..1.
        dead: share of units, which are channels, that were exactly zero at every position for every input seen; only
            of layers that end in a function that is zero below some input (ReLU, ReLU6, hard-swish, a clamp at zero),
            ``None`` for others.
        saturated: share of values within 1 % of the distance between its limits of a limit of the function that the
            layer ends in (sigmoid, tanh, hard-sigmoid, hard-tanh, ReLU6); of hard-swish, which ends in 0, within 1 % of
            its depth of 3/8; ``None`` for others.
        nonfinite: share of values that are NaN or infinite.
        gradient: mean absolute value of the target's gradient, ``None`` where it was not measured.
        gradient_norm: root of the mean over inputs of the gradient's squared norm: unlike the mean it does not depend
            on how many values a layer has.
        histogram: 32 bins from minimum to maximum.
    """

    layer: str
    type: str
    shape: tuple[int, ...]
    mean: float
    std: float
    minimum: float
    maximum: float
    q05: float
    q25: float
    median: float
    q75: float
    q95: float
    sparsity: float
    dead: float | None
    saturated: float | None
    nonfinite: float
    gradient: float | None
    gradient_norm: float | None
    histogram: Histogram

    @property
    def quantiles(self) -> tuple[float, ...]:
        """At 5, 25, 50, 75 and 95 %."""
        return self.q05, self.q25, self.median, self.q75, self.q95


def activation_row(survey: Survey, layer: str) -> ActivationRow:
    """The row of a layer whose values were seen."""
    read_at = survey.read_at(layer)
    seen, gradients = survey.seen[read_at], survey.gradients.get(read_at)
    channels = ChannelStatistics.of(seen.moments)
    pooled = ChannelStatistics.of(seen.moments.pooled())
    sample = seen.sample.values[np.isfinite(seen.sample.values)]
    quantiles = np.quantile(sample, QUANTILES) if len(sample) else np.full(len(QUANTILES), np.nan)
    function = survey.functions[layer]
    total = max(1, int(seen.moments.total.sum()))
    mean, sparsity = float(pooled.mean[0]), float(pooled.sparsity[0])
    minimum, maximum = float(pooled.minimum[0]), float(pooled.maximum[0])
    counts, edges = np.histogram(sample, BINS, (minimum, maximum) if len(sample) else (0, 1))
    q05, q25, median, q75, q95 = (float(each) for each in quantiles)
    return ActivationRow(
        layer=layer,
        type=survey.sites[layer].operation,
        shape=survey.shape_of(layer),
        mean=mean,
        std=float(pooled.std[0]),
        minimum=minimum,
        maximum=maximum,
        q05=q05,
        q25=q25,
        median=median,
        q75=q75,
        q95=q95,
        sparsity=sparsity,
        dead=float(channels.dead.mean()) if function is not None and function.rectifies else None,
        saturated=int(seen.moments.saturated.sum()) / total if function is not None and function.limits else None,
        nonfinite=1 - int(seen.moments.finite.sum()) / total,
        gradient=None if gradients is None else gradients.mean_size,
        gradient_norm=None if gradients is None else math.sqrt(gradients.squares / survey.inputs),
        histogram=Histogram(counts, edges, mean, sparsity),
    )


def flags(rows: Sequence[ActivationRow], inputs: int) -> Iterator[str]:
    """What is wrong with some layers, in execution order, in words.

    Signals vanish or explode where the line through the logarithms of the layers' standard deviations falls or rises by
    a factor of 1,000 from the first layer to the last; gradients likewise, by their norms, from the last to the first.
    """
    for row in rows:
        if row.nonfinite:
            yield say("{share:.2%} of {layer}'s values are NaN or infinite", share=row.nonfinite, layer=row.layer)
    dying = sorted((row for row in rows if (row.dead or 0) >= FEWEST_DEAD), key=lambda row: -(row.dead or 0))
    for row in dying[:MOST_NAMED]:
        yield _dead_units(row, inputs)
    if len(dying) > MOST_NAMED:
        yield say("{count:,} more layers have units that never fired", count=len(dying) - MOST_NAMED)
    for row in rows:
        if row.dead is None and (row.saturated or 0) >= MOSTLY:  # half the values of a ReLU6 are at 0 by design
            yield say("{share:.0%} of {layer}'s values are saturated", share=row.saturated, layer=row.layer)
    yield from _trends(rows)


def _dead_units(row: ActivationRow, inputs: int) -> str:
    if inputs == 1:
        return say("{share:.0%} of {layer}'s units did not fire on this input", share=row.dead, layer=row.layer)
    return say(
        "{share:.0%} of {layer}'s units never fired on {count:,} inputs",
        share=row.dead,
        layer=row.layer,
        count=inputs,
    )


def _trends(rows: Sequence[ActivationRow]) -> Iterator[str]:
    """Whether signals or gradients vanish or explode."""
    signals = _decades([row.std for row in rows])
    gradients = -_decades([row.gradient_norm for row in rows])
    if signals <= -DECADES:
        yield say("signals vanish: their standard deviation falls by a factor of {factor:.0e}", factor=10**-signals)
    if signals >= DECADES:
        yield say("signals explode: their standard deviation rises by a factor of {factor:.0e}", factor=10**signals)
    if gradients <= -DECADES:
        yield say(
            "gradients vanish: their norm falls by a factor of {factor:.0e} from the last layer to the first",
            factor=10**-gradients,
        )
    if gradients >= DECADES:
        yield say(
            "gradients explode: their norm rises by a factor of {factor:.0e} from the last layer to the first",
            factor=10**gradients,
        )


def _decades(sizes: Sequence[float | None]) -> float:
    """By how many powers of ten sizes change, along the least-squares line through their logarithms."""
    known = [(place, math.log10(size)) for place, size in enumerate(sizes) if size is not None and 0 < size < math.inf]
    if len(known) < FEWEST_LAYERS:
        return 0.0
    places, logarithms = np.array(known).T
    slope = np.polyfit(places, logarithms, 1)[0]
    return float(slope) * (len(sizes) - 1)
