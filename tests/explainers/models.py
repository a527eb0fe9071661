"""Models whose batch norms have seen data, and images for them."""

from __future__ import annotations

import copy
from functools import cache

import torch
from torch import nn

from tests.explainers.subjects import SmallNet, subject

# In double precision, with sums of a few thousand terms.
ROUNDING = 1e-9


def normalised(model: nn.Module) -> nn.Module:
    """A copy in double precision whose batch norms have seen data."""
    torch.manual_seed(2)
    model = copy.deepcopy(model).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.7, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return model


def small_net() -> nn.Module:
    torch.manual_seed(1)
    return normalised(SmallNet())


def picture(height: int = 11, width: int = 14) -> torch.Tensor:
    return torch.randn(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@cache
def of(name: str, size: tuple[int, int]) -> tuple[nn.Module, torch.Tensor, int]:
    torch.manual_seed(1)
    model = SmallNet().eval() if name == "small" else subject(name)
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        return model, image, int(model(image).argmax())
