"""FullGrad: its parts add up to the score; the map against the authors' procedure by hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import LayerError, LayoutError
from interp_widgets.explainers.full_grad import full_gradient
from interp_widgets.explainers.question import Question
from tests.explainers.models import ROUNDING, normalised, picture, small_net
from tests.explainers.subjects import SmallNet, subject

COMPLETE = [("small", (11, 14)), ("resnet18", (64, 80)), ("vgg11", (32, 32))]


@pytest.mark.parametrize(("name", "size"), COMPLETE)
def test_the_parts_of_the_full_gradient_add_up_to_the_score(name: str, size: tuple[int, int]) -> None:
    model = normalised(SmallNet() if name == "small" else subject(name))
    image = picture(*size)
    trace = iw.record(model, image)
    for target in (0, 3):
        parts = full_gradient(Question(trace, iw.ClassScore(target), trace.input_sites[0]))
        assert len(parts) > 3
        whole = sum(float(part.sum()) for part in parts.values())
        with torch.no_grad():
            assert whole == pytest.approx(float(model(image)[0, target]), rel=1e-8)  # sums of up to a million terms


def test_the_parts_of_a_batch_norm_without_weights_add_up_too() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4, affine=False, eps=0.1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 2),
    )
    model = model.double().eval()
    model[1].running_mean.normal_()
    image = picture(4, 5)
    trace = iw.record(model, image)
    parts = full_gradient(Question(trace, iw.ClassScore(1), trace.input_sites[0]))
    assert sum(float(part.sum()) for part in parts.values()) == pytest.approx(float(trace.score(1)))


class Between(nn.Module):
    """Two convolutions with biases, and what is tested after each."""

    def __init__(self, inside: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 3)
        self.inside = inside
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inside(3 * self.conv1(3 * x))
        return self.head(self.inside(self.conv2(x)).mean(dim=(2, 3)))


HOMOGENEOUS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "ReLU": F.relu,
    "leaky ReLU": F.leaky_relu,
    "PReLU": lambda x: F.prelu(x, x.new_full((8,), 0.2)),
    "max pooling": lambda x: F.max_pool2d(x.relu(), 2),
    "mean pooling": lambda x: F.avg_pool2d(x.relu(), 2),
    "residual": lambda x: x + x.relu(),
}
OTHERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "ReLU6": F.relu6,
    "hardtanh": F.hardtanh,
    "GELU": F.gelu,
    "SiLU": F.silu,
    "hardswish": F.hardswish,
    "ELU": F.elu,
    "gate": lambda x: x.relu() * x.mean(dim=(2, 3), keepdim=True).sigmoid(),
    "layer norm": lambda x: F.layer_norm(x, x.shape[1:]).relu(),
    "group norm": lambda x: F.group_norm(x, 2).relu(),
    "instance norm": lambda x: F.instance_norm(x).relu(),
    "a parameter added": lambda x: (x + 0.5).relu(),
}


@pytest.mark.parametrize("name", [*HOMOGENEOUS, *OTHERS])
def test_the_parts_add_up_where_all_is_homogeneous_between_the_biases(name: str) -> None:
    trace = iw.record(Between((HOMOGENEOUS | OTHERS)[name]).eval(), picture(12, 14))
    parts = full_gradient(Question(trace, iw.ClassScore(1), trace.input_sites[0]))
    missing = abs(sum(float(part.sum()) for part in parts.values()) - float(trace.score(1)))
    size = abs(float(trace.score(1)))
    assert missing < 1e-10 * size if name in HOMOGENEOUS else missing > 1e-3 * size


def rescaled(part: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    strength = part.abs() - part.abs().min()
    strength = strength / strength.max()
    return F.interpolate(strength[None], size=size, mode="bilinear", align_corners=False)[0].sum(dim=0)


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_full_grad_is_the_authors_procedure(name: str, close: Callable[..., None]) -> None:
    """Gradients at the output of each convolution and batch norm, times its bias, by hooks on the modules."""
    model = normalised(SmallNet() if name == "small" else subject(name))
    image = picture(64, 80).requires_grad_()
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        bias = module.bias
        if isinstance(module, nn.BatchNorm2d):
            bias = bias - module.running_mean * module.weight / (module.running_var + module.eps).sqrt()
        if bias is not None:
            kept.append((output, bias.detach()[:, None, None]))
        return output.clone()

    handles = [
        module.register_forward_hook(keep)
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))
    ]
    score = model(image)[0, 1]
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(score, [image, *(output for output, _ in kept)])
    expected = rescaled(image.detach()[0] * gradients[0][0], (64, 80))
    for (_, bias), gradient in zip(kept, gradients[1:], strict=True):
        expected = expected + rescaled(gradient[0] * bias, (64, 80))
    close(iw.FullGrad()(iw.record(model, image.detach()), 1).values, expected, ROUNDING)


def test_full_grad_explains_one_of_a_batch(close: Callable[..., None]) -> None:
    model, images = small_net(), torch.cat([picture(), torch.randn(1, 3, 11, 14).double()])
    alone = iw.FullGrad()(iw.record(model, images[1:]), 2).values
    close(iw.FullGrad()(iw.record(model, images), 2, example=1).values, alone, ROUNDING)


def test_full_grad_explains_images_only() -> None:
    trace = iw.record(nn.Linear(6, 3), torch.randn(1, 6))
    with pytest.raises(LayoutError, match=r"FullGrad explains images: .* is none"):
        iw.FullGrad()(trace, 1)
    with pytest.raises(LayerError, match="explains the input only"):
        iw.FullGrad()(iw.record(small_net(), picture()), 1, "conv1")
