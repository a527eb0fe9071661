"""Models in which values are exchanged, other values for them, and all that must stay as it was."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.trace.interrupt import interruption
from tests.explainers.subjects import SmallNet, image_for, subject

TARGET = 2


def others(trace: iw.Trace, layer: str, count: int, example: int = 0) -> torch.Tensor:
    """Values near those recorded, different in each of the batch."""
    value = trace.activation(layer)[example]
    noise = torch.randn(count, *value.shape, generator=torch.Generator().manual_seed(3), dtype=value.dtype)
    return value + 0.5 * float(value.std()) * noise


class Reused(nn.Module):
    """One ReLU that runs twice, and a sum in the model's own code."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        return self.head((x + self.relu(self.second(x))).mean(dim=(2, 3)))


class Several(nn.Module):
    """Returns a tuple: maps, and what it threw away."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.conv(x)
        return x.relu(), x.neg().relu()


class WithTuple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.middle = Several()
        self.last = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, thrown = self.middle(self.first(x))
        return self.head((self.last(kept).tanh() - 0.3 * thrown).mean(dim=(2, 3)))


class TupleTwice(nn.Module):
    """The module that returns a tuple runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.middle = Several()
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, thrown = self.middle(self.first(x))
        again, _ = self.middle(kept - thrown)
        return self.head((again.tanh() + kept).mean(dim=(2, 3)))


class WritesInPlace(nn.Module):
    """Its own code writes into what its modules returned, before and behind each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x += 0.5
        x *= x.detach().abs().mean(dim=(1, 2, 3), keepdim=True) + 1
        y = self.second(x)
        y += x
        y.mul_(0.7)
        z = self.third(self.relu(y))
        z -= x
        return self.head(z.tanh().mean(dim=(2, 3)))


class Dense(nn.Module):
    """Each layer reads the concatenation of all before it, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layers = nn.ModuleList([nn.Conv2d(4 * (k + 1), 4, 3, padding=1) for k in range(3)])
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [self.stem(x)]
        for layer in self.layers:
            found.append(layer(torch.cat(found, dim=1)).relu_())
        return self.head(torch.cat(found, dim=1).mean(dim=(2, 3)))


class Raises(nn.Module):
    """Raises as soon as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()  # holds a lock, so the shadow uses the same one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.told.is_set():
            raise ArithmeticError("told to")
        return x * 1.5


class Stages(nn.Module):
    """Three stages, the last of which can be told to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.5))
        self.alarm = Raises()
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.alarm(self.body(self.stem(x))).mean(dim=(2, 3)))


OWN: dict[str, Callable[[], nn.Module]] = {
    "SmallNet": SmallNet,
    "Reused": Reused,
    "WithTuple": WithTuple,
    "TupleTwice": TupleTwice,
    "WritesInPlace": WritesInPlace,
    "Dense": Dense,
    "Stages": Stages,
}


def small(name: str) -> nn.Module:
    torch.manual_seed(4)
    return OWN[name]().eval()


@cache
def recorded(name: str) -> tuple[nn.Module, torch.Tensor, iw.Trace]:
    """In double precision: in single a ReLU near zero switches by rounding, which differs between processors."""
    if name not in OWN:
        model, image = copy.deepcopy(subject(name)).double(), image_for(name).double()
        return model, image, iw.record(model, image)
    model = small(name).double()
    image = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    return model, image, iw.record(model, image)


def state_of(model: nn.Module) -> list[Any]:
    """All that a probe must leave as it was."""
    modules = list(model.modules())
    return [
        [vars(module).get("forward") for module in modules],
        [module.training for module in modules],
        [dict(module._forward_hooks) for module in modules],
        [dict(module._forward_pre_hooks) for module in modules],
        [(id(each), each.requires_grad, each.grad) for each in model.parameters()],
        [(id(each), each.tolist()) for each in model.buffers()],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
        interruption(),
    ]


def half_trained() -> Stages:
    """In training mode but for one module, with a frozen parameter, a hook and a ``forward`` of the user's own."""
    model = small("Stages").train()
    assert isinstance(model, Stages)
    model.stem[1].eval()
    model.head.bias.requires_grad_(False)
    model.body[0].register_forward_hook(lambda _module, _args, _output: None)
    own = model.stem.forward
    model.stem.forward = lambda x: own(x) + 0  # type: ignore[method-assign]
    return model


def asked(number: int) -> Callable[[], bool]:
    """Answers yes from the given question on."""
    questions = iter(range(10**6))
    return lambda: next(questions) >= number
