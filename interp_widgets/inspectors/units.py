"""Units of a layer as targets: a channel's mean, one unit, a direction among the channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from interp_widgets.errors import LayerError, ParameterError
from interp_widgets.inspectors.activation_function import activation_function
from interp_widgets.trace import Target, Trace
from interp_widgets.trace.arguments import shown, whole_number
from interp_widgets.trace.target import Names, Values
from interp_widgets.words import say

__all__ = [
    "ChannelMean",
    "DirectionMean",
    "UnitScore",
    "UnitTarget",
    "before_activation",
    "by_channel",
    "check_channel",
    "check_channels",
    "unit_target",
]


@dataclass(frozen=True)
class ChannelMean(Target):
    """The mean of a channel over its positions."""

    site: str
    channel: int

    def each(self, values: Values) -> torch.Tensor:
        return _channels_in(values, self.site)[:, self.channel].mean(dim=1)

    def label(self, names: Names) -> str:
        del names  # a channel is no class
        return say("channel {channel} of {site}", channel=self.channel, site=self.site)


@dataclass(frozen=True)
class DirectionMean(Target):
    """The mean over positions of the channels' weighted sum.

    Args:
        weights: one for each channel.
    """

    site: str
    weights: tuple[float, ...]

    def each(self, values: Values) -> torch.Tensor:
        channels = _channels_in(values, self.site)  # (N, C, P)
        return torch.einsum("ncp,c->np", channels, channels.new_tensor(self.weights)).mean(dim=1)

    def label(self, names: Names) -> str:
        del names  # a direction is no class
        return say("a direction among the channels of {site}", site=self.site)


@dataclass(frozen=True)
class UnitScore(Target):
    """One unit of each input: the value of a channel at one position.

    Args:
        channel: the same for all inputs.
        positions: a number for each input, counted over the axes that neither count inputs nor channels.
    """

    site: str
    channel: int
    positions: tuple[int, ...]

    def each(self, values: Values) -> torch.Tensor:
        channel = _channels_in(values, self.site)[:, self.channel]  # (N, P)
        positions = torch.tensor(self.positions, device=channel.device)
        return channel.gather(1, positions[:, None])[:, 0]

    def label(self, names: Names) -> str:
        del names  # a unit is no class
        return say("a unit of channel {channel} of {site}", channel=self.channel, site=self.site)


UnitTarget = ChannelMean | DirectionMean | UnitScore


def by_channel(value: torch.Tensor, axis: int) -> torch.Tensor:
    """A layer's value as ``(N, C, P)``: inputs, channels, and the positions of the other axes in their order.

    Args:
        axis: which counts the channels; the first counts inputs.
    """
    moved = value.movedim(axis, 1)
    return moved.reshape(*moved.shape[:2], -1)


def _channels_in(values: Values, site: str) -> torch.Tensor:
    return by_channel(values.value(site), values.channel_axis(site))


def check_channels(trace: Trace, layer: str) -> tuple[int, int]:
    """The axis that counts a layer's channels, and how many there are.

    Raises:
        LayerError: no such layer, or one without a row for each input or without channels.
    """
    site = trace.site(layer)
    if not trace.has_rows(site.name):
        raise LayerError(
            say(
                "layer {layer!r} has shape {shape}, without a row for each input: choose another layer",
                layer=site.name,
                shape=site.shape,
            )
        )
    axis = trace.channel_axis(site.name)
    if axis == 0:
        raise LayerError(
            say(
                "layer {layer!r} has shape {shape}, one number for each input, so it has no channels: "
                "choose another layer",
                layer=site.name,
                shape=site.shape,
            )
        )
    return axis, site.shape[axis]


def check_channel(channel: Any, layer: str, count: int) -> int:
    """The number of a channel.

    Raises:
        ParameterError: no whole number, or not so many channels.
    """
    number = whole_number(channel)
    if number is None or not 0 <= number < count:
        raise ParameterError(
            say(
                "channel must be in 0..{last} ({layer!r} has {count} channels), got {given}",
                last=count - 1,
                layer=layer,
                count=count,
                given=shown(channel),
            )
        )
    return number


def before_activation(trace: Trace, goal: UnitTarget) -> UnitTarget | None:
    """The same target before the activation function that the layer ends in; ``None`` where it ends in none."""
    function = activation_function(trace, goal.site)
    operation = trace.tape.values[trace.site(goal.site).index].operation
    if function is None or operation is None or not operation.refs:
        return None
    name = trace.tape.names.get(operation.refs[0].index)
    return None if name is None else replace(goal, site=name)


def unit_target(trace: Trace, layer: Any, *, channel: Any, unit: Any, direction: Any) -> UnitTarget:
    """The target that a channel, a unit or a direction of a layer is; one of the three is given.

    Args:
        channel: its mean is meant.
        unit: the number of a channel at the centre, or a tuple of it and a position.
        direction: a weight for each channel.

    Raises:
        LayerError: no such layer, or one without channels.
        ParameterError: no layer; no such channel or position; no direction.
    """
    if layer is None:
        raise ParameterError(
            say("a channel, unit or direction is one of a layer: give layer=, such as {name!r}", name=trace.layers[-1])
        )
    axis, count = check_channels(trace, layer)
    site = trace.site(layer)
    if channel is not None:
        return ChannelMean(site.name, check_channel(channel, site.name, count))
    if unit is not None:
        sides = [side for place, side in enumerate(site.shape) if place not in (0, axis)]
        number, *position = unit if isinstance(unit, tuple) and unit else (unit,)
        chosen = position or [side // 2 for side in sides]
        return UnitScore(site.name, check_channel(number, site.name, count), (_flat(chosen, sides, site.name),))
    return DirectionMean(site.name, _weights(direction, site.name, count))


def _flat(position: list[Any], sides: list[int], layer: str) -> int:
    """The number of a position among all of a map."""
    numbers = [number for number in map(whole_number, position) if number is not None]
    fits = len(numbers) == len(position) == len(sides)
    fits = fits and all(0 <= number < side for number, side in zip(numbers, sides, strict=True))
    if not fits:
        raise ParameterError(
            say(
                "the position of a unit of {layer!r} must be in {sides}, got {given}",
                layer=layer,
                sides=" x ".join(f"0..{side - 1}" for side in sides) or say("no axis"),
                given=shown(tuple(position)),
            )
        )
    return int(np.ravel_multi_index(numbers, sides)) if sides else 0


def _weights(direction: Any, layer: str, count: int) -> tuple[float, ...]:
    """A direction of length 1.

    Raises:
        ParameterError: not a finite number for each channel, or all zero.
    """
    wanted = say(
        "direction must be a finite number for each of the {count} channels of {layer!r}", count=count, layer=layer
    )
    try:
        weights = torch.as_tensor(direction).detach().cpu().numpy()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(say("{wanted}, got {given}", wanted=wanted, given=shown(direction))) from error
    length = np.linalg.norm(weights)
    if weights.shape != (count,) or weights.dtype.kind not in "iuf" or not np.isfinite(length) or length == 0:
        raise ParameterError(say("{wanted}, not all zero, got {given}", wanted=wanted, given=shown(direction)))
    return tuple((weights / length).tolist())
