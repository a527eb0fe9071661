"""``Estimate``: what a refining method has so far, and how sure of it one can be."""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["Estimate", "completeness_gap", "relative_error", "spread"]


class Estimate(NamedTuple):
    """What a refining method has so far.

    Args:
        values: the map.
        done, total: evaluations of the model, so far and in all.
        error: how sure it is; see ``Attribution``.
        change: what the method promises that the values add up to: the score less that of the baseline.
    """

    values: torch.Tensor
    done: int = 1
    total: int = 1
    error: float | None = None
    change: float | None = None


def completeness_gap(relevance: torch.Tensor, change: float) -> float | None:
    """How far the relevance is from adding up to the change of the score, relative to that change."""
    return abs(float(relevance.double().sum()) - change) / abs(change) if change else None


def relative_error(total: torch.Tensor, squares: torch.Tensor, count: int) -> float | None:
    """The standard error of a mean map over the map itself, both as Euclidean norms.

    Args:
        total, squares: sum and sum of squares of ``count`` independent estimates.
    """
    if count < 2:
        return None
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=0) / (count - 1)
    size = float(mean.norm())
    return float(variance.sum().sqrt()) / size if size else None


def spread(count: int) -> list[int]:
    """``range(count)`` in an order that covers it evenly from the start: by the bits of the index, reversed."""
    bits = max(1, (count - 1).bit_length())
    return [place for k in range(2**bits) if (place := int(f"{k:0{bits}b}"[::-1], 2)) < count]
