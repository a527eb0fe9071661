"""Autocast: a pass and its operations are done again in the state they were recorded in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.trace.autocast import Autocast

LAYER = "0"


def autocast(*, enabled: bool = True) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


def chain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()


def image() -> torch.Tensor:
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("recorded_under", [True, False])
def test_a_pass_runs_again_under_the_autocast_it_was_recorded_under(recorded_under: bool) -> None:
    with autocast(enabled=recorded_under):
        trace = iw.record(chain(), image())
    with autocast(enabled=not recorded_under):
        again = trace.rerun({"input": image()})
        probed = trace.probe("input", image(), 1).scores
    assert trace.activation(LAYER).dtype is (torch.bfloat16 if recorded_under else torch.float32)
    for layer in trace.layers:
        assert again.activation(layer).dtype is trace.activation(layer).dtype
        assert torch.equal(again.activation(layer), trace.activation(layer))
    assert torch.equal(probed[0], trace.score(1))


def test_the_state_of_a_thread_is_put_back() -> None:
    with autocast():
        with Autocast().on():
            assert Autocast.now() == Autocast()
        assert torch.is_autocast_enabled("cpu")
        inside = Autocast.now()
    assert Autocast.now() == Autocast() != inside
    with pytest.raises(ZeroDivisionError, match="by zero"), inside.on():
        _ = 1 / 0
    assert not torch.is_autocast_enabled("cpu")
