"""The training loop and the augmentations that the shipped models share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from interp_widgets.inputs import Preprocess

__all__ = ["Loss", "Schedule", "fit", "flip_together", "jitter", "normalise"]

_log = logging.getLogger("interp_widgets.zoo.train")

Loss = Callable[[Tensor, Tensor], Tensor]
"""From normalised images ``(B, C, H, W)`` and the batch's indices ``(B,)`` to a scalar."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train: ``rate`` is the highest learning rate; ``bfloat16`` is mixed precision."""

    epochs: int
    rate: float
    batch_size: int = 64
    bfloat16: bool = False


def fit(
    model: nn.Module,
    images: NDArray[np.uint8],
    preprocess: Preprocess,
    loss: Loss,
    schedule: Schedule,
    *,
    also_train: nn.Module | None = None,
) -> None:
    """Train in place on ``images`` ``(N, H, W, C)``: AdamW, a warm-up over the first tenth, a cosine to zero.

    Args:
        model: left in eval mode.
        images: uint8; normalised by ``preprocess``, batch by batch.
        preprocess: gives the mean and the standard deviation.
        loss: what is minimised.
        schedule: epochs, learning rate, batch size, precision.
        also_train: a part that only the loss uses.
    """
    trained = nn.ModuleList([model] if also_train is None else [model, also_train]).train()
    size, per_epoch = schedule.batch_size, len(images) // schedule.batch_size
    optimizer = torch.optim.AdamW(trained.parameters(), lr=schedule.rate, weight_decay=0.02)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.rate, total_steps=schedule.epochs * per_epoch, pct_start=0.1, cycle_momentum=False
    )
    model.to(memory_format=torch.channels_last)
    for epoch in range(schedule.epochs):
        started, total, order = time.perf_counter(), 0.0, torch.randperm(len(images))
        for at in range(0, per_epoch * size, size):
            batch = order[at : at + size]
            with torch.autocast("cpu", torch.bfloat16, enabled=schedule.bfloat16):
                value = loss(normalise(preprocess, images[batch.numpy()]), batch)
            optimizer.zero_grad()
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
            optimizer.step()
            rates.step()
            total += value.item()
        seconds, mean = time.perf_counter() - started, total / per_epoch
        _log.info("epoch %d of %d: loss %.4f (%.0f s)", epoch + 1, schedule.epochs, mean, seconds)
    model.to(memory_format=torch.contiguous_format).eval()


def normalise(preprocess: Preprocess, images: NDArray[np.uint8]) -> Tensor:
    """``(B, H, W, C)`` uint8 as the model takes it: ``(B, C, H, W)`` float32."""
    mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
    return ((torch.from_numpy(images) / 255 - mean) / std).permute(0, 3, 1, 2)


def flip_together(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror half of the batch left to right, and half upside down; ``others`` alike."""
    for dim in (-1, -2):
        chosen = torch.rand(len(images)) < 0.5
        images, others = (
            torch.where(chosen.reshape(-1, *[1] * (each.ndim - 1)), each.flip(dim), each) for each in (images, others)
        )
    return images, others


def jitter(images: Tensor) -> Tensor:
    """Each image turned by up to 12 degrees, scaled by up to 10 % and shifted by up to 8 % of its size."""
    count = len(images)
    angle, scale = (torch.rand(count) * 2 - 1) * 0.2, 1 + (torch.rand(count) * 2 - 1) * 0.1
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = (torch.rand(count, 2) * 2 - 1) * 0.16
    matrices = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
