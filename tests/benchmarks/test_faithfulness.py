"""Insertion and deletion: areas that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.benchmarks.faithfulness import Areas, area, judged

SHAPE = (1, 4, 5)


class Counts(nn.Module):
    """Two classes; the probability of class 1 is the mean of the two columns on the left, pixels of 0 or 1."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        share = pictures[..., :2].mean(dim=(1, 2, 3)).clamp(1e-6, 1 - 1e-6)
        return torch.stack([torch.zeros_like(share), (share / (1 - share)).log()], dim=1)


def left_first(sign: float) -> np.ndarray:
    values = np.zeros(SHAPE[1:])
    values[:, :2] = sign
    return values


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        (1.0, 0.4 / 2 + 0.6),  # grows over the first 8 of 20 pixels, then stays at 1
        (-1.0, 0.4 / 2),  # stays at 0, and grows over the last 8
    ],
)
def test_insertion_is_the_area_under_the_probability(sign: float, expected: float) -> None:
    start, end = torch.zeros(SHAPE), torch.ones(SHAPE)
    found = area(Counts(), start, end, left_first(sign), 1, steps=20)
    assert found == pytest.approx(expected, abs=1e-5)  # the probability is kept 1e-6 from 0 and 1


def test_deletion_goes_the_other_way() -> None:
    found = area(Counts(), torch.ones(SHAPE), torch.zeros(SHAPE), left_first(1.0), 1, steps=20, batch=3)
    assert found == pytest.approx(0.4 / 2, abs=1e-5)  # as above


def test_pixels_of_one_value_are_taken_in_random_order() -> None:
    start, end = torch.zeros(1, 64, 64), torch.ones(1, 64, 64)
    half = area(UpperHalf(), start, end, np.zeros((64, 64)), 1, steps=64)
    # half of what is uncovered lies in the upper half: the diagonal, but for the chance of 4096 pixels
    assert half == pytest.approx(0.5, abs=3 / math.sqrt(4096))


class UpperHalf(Counts):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return super().forward(pictures[:, :, :32].mean(dim=(1, 2, 3), keepdim=True).expand(-1, 1, 1, 2))


def test_a_method_is_compared_with_the_random_map_picture_by_picture() -> None:
    random = Areas("m", "random map", control=True, insertion=[0.2, 0.5], deletion=[0.2, 0.5], seconds=0)
    method = Areas("m", "other", control=False, insertion=[0.3, 0.5], deletion=[0.1, 0.4], seconds=0)
    best, worst = judged([random, method])
    assert (best.method, best.insertion_beats, best.deletion_beats) == ("other", 1, 2)
    assert (worst.method, worst.insertion_beats, worst.deletion_beats) == ("random map", 0, 0)
