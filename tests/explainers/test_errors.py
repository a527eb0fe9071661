"""A standard error that a method states is how much its maps differ from seed to seed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interp_widgets as iw
from tests.benchmarks.errors import STATING, stated_and_true

# As many as make an estimate of its error worth something; few enough to be quick.
FEW = {
    "ExpectedGradients": iw.ExpectedGradients(samples=16),
    "SmoothGrad": iw.SmoothGrad(samples=24),
    "SmoothGradSquared": iw.SmoothGradSquared(samples=24),
    "VarGrad": iw.VarGrad(samples=24),
    "DeepLiftSHAP": iw.DeepLiftSHAP(samples=8),
    "RISE": iw.RISE(samples=60, cells=3),
    "LIME": iw.LIME(samples=64, segments=9),
    "KernelSHAP": iw.KernelSHAP(samples=96, segments=16),
    "ShapleySampling": iw.ShapleySampling(samples=6, segments=9),
}


class Bent(nn.Module):
    """Smooth, so that noise and parts taken away act together; the score is far from zero everywhere."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8 * 4 * 4, 3)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 5 + 4 * self.head((2 * self.conv(x)).sin().flatten(1))


def test_there_is_a_case_for_every_method_that_states_a_standard_error() -> None:
    assert set(FEW) == set(STATING)


@pytest.mark.parametrize("name", FEW)
def test_a_stated_standard_error_is_the_spread_over_seeds(name: str) -> None:
    trace = iw.record(Bent().eval(), torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(3)).double() + 0.5)
    found = stated_and_true(FEW[name], trace, 1)
    assert found.holds, found  # 5 %, and three standard errors of the ratio over 30 seeds
