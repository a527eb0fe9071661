"""The channels of a layer as the Explorer shows them: maps or values, their rank, one page of tiles. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from interp_widgets.trace import Target, Trace

__all__ = [
    "Ranked",
    "Ranking",
    "channel_maps",
    "channel_rows",
    "channel_scores",
    "draft",
    "fit",
    "quantise",
    "rank_channels",
]

DRAFT_RESOLUTION = 56  # 3 kB, so that an answer is one message of a few kilobytes also at early layers

Ranking = Literal["activation", "maximum", "zeros", "contribution", "number"]


def channel_maps(trace: Trace, layer: str, tensor: torch.Tensor | None = None) -> torch.Tensor:
    """The first input's maps at a layer, ``(C, h, w)`` float32."""
    return trace.maps(layer, tensor)[0].detach().float().cpu()


def channel_rows(trace: Trace, layer: str, tensor: torch.Tensor | None = None) -> torch.Tensor:
    """The first input's values at a layer, ``(positions, C)`` float32; of complex ones, without maps, their sizes."""
    if trace.is_spatial(layer):
        return channel_maps(trace, layer, tensor).flatten(1).T
    values = (trace.activation(layer) if tensor is None else tensor).detach()
    values = values.abs().float() if values.is_complex() else values.float()
    if values.ndim == 0:
        return values.reshape(1, 1).cpu()
    values = values.movedim(trace.channel_axis(layer), -1)
    if values.ndim > 1:
        values = values[0]  # the first input
    return values.reshape(-1, values.shape[-1]).cpu()


def channel_scores(trace: Trace, layer: str, ranking: Ranking, target: Target | int | None) -> NDArray[np.float32]:
    """What channels are ranked by, ``(C,)`` float32, over the positions of the first input.

    The mean activation, the maximum, the share of zeros, 0..1; or activation x gradient, summed over a map: in score
    units.
    """
    product = None
    if ranking == "contribution":
        product = trace.activation(layer) * trace.gradient(layer, target)
    rows = channel_rows(trace, layer, product)  # (positions, C)
    if ranking == "maximum":
        return rows.amax(dim=0).numpy()
    if ranking == "zeros":
        return (rows == 0).float().mean(dim=0).numpy()
    is_summed = ranking == "contribution" and trace.is_spatial(layer)
    return (rows.sum(dim=0) if is_summed else rows.mean(dim=0)).numpy()


@dataclass(frozen=True, eq=False)
class Ranked:
    """The channels of a layer in order.

    Args:
        scores: ``(C,)`` float32, by number of the channel.
        order: ``(C,)``, the numbers of the channels, the first one first.
    """

    scores: NDArray[np.float32]
    order: NDArray[np.intp]


def rank_channels(trace: Trace, layer: str, ranking: Ranking, target: Target | int | None) -> Ranked:
    """The channels of a layer, the highest score first; or by number, with their mean activation as the score."""
    scores = channel_scores(trace, layer, "activation" if ranking == "number" else ranking, target)
    order = np.arange(len(scores)) if ranking == "number" else np.argsort(-scores, kind="stable")
    return Ranked(scores, order)


def fit(maps: torch.Tensor, resolution: int) -> torch.Tensor:
    """Maps ``(C, h, w)`` averaged down so that neither side is longer than ``resolution``; smaller ones as they are."""
    longest = max(maps.shape[1:])
    if longest <= resolution:
        return maps
    height, width = (max(1, round(side * resolution / longest)) for side in maps.shape[1:])
    return F.adaptive_avg_pool2d(maps, (height, width))


def draft(values: NDArray[Any]) -> NDArray[Any]:
    """A map ``(h, w)`` as it is sent first, to be there at once; the map itself follows where the draft is smaller."""
    if max(values.shape) <= DRAFT_RESOLUTION:
        return values
    drafted: NDArray[Any] = fit(torch.from_numpy(values)[None], DRAFT_RESOLUTION)[0].numpy()
    return drafted


def quantise(maps: torch.Tensor) -> NDArray[np.uint8]:
    """Each map on its own 0..255, ``(C, h, w)`` uint8; a constant map is 0."""
    flat = maps.flatten(1)
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    steps = (flat - low) / torch.where(high > low, high - low, 1) * 255
    return steps.nan_to_num().round().byte().reshape(maps.shape).numpy()
