"""Models and inputs to explain, and a plain reference for what is at a layer."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torchvision
from torch import nn

__all__ = ["SIZES", "SmallNet", "at_layer", "grid_of", "image_for", "subject"]

# Not square where the model takes it: a map with height and width swapped must not pass.
SIZES = {
    "resnet18": (96, 128),
    "vgg11": (96, 128),
    "convnext_tiny": (96, 128),
    "swin_t": (96, 128),
    "vit_b_16": (96, 96),
}


class SmallNet(nn.Module):
    """Two convolutions, an in-place ReLU, dropout and a head: what each explainer must cope with."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.conv2(x).relu()
        return self.head(self.dropout(x.mean(dim=(2, 3))))


@cache
def subject(name: str) -> nn.Module:
    """A torchvision model with random weights; those that start at zero (heads, layer scales) are drawn too."""
    options: dict[str, Any] = {"image_size": SIZES[name][0]} if name == "vit_b_16" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = torchvision.models.get_model(name, weights=None, num_classes=10, **options).eval()
        for parameter in model.parameters():
            if float(parameter.detach().abs().max()) < 1e-4:
                nn.init.normal_(parameter, std=0.1)
    return model.requires_grad_(True)


def image_for(name: str) -> torch.Tensor:
    return torch.randn(1, 3, *SIZES[name], generator=torch.Generator().manual_seed(11))


def at_layer(model: nn.Module, layer: str, image: torch.Tensor, target: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What a module returned and the gradient of the score there, in the plainest way.

    The rest of the model gets a clone, so no later in-place operation can reach what is kept.
    """
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return output.clone()

    handle = model.get_submodule(layer).register_forward_hook(keep)
    try:
        score = model(image)[:, target].sum()
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(score, kept)
    return kept[0].detach(), gradient


def grid_of(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A model's layer as ``(N, C, H, W)``: the ``reshape_transform`` that users of pytorch-grad-cam write by hand."""
    if name == "vit_b_16":
        side = SIZES[name][0] // 16
        return tensor[:, 1:].reshape(tensor.shape[0], side, side, -1).permute(0, 3, 1, 2)
    return tensor.permute(0, 3, 1, 2) if name == "swin_t" else tensor
