"""Secants are exact between two ends, and the Jacobian where the ends meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import interp_widgets as iw
from interp_widgets.explainers.deep_lift import DeepLift
from interp_widgets.propagation.secant import RULES, Change
from tests.propagation.models import INSIDE, OTHER, Inside, lifted


@pytest.mark.parametrize(
    "inside", [INSIDE["layer norm"], INSIDE["normalize"], INSIDE["layer norm by hand"], INSIDE["group norm"]]
)
def test_a_reference_without_variance_sums_up_and_shares_are_not_blown_up(
    inside: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """The gradient there is ``1 / sqrt(eps)``, hundreds of times that at the input."""
    model = Inside(inside, bias=False)
    found = lifted(model, "zero")
    assert found.error is not None
    assert found.error < 1e-9
    usual = lifted(model, OTHER).values.abs().sum()
    assert found.values.abs().sum() < 10 * usual


def test_a_norm_from_zero_variance_is_its_scale_at_the_input() -> None:
    """From ``c = 0`` nothing but ``c / s`` itself is left for the centred values."""
    c = torch.tensor([[1.0, -2.0, 1.0]], dtype=torch.float64)
    model = nn.LayerNorm(3, eps=1e-12).double()
    values = DeepLift(baseline="zero")(iw.record(model, c), 1).values
    centring = torch.tensor([-1 / 3, 2 / 3, -1 / 3], dtype=torch.float64)
    torch.testing.assert_close(values, (c[0] * centring / 2**0.5).detach(), atol=1e-5, rtol=0)


def test_multi_head_attention_sums_up_with_and_without_the_rule() -> None:
    class Attention(nn.Module):
        def __init__(self, **options: Any) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.inner = nn.MultiheadAttention(8, 2, batch_first=True, **options)
            nn.init.normal_(self.inner.in_proj_bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x, x.tanh(), x.sin())[0].mean(dim=1)

    tokens = torch.randn(1, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for options, most in (({}, 1e-9), ({"add_bias_kv": True}, 1e-3)):
        found = DeepLift(baseline="noise")(iw.record(Attention(**options).double(), tokens), 3)
        assert found.error is not None
        assert found.error < most


def _rule_cases() -> list[tuple[str, tuple[Any, ...], Callable[..., torch.Tensor]]]:
    x = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = torch.rand(6, dtype=torch.float64)
    return [
        ("truediv", (x, x.flip(0).abs() + 1), torch.div),
        ("softmax", (x, 1), torch.softmax),
        ("log_softmax", (x, 2), torch.log_softmax),
        ("layer_norm", (x, (6,), weight, weight), F.layer_norm),
        ("rms_norm", (x, (6,), weight, 0.1), F.rms_norm),
        ("group_norm", (x, 2), F.group_norm),
        ("normalize", (x,), F.normalize),
        ("scaled_dot_product_attention", (x, x.flip(0), x.flip(1)), F.scaled_dot_product_attention),
        ("max_pool1d", (x, 2), F.max_pool1d),
        ("adaptive_max_pool1d", (x, 2), F.adaptive_max_pool1d),
    ]


@pytest.mark.parametrize(("name", "ends", "function"), _rule_cases(), ids=[case[0] for case in _rule_cases()])
def test_a_rule_is_exact_for_each_number_and_the_jacobian_where_the_ends_meet(
    name: str, ends: tuple[Any, ...], function: Callable[..., torch.Tensor]
) -> None:
    moving = [isinstance(each, torch.Tensor) and each.ndim == 3 for each in ends]
    generator = torch.Generator().manual_seed(9)
    starts = tuple(
        end + torch.rand(end.shape, generator=generator, dtype=torch.float64) if moves else end
        for end, moves in zip(ends, moving, strict=True)
    )
    changes = [
        Change(start, end, end - start) if moves else end
        for start, end, moves in zip(starts, ends, moving, strict=True)
    ]
    torch.testing.assert_close(RULES[name](*changes), function(*ends) - function(*starts))

    steps = [
        torch.rand(end.shape, generator=generator, dtype=torch.float64) for end in itertools.compress(ends, moving)
    ]

    def of_moving(*values: torch.Tensor) -> torch.Tensor:
        given = iter(values)
        return function(*(next(given) if moves else end for end, moves in zip(ends, moving, strict=True)))

    here, tiny = list(itertools.compress(ends, moving)), 1e-6
    before, after = (
        of_moving(*(end + sign * tiny * step for end, step in zip(here, steps, strict=True))) for sign in (-1, 1)
    )
    tangent = (after - before) / (2 * tiny)
    given = iter(steps)
    meeting = [Change(end, end, next(given)) if moves else end for end, moves in zip(ends, moving, strict=True)]
    torch.testing.assert_close(RULES[name](*meeting), tangent, atol=1e-6, rtol=1e-5)
