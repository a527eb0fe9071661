"""``regions``: which part of an input a unit depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from interp_widgets.errors import GradientError
from interp_widgets.inspectors.search import Example
from interp_widgets.inspectors.units import UnitScore
from interp_widgets.trace import Trace

__all__ = ["Region", "grid_of", "regions"]

Region = tuple[slice, ...]
"""A part of an input, a slice for each of its axes behind the one that counts inputs."""

ROUNDING = 8  # units in the last place: a gradient that is smaller, beside the largest, may come of rounding alone


def regions(
    trace: Trace, layer: str, channel: int, positions: Sequence[int], examples: Sequence[Example]
) -> list[Region]:
    """For each input, the box of what one unit depends on: where the gradient of its value is not zero.

    Smaller than rounding beside the largest one counts as zero. Where no gradient exists (inputs that are whole
    numbers, autograd switched off on the way, a unit that does not fire), it is the part of the input that lies where
    the unit lies in the layer's map, and the whole input where the two have not as many axes.

    Args:
        positions: of the unit for each input, counted over the layer's positions.
        examples: the inputs.
    """
    name = next(iter(examples[0]))
    found: list[Region] = []
    for part in trace.batches(len(examples), gradient=True, growing=False):
        rows = slice(part.start, part.stop)
        batch = {each: torch.cat([example[each] for example in examples[rows]]) for each in examples[0]}
        with trace.rerun(batch) as again:
            gradient = _gradient(again, name, UnitScore(layer, channel, tuple(positions[rows])))
        for row, position in enumerate(positions[rows]):
            if gradient is None or not bool(gradient[row].any()):
                found.append(_beside(trace, layer, name, position))
            else:
                found.append(_support(gradient[row], trace.channel_axis(name) - 1))
    return found


def grid_of(trace: Trace, layer: str) -> tuple[int, ...]:
    """The sides of a layer's map: its axes that neither count inputs nor channels."""
    axis = trace.channel_axis(layer)
    return tuple(side for place, side in enumerate(trace.site(layer).shape) if place not in (0, axis))


def _gradient(trace: Trace, name: str, unit: UnitScore) -> torch.Tensor | None:
    """The gradient of a unit at an input, ``(B, ...)``; ``None`` where none exists."""
    try:
        return trace.gradient(name, unit)
    except GradientError:
        return None


def _support(gradient: torch.Tensor, channel_axis: int) -> Region:
    """The box around all that is not zero; channels, where there are other axes, are all in it."""
    size = gradient.abs()
    limit = size.max() * ROUNDING * torch.finfo(gradient.dtype).eps
    places = (size > limit).nonzero().cpu().numpy()  # (n, axes)
    ends = zip(places.min(axis=0).tolist(), places.max(axis=0).tolist(), strict=True)
    box = [slice(first, last + 1) for first, last in ends]
    if len(box) > 1:
        box[channel_axis] = slice(0, gradient.shape[channel_axis])
    return tuple(box)


def _beside(trace: Trace, layer: str, name: str, position: int) -> Region:
    """The part of an input that lies where a position of a layer lies."""
    shape = trace.site(name).shape[1:]
    channel_axis = trace.channel_axis(name) - 1
    axes = [axis for axis in range(len(shape)) if axis != channel_axis or len(shape) == 1]
    sides = grid_of(trace, layer)
    box = [slice(0, side) for side in shape]
    if len(sides) == len(axes):
        cells = np.unravel_index(position, sides)
        for axis, cell, side in zip(axes, cells, sides, strict=True):
            box[axis] = _cell(int(cell), side, shape[axis])
    return tuple(box)


def _cell(cell: int, cells: int, length: int) -> slice:
    """Which of ``length`` pixels one of so many equal cells covers."""
    return slice(cell * length // cells, math.ceil((cell + 1) * length / cells))
