"""How a model says that its images are prepared; what is usual where it says nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from interp_widgets.errors import ParameterError
from interp_widgets.inputs.foreign import Prepare, in_words
from interp_widgets.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from interp_widgets.words import say

__all__ = ["Choice", "choices", "first_convolution", "takes_images", "usual_preprocess"]


class Choice(NamedTuple):
    """One way to prepare an image.

    Args:
        name: what is special about it, in a few words.
        words: what it does, in a few words.
        preprocess: what a session takes; ``None`` for the model's own.
    """

    name: str
    words: str
    preprocess: Prepare | None


def usual_preprocess(model: nn.Module) -> Preprocess:
    """The preprocessing of a model for which nobody gave one.

    That of timm's ``pretrained_cfg``; else 224 x 224, or the ``image_size`` of a Hugging Face ``config``, with
    ImageNet's mean and deviation, or grey in 0..1 where the first convolution takes one channel.
    """
    return _said(model) or Preprocess(**_colours(model))


def choices(model: nn.Module, given: Prepare | None, current: Prepare | None) -> list[Choice]:
    """Ways to prepare images to choose from, each once: as given, as the model says, and the usual ranges of values.

    Exactly one has ``current`` as its ``preprocess``.

    Args:
        model: its own way is among them; ranges come at the size that is prepared now.
        given: what the session was made with, ``None`` for the model's own.
        current: what is chosen now.
    """
    own = usual_preprocess(model)
    chosen = own if current is None else current
    seen: list[Prepare] = []
    listed = []
    for name, preprocess in _candidates(model, given, current):
        known = own if preprocess is None else preprocess
        if known not in seen:
            seen.append(known)
            listed.append(Choice(name, in_words(known), current if known == chosen else preprocess))
    return listed


def _candidates(
    model: nn.Module, given: Prepare | None, current: Prepare | None
) -> Iterator[tuple[str, Prepare | None]]:
    if given is not None:
        yield say("as given"), given
    yield say("as the model says") if _said(model) is not None else say("as usual"), None
    shown = next((each for each in (current, given) if isinstance(each, Preprocess)), usual_preprocess(model))
    if shown.channels == 3:
        yield say("ImageNet mean and deviation"), replace(shown, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    for name, mean, std in (("0..1", 0.0, 1.0), ("-1..1", 0.5, 0.5), ("0..255", 0.0, 1 / 255)):
        yield name, replace(shown, mean=(mean,) * shown.channels, std=(std,) * shown.channels)
    if current is not None:
        yield say("your own"), current


def _said(model: nn.Module) -> Preprocess | None:
    """What the model says itself: timm's configuration, or the image size of a Hugging Face one."""
    for name in ("pretrained_cfg", "default_cfg"):
        found = _of_timm(getattr(model, name, None))
        if found is not None:
            return found
    size = getattr(getattr(model, "config", None), "image_size", None)
    try:
        return None if size is None else Preprocess(size, **_colours(model))
    except ParameterError:  # the config means something else by it
        return None


def _colours(model: nn.Module) -> dict[str, Any]:
    """Mean and deviation where nobody says any: ImageNet's, or none for a model of grey images."""
    first = first_convolution(model)
    is_grey = first is not None and first.in_channels == 1
    return {"mean": (0.0,), "std": (1.0,)} if is_grey else {}


def first_convolution(model: nn.Module) -> nn.Conv2d | None:
    """The convolution that reads the images, where a model has one."""
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)


def takes_images(model: nn.Module) -> bool:
    """Whether an array is an image for the model: it has a 2-D convolution, or says how images are prepared."""
    return first_convolution(model) is not None or _said(model) is not None


def _of_timm(config: Any) -> Preprocess | None:
    """What timm's own evaluation transform does by this configuration; ``None`` where it is none."""
    if not isinstance(config, Mapping) or not {"input_size", "mean", "std"} <= config.keys():
        return None
    _, height, width = config["input_size"]
    crop = config.get("crop_pct") or 0.875
    interpolation = config.get("interpolation", "bicubic")
    try:
        return Preprocess(
            (height, width),
            config["mean"],
            config["std"],
            math.floor(min(height, width) / crop),
            interpolation if interpolation in ("bilinear", "bicubic", "nearest") else "bicubic",
        )
    except ParameterError:  # another number of channels than pictures have
        return None
