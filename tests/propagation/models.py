"""Models that a walk back over a recording must cope with, and the shortest way to take one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import interp_widgets as iw
from interp_widgets import errors
from interp_widgets.explainers.deep_lift import DeepLift

# In double precision, with sums of a few thousand terms.
ROUNDING = 1e-9


class Plain(nn.Module):
    """What Captum can do: each ReLU a module of its own, called once."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.relu1 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1, bias=bias)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(8, 8, 3, stride=2, bias=bias)
        self.relu3 = nn.ReLU()
        self.head = nn.Linear(8 * 2 * 3, 4, bias=bias)
        self.double()
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu1(self.conv1(x)))
        x = self.relu3(self.conv3(self.relu2(self.conv2(x))))
        return self.head(x.flatten(1))


class Functional(Plain):
    """The same, without modules for its ReLUs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = torch.relu(self.conv2(x))
        return self.head(self.conv3(x).relu_().flatten(1))


class Reused(Plain):
    """The same, with one ReLU for all."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu1(self.conv1(x)))
        x = self.relu1(self.conv3(self.relu1(self.conv2(x))))
        return self.head(x.flatten(1))


class InPlace(Plain):
    """The same, with ReLUs that write over what they get."""

    def __init__(self) -> None:
        super().__init__()
        self.relu1, self.relu2, self.relu3 = (nn.ReLU(inplace=True) for _ in range(3))


WRITTEN = [Plain, Functional, Reused, InPlace]


def picture() -> torch.Tensor:
    return torch.randn(1, 3, 10, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def lrp(model: nn.Module, image: torch.Tensor, target: int = 1, layer: str | None = None, **given: Any) -> torch.Tensor:
    return iw.LRP(**given)(iw.record(model.eval(), image), target, layer).values


def times_gradient(model: nn.Module, image: torch.Tensor, target: int = 1) -> torch.Tensor:
    """Input times gradient, in the plainest way."""
    x = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, target], x)
    return (image * gradient)[0]


@contextmanager
def without_warnings() -> Iterator[None]:
    """Captum warns that it sets hooks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


PEERS = {"guided": captum.attr.GuidedBackprop, "deconvnet": captum.attr.Deconvolution}


def of_captum(rule: str, model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
    with without_warnings():
        found = PEERS[rule](model).attribute(image.clone().requires_grad_(), target=target)
    model.zero_grad(set_to_none=True)
    return found.detach()


IMAGE = torch.randn(1, 3, 8, 10, generator=torch.Generator().manual_seed(5))
OTHER = torch.randn(1, 3, 8, 10, generator=torch.Generator().manual_seed(6))


class Inside(nn.Module):
    """A convolution, whatever is tested, and a head; random, in double precision."""

    def __init__(self, inside: Callable[[torch.Tensor], torch.Tensor], *, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=bias)
        self.inside = inside
        with torch.no_grad():
            width = inside(self.conv(IMAGE)).flatten(1).shape[1]
        self.head = nn.Linear(width, 4)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.inside(self.conv(x)).flatten(1))


def lifted(model: nn.Module, baseline: Any = OTHER, target: int = 1, image: torch.Tensor = IMAGE) -> iw.Attribution:
    image = image.to(next(iter(model.parameters())).dtype)
    return DeepLift(baseline=baseline)(iw.record(model.eval(), image), target)


def change_of(model: nn.Module, baseline: torch.Tensor, target: int = 1, image: torch.Tensor = IMAGE) -> float:
    kind = next(iter(model.parameters())).dtype
    with torch.no_grad():
        return float((model.eval()(image.to(kind)) - model(baseline.to(kind)))[0, target])


def _reused(x: torch.Tensor) -> torch.Tensor:
    for _ in range(3):
        x = F.relu(x - 0.1) + x
    return x


def _squeezed(x: torch.Tensor) -> torch.Tensor:
    return x * x.mean(dim=(2, 3), keepdim=True).sigmoid()


def _written(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y.relu_()
    y += x
    y[:, 1:3] = x[:, :2] * x[:, 2:4]
    return y


def _written_through_a_view(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    part = y[:, 2:5].transpose(2, 3)
    part.tanh_()
    z = y.flatten(2)
    y.mul_(x)  # z is outdated, a view of what is written
    return torch.cat([y.flatten(2), z.square(), part.flatten(2)], dim=1)


def _attended(x: torch.Tensor) -> torch.Tensor:
    tokens = x.flatten(2).transpose(1, 2)[:, None]  # (N, 1, 80, 8)
    mask = torch.ones(80, 80, dtype=torch.bool).tril(3)
    plain = F.scaled_dot_product_attention(tokens, tokens * 2, tokens.sin(), attn_mask=mask, scale=0.7)
    return plain + F.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True)


INSIDE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "reused ReLU and residuals": _reused,
    "squeeze and excitation": _squeezed,
    "softmax": lambda x: 5 * (3 * x).softmax(dim=1),
    "log softmax": lambda x: x.log_softmax(1),
    "softmax by hand": lambda x: x.exp() / x.exp().sum(dim=1, keepdim=True),
    "layer norm": lambda x: F.layer_norm(x, x.shape[2:], eps=1e-6),
    "layer norm by hand": lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt(),
    "group norm": lambda x: F.group_norm(x, 4, torch.arange(8).to(x), torch.ones(8).to(x)),
    "RMS norm": lambda x: F.rms_norm(x, x.shape[3:]),
    "instance norm": F.instance_norm,
    "batch norm without statistics": lambda x: F.batch_norm(torch.cat([x, x.tanh()]), None, None, training=True)[:1],
    "normalize": lambda x: F.normalize(x, dim=1),
    "max pool": lambda x: F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True),
    "adaptive max pool": lambda x: F.adaptive_max_pool2d(x, (3, 2)),
    "attention": _attended,
    "in-place writes": _written,
    "writes through views": _written_through_a_view,
    "a detached branch": lambda x: x.tanh() + x.detach() * 2,
    "hardswish, SiLU, GELU": lambda x: F.silu(F.hardswish(4 * x, inplace=False), inplace=True) + F.gelu(x),
    "an einsum": lambda x: torch.einsum("nchw,ncvw->nchv", x, x.relu()),
    "splits and joins": lambda x: torch.cat([part.sigmoid() for part in x.chunk(2, 1)][::-1], 1).roll(1, 2),
    "logsumexp, which has no rule": lambda x: x.logsumexp(dim=1),
    "cosine similarity, which has no rule": lambda x: F.cosine_similarity(x, x.flip(1) + 0.3, dim=1),
}


def refused(model: nn.Module, sentence: str) -> None:
    with pytest.raises(errors.GradientError, match=sentence):
        lifted(model)
