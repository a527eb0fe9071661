"""Small models of every kind that the widgets must show, and how to drive a widget as the browser does."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from interp_widgets.widgets.explorer import Explorer

HOSTILE = "<img src=x onerror=alert(1)>"
WORKER = "interp_widgets worker"


def cnn(channels: int = 3, classes: int = 5) -> nn.Sequential:
    """8 maps of full size, 16 of half: layers 0..3, pooled and classified."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    ).eval()


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 3)).eval()


class TokenModel(nn.Module):
    """Token ids in, three classes out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.block(self.embedding(ids)).mean(1))
        return logits


class Autoencoder(nn.Module):
    """An image in, ``(N, 3, H, W)`` of values out: no classes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.decoder = nn.ConvTranspose2d(8, 3, 2, stride=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        restored: torch.Tensor = self.decoder(self.encoder(images).relu()).sigmoid()
        return restored


class Segmenter(nn.Module):
    """``{"out": (N, 4, H, W)}``, as torchvision's segmentation models answer."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 3, padding=1)
        self.classifier = nn.Conv2d(8, 4, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.classifier(self.backbone(images).relu())}


class Detector(nn.Module):
    """``[{"boxes", "scores", "labels"}]``, as torchvision's detectors answer."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        features = self.backbone(images).relu().mean((2, 3))[0]
        return [{"boxes": features.reshape(2, 4), "scores": features[:2].sigmoid(), "labels": torch.tensor([1, 2])}]


class Residual(nn.Module):
    """Blocks in stages, a shortcut, a module that is used twice and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.stage1 = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.stage2 = nn.Sequential(nn.Conv2d(8, 32, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.mix = nn.Conv2d(32, 32, 1)
        self.unused = nn.Linear(3, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, 6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        x = x + self.stage1(x)
        x = self.stage2(x)
        x = self.mix(self.mix(x))
        logits: torch.Tensor = self.head(self.pool(x).flatten(1))
        return logits


class Picky(nn.Module):
    """Refuses bright images."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.inner = cnn()
        self.error = error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.detach().mean().item() > 0.9:
            raise self.error
        logits: torch.Tensor = self.inner(images)
        return logits


class Gate:
    """What a test holds shut while something slow is meant to run; ``late`` when nobody opened it in time."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._opened = threading.Event()
        self._opened.set()
        self.late = False

    def __deepcopy__(self, _memo: object) -> Gate:
        return self

    def shut(self) -> None:
        self.entered.clear()
        self._opened.clear()

    def open(self) -> None:
        self._opened.set()

    def passing(self) -> None:
        """Called by what is slow."""
        self.entered.set()
        self.late = self.late or not self._opened.wait(20)


class GatedModel(nn.Module):
    """Its forward or its backward pass stays at the gate for as long as the test wants."""

    def __init__(self, *, forward: Gate | None = None, backward: Gate | None = None) -> None:
        super().__init__()
        self.inner = cnn(classes=20)  # more than are prefetched
        self.forward_gate, self.backward_gate = forward, backward

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.forward_gate:
            self.forward_gate.passing()
        logits: torch.Tensor = self.inner(images)
        return _Gated.apply(logits, self.backward_gate) if self.backward_gate else logits  # type: ignore[no-any-return]


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: torch.Tensor, gate: Gate) -> torch.Tensor:
        context.gate = gate
        return values.clone()

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        context.gate.passing()
        return gradients[0], None


def images(count: int = 3, height: int = 32, width: int = 32, channels: int = 3) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(7))


def workers() -> list[threading.Thread]:
    """The worker threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == WORKER]


def panel_of(explorer: Explorer) -> SimpleNamespace:
    """The controls of an Explorer as attributes, and the two that are built of several."""
    parameters, goal = explorer._attribution.parameters, explorer._prediction.goal
    return SimpleNamespace(**{**explorer.controls, "parameters": parameters, "goal": goal})
