"""``Estimate``: the map a method has so far, and how sure of it one can be."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

import torch

from interp_widgets.words import say

__all__ = [
    "ErrorKind",
    "Estimate",
    "completeness_gap",
    "jackknife_error",
    "relative_error",
    "running_sums",
    "spread",
]


class ErrorKind(Enum):
    """What the error of an estimate measures."""

    COMPLETENESS_GAP = "completeness gap"
    """How far the map is from adding up to the change of the score, relative to that change."""

    STANDARD_ERROR = "standard error"
    """How much a map of random samples differs from seed to seed: its standard deviation, relative to the map."""

    @property
    def words(self) -> str:
        """What it is called on the screen."""
        return say("completeness gap") if self is ErrorKind.COMPLETENESS_GAP else say("standard error")


class Estimate(NamedTuple):
    """The map a method has so far.

    Args:
        values: the map.
        done, total: evaluations of the model, so far and in all.
        error: how far the map may be off, as the method's ``error_kind`` measures it; ``None`` when that is not known.
        change: the score minus the baseline's score, when the method promises that the values add up to that.
        parts: the map of each input, by its name, where a method moves several inputs together.
    """

    values: torch.Tensor
    done: int = 1
    total: int = 1
    error: float | None = None
    change: float | None = None
    parts: Mapping[str, torch.Tensor] = MappingProxyType({})


def completeness_gap(relevance: torch.Tensor, change: float) -> float | None:
    """``|sum of the relevance - change| / |change|``, ``None`` when the score does not change."""
    if change == 0:
        return None
    return abs(float(relevance.sum()) - change) / abs(change)


def relative_error(total: torch.Tensor, squares: torch.Tensor, count: int) -> float | None:
    """The standard error of a mean map over the map itself, both as Euclidean norms.

    Args:
        total, squares: sum and sum of squares of ``count`` independent estimates.
        count: ``None`` is returned below two.
    """
    if count < 2:
        return None
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=0) / (count - 1)
    size = float(mean.norm())
    return float(variance.sum().sqrt()) / size if size else None


def jackknife_error(values: torch.Tensor, without: torch.Tensor) -> float | None:
    """The jackknife's standard error of a map, over the map itself, both as Euclidean norms.

    Efron 1982, The jackknife, the bootstrap and other resampling plans, doi:10.1137/1.9781611970319, eq. 3.13, with
    groups of samples.

    Args:
        values: the map.
        without: the maps without each group of samples, ``(groups, *shape of the map)``.
    """
    groups = len(without)
    variance = (groups - 1) / groups * (without - without.mean(dim=0)).square().sum()
    size = float(values.norm())
    return float(variance.sqrt()) / size if size else None


def running_sums(count: int, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Zeros to add up in, ``(count, *shape)``, in double precision.

    They lie on the device of ``like``, so that nothing has to be fetched from it; Apple's MPS has no double precision,
    there they lie on the CPU.
    """
    device = torch.device("cpu") if like.device.type == "mps" else like.device
    return torch.zeros(count, *shape, dtype=torch.float64, device=device)


def spread(count: int) -> list[int]:
    """``range(count)`` in an order that covers it evenly from the start: by the bits of the index, reversed."""
    bits = max(1, (count - 1).bit_length())
    order = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits))
    return [index for index in order if index < count]
