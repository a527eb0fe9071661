"""A Grad-CAM of each peer, called as its documentation says, and the plain passes they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import captum.attr
import pytorch_grad_cam
import torch
import torchcam.methods
import torchvision
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from interp_widgets import zoo

__all__ = [
    "LAYERS",
    "PEERS",
    "PGC_METHODS",
    "SMALL",
    "ZOO",
    "activation_of",
    "build",
    "plain_backward_to",
    "plain_pass",
    "pytorch_grad_cam_call",
]

PGC_METHODS = ("GradCAM", "GradCAMPlusPlus", "XGradCAM", "HiResCAM", "LayerCAM")


SMALL = "small"
# the last layer with maps, and one in the middle
LAYERS = {
    "resnet18": ("layer4", "layer2"),
    "resnet50": ("layer4", "layer2"),
    "vit_b_16": ("encoder.layers.encoder_layer_10", "encoder.layers.encoder_layer_5"),
    "densenet121": ("features.denseblock4", "features.denseblock3"),
    "convnext_tiny": ("features.7", "features.3"),
    SMALL: ("layer4", "layer2"),
    "digits": ("conv3", "conv2"),
    "scenes": ("layer3", "layer2"),
    "scenes-vit": ("blocks.3.norm1", "blocks.1"),
}
ZOO = ("digits", "scenes", "scenes-vit")


class SmallNetwork(nn.Module):
    """Stages named as ResNet's: every part of a benchmark runs on it in a moment, which is all that it is good for."""

    def __init__(self) -> None:
        super().__init__()
        self.layer2 = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.layer4 = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(16, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, 3, H, W)`` to ``(N, 1000)``."""
        return self.fc(self.flatten(self.avgpool(self.layer4(self.layer2(x)))))


def build(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A model of the zoo with one of its inputs; any other with random weights.

    None of them is zero (ViT's head starts at zero, and then every gradient is zero too).
    """
    torch.manual_seed(0)
    if name in ZOO:
        loaded = zoo.load(name)
        return loaded.model, loaded.inputs[:1]
    if name == SMALL:
        return SmallNetwork().eval(), torch.randn(1, 3, 128, 128)
    model = torchvision.models.get_model(name, weights=None).eval()
    for parameter in model.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.02)
    return model, torch.randn(1, 3, 224, 224)


def _tokens_to_maps(tensor: torch.Tensor) -> torch.Tensor:
    side = int((tensor.shape[1] - 1) ** 0.5)
    return tensor[:, 1:].reshape(tensor.shape[0], side, side, -1).permute(0, 3, 1, 2)


def pytorch_grad_cam_call(
    model: nn.Module, image: torch.Tensor, layer: str, target: int, method: str = "GradCAM"
) -> Any:
    transform = _tokens_to_maps if layer.startswith("encoder") else None
    kind = getattr(pytorch_grad_cam, method)
    with kind(model, [model.get_submodule(layer)], reshape_transform=transform) as cam:
        return cam(image, targets=[ClassifierOutputTarget(target)])


def captum_call(model: nn.Module, image: torch.Tensor, layer: str, target: int) -> Any:
    found = captum.attr.LayerGradCam(model, model.get_submodule(layer)).attribute(
        image, target=target, attr_dim_summation=not layer.startswith("encoder")
    )
    return found.detach()


def torchcam_call(model: nn.Module, image: torch.Tensor, layer: str, target: int) -> Any:
    with torchcam.methods.GradCAM(model, target_layer=layer) as cam:
        scores = model(image)
        return cam(target, scores)


PEERS: dict[str, Callable[[nn.Module, torch.Tensor, str, int], Any]] = {
    "pytorch-grad-cam": pytorch_grad_cam_call,
    "captum": captum_call,
    "torch-cam": torchcam_call,
}


def activation_of(model: nn.Module, image: torch.Tensor, layer: str) -> Any:
    """A layer's activation by Captum: the only peer that gives one."""
    return captum.attr.LayerActivation(model, model.get_submodule(layer)).attribute(image).detach()


def plain_pass(model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
    """Forward, and backward to the input."""
    leaf = image.detach().clone().requires_grad_()
    return torch.autograd.grad(model(leaf)[0, target], leaf)[0]


def plain_backward_to(model: nn.Module, image: torch.Tensor, layer: str) -> Callable[[int], torch.Tensor]:
    """One forward pass now; then a function that only goes back from a class score to that layer."""
    kept: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _module, _args, output: kept.append(output))
    output = model(image.detach().clone().requires_grad_())
    handle.remove()
    return lambda target: torch.autograd.grad(output[0, target], kept[0], retain_graph=True)[0]
