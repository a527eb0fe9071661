"""How the values of a layer's activation are distributed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.trace import Trace

__all__ = ["Histogram", "histogram", "histogram_of"]


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many values lie where; of a layer those of all inputs of the trace.

    Args:
        counts: ``(bins,)``, how many values lie in each bin.
        edges: ``(bins + 1,)``, the limits of the bins; the last bin includes its upper limit.
        mean: of all finite values.
        zeros: share of the values that are exactly zero, as a ReLU leaves them, 0..1.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    mean: float
    zeros: float


def histogram(trace: Trace, layer: str, bins: int = 16) -> Histogram:
    """The histogram of a layer's activation; values that are not finite are left out.

    >>> from interp_widgets.trace import record
    >>> trace = record(torch.nn.Sequential(torch.nn.ReLU()), torch.tensor([[-1.0, 0.0, 1.0, 4.0]]))
    >>> found = histogram(trace, "0", bins=2)
    >>> found.counts.tolist(), found.edges.tolist(), found.zeros
    ([3, 1], [0.0, 2.0, 4.0], 0.5)
    """
    return histogram_of(trace.activation(layer), bins)


def histogram_of(values: torch.Tensor, bins: int) -> Histogram:
    """The histogram of a tensor's values; of complex ones of their sizes."""
    values = values.detach()
    values = values.abs() if values.is_complex() else values
    values = values.double().flatten().cpu()
    values = values[torch.isfinite(values)]
    if not len(values):
        return Histogram(np.zeros(bins, np.int64), np.linspace(0, 1, bins + 1), float("nan"), 0.0)
    counts, edges = np.histogram(values.numpy(), bins)
    zeros = float((values == 0).double().mean())
    return Histogram(counts, edges, float(values.mean()), zeros)
