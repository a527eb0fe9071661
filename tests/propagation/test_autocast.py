"""Walks over recordings of models whose forward switches autocast on, beside the same model without."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import interp_widgets as iw

ROUNDING = 2**-8  # of one number in bfloat16, which has eight bits, relative


class Mixed(nn.Module):
    """Convolutions and a residual sum, then attention between positions where asked, in the precision asked for."""

    def __init__(self, *, autocast: bool, attention: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.autocast, self.attention = autocast, attention
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.qkv, self.head = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 4)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16) if self.autocast else nullcontext():
            x = self.conv1(x).relu()
            x = self.conv2(x).relu_() + x
            x = x.flatten(2).transpose(1, 2)  # (N, positions, 8)
            if self.attention:
                x = x + F.scaled_dot_product_attention(*self.qkv(self.norm(x)).chunk(3, dim=-1))
            return self.head(x.mean(dim=1))


def picture() -> torch.Tensor:
    return torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))


# A share of the outputs' size that no denominator is smaller than: it bounds what a quotient makes of roundings.
WALKS: list[Any] = [
    iw.LRP(epsilon=0.25),
    iw.LRP(rule="epsilon", epsilon=0.25),
    iw.DeepLift(),
    iw.DeepLiftSHAP(samples=4),
]


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("explainer", WALKS, ids=repr)
def test_a_walk_through_a_model_under_autocast_agrees_with_the_same_model_without(
    explainer: iw.Explainer, attention: bool
) -> None:
    plain = explainer(iw.record(Mixed(autocast=False, attention=attention), picture()), 1).values
    mixed = explainer(iw.record(Mixed(autocast=True, attention=attention), picture()), 1).values
    operations = 9 if attention else 6
    roundings = 2 * operations  # each once on the way up and once on the way back
    assert float((mixed - plain).norm()) < roundings * ROUNDING * float(plain.norm())
    assert not torch.equal(mixed, plain)


@pytest.mark.parametrize("recorded_under", [True, False])
@pytest.mark.parametrize("explainer", WALKS, ids=repr)
def test_a_walk_over_a_recording_does_not_depend_on_the_autocast_of_who_asks(
    explainer: iw.Explainer, recorded_under: bool
) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=recorded_under):
        trace = iw.record(Mixed(autocast=False), picture())
        inside = explainer(trace, 1).values
    assert torch.equal(inside, explainer(trace, 1).values)


def test_the_gap_that_is_allowed_follows_the_coarsest_precision_inside_the_model() -> None:
    """Of two nearly equal scores in bfloat16 the difference has few bits: more than 1 % of it may be lost."""
    trace = iw.record(Mixed(autocast=True), picture())
    gaps = [iw.DeepLift(baseline=picture()[0] * share)(trace, 1).error for share in (0.5, 0.8, 0.9, 0.95)]
    assert max(gap for gap in gaps if gap is not None) > 0.01
