"""``feature_visualization``: a picture that excites a channel, a unit, a direction or a class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from interp_widgets.errors import GradientError, InputError, ParameterError
from interp_widgets.inputs import Preprocess
from interp_widgets.inputs.foreign import Prepare, understood
from interp_widgets.inputs.usual import first_convolution, takes_images, usual_preprocess
from interp_widgets.inspectors.fourier import Adam, FourierPicture, seen_anew
from interp_widgets.inspectors.units import before_activation, unit_target
from interp_widgets.trace import Target, Trace
from interp_widgets.trace.arguments import check_whole, plain_module, shown
from interp_widgets.trace.recording import record
from interp_widgets.trace.targets import TargetLike
from interp_widgets.words import say

__all__ = ["Visualization", "feature_visualization"]

LEARNING_RATE = 0.05  # of Adam, as in Lucid
PATIENCE = 16  # steps without any gradient after which nothing will come any more


@dataclass(frozen=True, eq=False)
class Visualization:
    """A picture on its way; see ``feature_visualization``.

    Args:
        image: ``(C, H, W)`` float32 in 0..1 before the model's mean and deviation, C 3, or 1 of a model of grey images.
        step: how many steps were taken.
        steps: how many there will be.
        activation: what the picture is drawn for, measured on this picture: the channel's mean, the unit's value, the
            direction's mean, or the target's score.
    """

    image: torch.Tensor
    step: int
    steps: int
    activation: float


def feature_visualization(  # noqa: PLR0913 - options of the one entry, by keyword
    model: nn.Module | Trace,
    layer: str | None = None,
    channel: int | None = None,
    unit: int | tuple[int, ...] | None = None,
    target: TargetLike = None,
    *,
    direction: Iterable[float] | None = None,
    size: int | tuple[int, int] | None = None,
    steps: int = 256,
    seed: int = 0,
    preprocess: Prepare | None = None,
) -> Iterator[Visualization]:
    """A picture that excites a part of the model, as it sharpens; the last one is the result.

    Olah, Mordvintsev and Schubert 2017, *Feature Visualization*, doi:10.23915/distill.00007: Adam climbs the activation
    in the space of frequencies and decorrelated colours, and each step sees the picture shifted, scaled and turned at
    random. Whoever stops asking has cancelled. The same seed draws the same picture. The model is left as it is.

    Args:
        model: a module that takes one batch of images, or a trace of one, whose image size and arguments are kept.
        layer: where the channel, the unit or the direction is.
        channel: whose mean over all positions is raised.
        unit: a single value to raise: the channel's at the centre, or ``(channel, *position)``.
        target: instead of a layer: what a trace takes as a target, such as the number of a class, whose score before
            the softmax is raised.
        direction: a weight for each channel; the mean over positions of the weighted sum is raised.
        size: height and width in pixels; by default what the preprocessing says.
        steps: how many steps are taken.
        seed: of the first picture and of the shifts.
        preprocess: mean and deviation that the model wants, such as that of a zoo entry; by default what the model
            says, see ``usual_preprocess``.

    Returns:
        A stream of pictures with what they excite, one after each step.

    Raises:
        ParameterError: none or several of channel, unit, direction and target; no such channel, unit or size; a
            preprocessing without mean and deviation.
        InputError: the model does not take one batch of images.
        LayerError: no such layer, or one without channels.
        TargetError: no such target.
        GradientError: no gradient leads from there to the picture.
        NonFiniteError: the activation is NaN or infinite.
        ModelError: not a module, or one that cannot be recorded.
        StaleError: the model was changed meanwhile.

    >>> import torch, interp_widgets as iw
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    >>> *_, last = iw.feature_visualization(model, "0", channel=2, size=16, steps=3)
    >>> tuple(last.image.shape), last.step
    ((3, 16, 16), 3)
    """
    count = check_whole(steps, "steps", 1)
    rng = np.random.default_rng(check_whole(seed, "seed", 0))
    _check_one_goal(channel=channel, unit=unit, direction=direction, target=target)
    trace, prepare = _opened(model, size, preprocess)
    _check_image(trace, prepare.channels)
    goal, before = target, None
    if target is None:
        unit_goal = unit_target(trace, layer, channel=channel, unit=unit, direction=direction)
        goal, before = unit_goal, before_activation(trace, unit_goal)
    trace.score(goal)  # refuses what is no target
    height, width = trace.site(trace.input_sites[0]).shape[-2:]
    with torch.inference_mode(mode=False):  # autograd follows no tensor that is made in inference mode
        picture = FourierPicture(prepare.channels, (height, width), rng)
    return _climbed(_Climb(trace, goal, prepare, before), picture, count, rng)


@dataclass(frozen=True)
class _Climb:
    """What is raised, and how the model is given a picture."""

    trace: Trace
    goal: TargetLike
    prepare: Preprocess
    before: Target | None = None  # the same before the layer's activation function

    def given(self, pixels: torch.Tensor) -> torch.Tensor:
        """A picture ``(C, H, W)`` in 0..1 as the model takes it, ``(1, C, H, W)``."""
        mean = pixels.new_tensor(self.prepare.mean).reshape(-1, 1, 1)
        std = pixels.new_tensor(self.prepare.std).reshape(-1, 1, 1)
        return ((pixels - mean) / std)[None]

    def slope(self, values: torch.Tensor) -> torch.Tensor:
        """The derivative of the activation by what the model is given.

        Where it is zero because nothing fires (behind a ReLU), that of the values before the activation function: so
        Olah et al. send gradients past a ReLU at first.
        """
        slope = self._slope(values, self.goal)
        if self.before is None or bool(slope.any()):
            return slope
        return self._slope(values, self.before)

    def _slope(self, values: torch.Tensor, goal: TargetLike) -> torch.Tensor:
        found = self.trace.probe(self.trace.input_sites[0], values.detach(), goal, gradient=True)
        return found.gradients.to(values)

    def activation(self, pixels: torch.Tensor) -> float:
        """What a picture excites."""
        found = self.trace.probe(self.trace.input_sites[0], self.given(pixels), self.goal)
        return found.scores.item()


def _climbed(climb: _Climb, picture: FourierPicture, steps: int, rng: np.random.Generator) -> Iterator[Visualization]:
    """The picture after each step."""
    adam = Adam(LEARNING_RATE)
    flat_steps = 0
    for step in range(1, steps + 1):
        with torch.inference_mode(mode=False), torch.enable_grad():
            values = climb.given(seen_anew(picture.pixels(), rng))
            slope = climb.slope(values)
            (gradient,) = torch.autograd.grad(values, [picture.spectrum], slope)
            adam.climb(picture.spectrum, gradient)
            pixels = picture.pixels().detach()
        flat_steps = 0 if bool(slope.any()) else flat_steps + 1
        if flat_steps == PATIENCE:
            raise GradientError(
                say(
                    "the gradient was zero for {count} steps, so the picture cannot be improved: nothing that it shows "
                    "reaches this part of the model; choose a layer before it, or another seed",
                    count=PATIENCE,
                )
            )
        yield Visualization(pixels, step, steps, climb.activation(pixels))


def _check_one_goal(**goals: Any) -> None:
    given = [f"{name}={shown(goal)}" for name, goal in goals.items() if goal is not None]
    if len(given) != 1:
        raise ParameterError(
            say(
                "give one of channel, unit and direction (with a layer), or a target, got {given}",
                given=", ".join(given) or say("none"),
            )
        )


def _opened(model: nn.Module | Trace, size: Any, preprocess: Prepare | None) -> tuple[Trace, Preprocess]:
    """A trace that pictures are put into, and how they are prepared.

    Raises:
        ParameterError: a size for a trace, which has its own; a preprocessing without mean and deviation.
        InputError: a model that takes no images.
    """
    module = model.model if isinstance(model, Trace) else plain_module(model)
    chosen = usual_preprocess(module) if preprocess is None else understood(preprocess)
    if not isinstance(chosen, Preprocess):
        raise ParameterError(
            say(
                "preprocess must have a mean and a deviation, such as iw.Preprocess(size=224, mean=..., std=...), "
                "got {given}",
                given=shown(chosen),
            )
        )
    if isinstance(model, Trace):
        model.tape.check_open()
        if size is not None:
            raise ParameterError(
                say("a trace has its own image size, got size={given}: give the model itself", given=shown(size))
            )
        return model, chosen
    if not takes_images(module):
        raise InputError(
            say(
                "this {kind} has no 2-D convolution and does not say that it takes images: give a trace of it on an "
                "image, iw.record(model, image)",
                kind=type(module).__name__,
            )
        )
    chosen = chosen if size is None else replace(chosen, size=size)
    first = first_convolution(module)
    if first is not None and preprocess is None and first.in_channels != chosen.channels:
        raise InputError(
            say(
                "the first convolution takes {channels} channels; pictures have 1 or 3",
                channels=first.in_channels,
            )
        )
    return record(module, torch.zeros(1, chosen.channels, *chosen.size), batch_axis=0), chosen


def _check_image(trace: Trace, channels: int) -> None:
    """Refuse a trace whose input is no image of so many channels."""
    shapes = {name: trace.site(name).shape for name in trace.input_sites}
    (name, shape), *others = shapes.items()
    if others or len(shape) != 4 or shape[1] != channels or not trace.has_rows(name):
        raise InputError(
            say(
                "the model must take one batch of images (N, {channels}, H, W), but its inputs are {given}",
                channels=channels,
                given=", ".join(f"{name} {shape}" for name, shape in shapes.items()),
            )
        )
