"""How a model says that its images are prepared; what is usual where it says nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from interp_widgets.errors import ParameterError
from interp_widgets.inputs.preprocess import Preprocess

__all__ = ["first_convolution", "usual_preprocess"]


def usual_preprocess(model: nn.Module) -> Preprocess:
    """The preprocessing of a model for which nobody gave one.

    That of timm's ``pretrained_cfg``; else 224 x 224, or the ``image_size`` of a Hugging Face ``config``, with
    ImageNet's mean and deviation, or grey in 0..1 where the first convolution takes one channel.
    """
    for name in ("pretrained_cfg", "default_cfg"):
        found = _of_timm(getattr(model, name, None))
        if found is not None:
            return found
    first = first_convolution(model)
    is_grey = first is not None and first.in_channels == 1
    colours: dict[str, Any] = {"mean": (0.0,), "std": (1.0,)} if is_grey else {}
    size = getattr(getattr(model, "config", None), "image_size", None)
    try:
        return Preprocess(**colours) if size is None else Preprocess(size, **colours)
    except ParameterError:  # the config means something else by it
        return Preprocess(**colours)


def first_convolution(model: nn.Module) -> nn.Conv2d | None:
    """The convolution that reads the images, where a model has one."""
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)


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
