"""Preprocessing that others wrote, as a ``Preprocess``: torchvision's and Hugging Face's. Neither is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.inputs.preprocess import Interpolation, Preprocess
from interp_widgets.trace.arguments import shown
from interp_widgets.words import say

__all__ = ["Prepare", "in_words", "of_torchvision", "understood"]

Prepare = Preprocess | Callable[[Any], torch.Tensor]
"""What makes the model's input of a PIL image."""

MOST_APART = 3
"""Grey levels of 255: Pillow and torchvision round in different places when they resize."""


def understood(given: Any) -> Prepare | None:
    """What was given as ``preprocess``, as a ``Preprocess`` where it does the same.

    The classification transforms of torchvision's weights and Hugging Face image processors are read, and compared with
    what they do with a picture of noise. One that does something else as well is used as it is, as any function of an
    image is.

    Raises:
        ParameterError: nothing that can be called with an image.
    """
    if given is None or isinstance(given, Preprocess):
        return given
    if _is_image_processor(given):
        read, function = _of_hugging_face(given), _Processor(given)
    else:
        read, function = of_torchvision(given), given
    if read is not None and (not callable(given) or _does_the_same(read, function)):
        return read
    if isinstance(given, type) or not callable(given):
        raise ParameterError(
            say("preprocess must be a Preprocess or a function of a PIL image, got {given}", given=shown(given))
        )
    return cast("Prepare", function)


def in_words(prepare: Prepare) -> str:
    """What happens to an image, in a few words."""
    if isinstance(prepare, Preprocess):
        return prepare.words
    name = getattr(prepare, "__name__", type(prepare).__name__)
    return say("prepared by {function}", function=name)


def of_torchvision(preset: Any) -> Preprocess | None:
    """What ``weights.transforms()`` of a torchvision classifier does; ``None`` where it is something else."""
    if type(preset).__name__ != "ImageClassification":
        return None
    interpolation = cast("Interpolation", preset.interpolation.value)
    return Preprocess(preset.crop_size, preset.mean, preset.std, preset.resize_size[0], interpolation)


@dataclass(frozen=True)
class _Processor:
    """A Hugging Face image processor as a function of an image."""

    processor: Any

    @property
    def __name__(self) -> str:
        return type(self.processor).__name__

    def __call__(self, image: Image.Image) -> Any:
        made = self.processor(image, return_tensors="pt")
        if "pixel_values" not in made:
            sentence = say(
                "the image processor {name} returns no 'pixel_values' but {keys}: "
                "give preprocess= a function from a PIL image to the tensor the model takes",
                name=self.__name__,
                keys=", ".join(map(repr, made)),
            )
            raise InputError(sentence)
        return made["pixel_values"]


def _is_image_processor(given: Any) -> bool:
    """Whether it has what Hugging Face's image processors have."""
    names = ("image_mean", "image_std", "size")
    return not isinstance(given, type) and all(hasattr(given, name) for name in names)


def _of_hugging_face(processor: Any) -> Preprocess | None:
    """What the attributes of an image processor say; ``None`` where the size of its tensors depends on the image."""
    does_crop = _is_set(processor, "do_center_crop")
    resized = _sides(processor.size) if _is_set(processor, "do_resize") else None
    size = _sides(getattr(processor, "crop_size", None)) if does_crop else resized
    if resized is None or not isinstance(size, tuple):
        return None
    try:
        mean, std = _colours(processor)
        resample = Image.Resampling(getattr(processor, "resample", None) or Image.Resampling.NEAREST)
        interpolation = cast("Interpolation", resample.name.lower())
        return Preprocess(size, mean, std, resized if does_crop else None, interpolation)
    except ValueError:  # numbers that are no sides, colours or way to resize of a picture
        return None


def _colours(processor: Any) -> tuple[list[float], list[float]]:
    """Mean and deviation of pixels in 0..1; the processor has ``(pixel * rescale_factor - mean) / std`` of 0..255."""
    factor = 255 * float(processor.rescale_factor) if _is_set(processor, "do_rescale") else 255.0
    if not _is_set(processor, "do_normalize"):
        return [0.0] * 3, [1 / factor] * 3
    mean = np.broadcast_to(processor.image_mean, 3) / factor
    std = np.broadcast_to(processor.image_std, 3) / factor
    return mean.tolist(), std.tolist()


def _is_set(processor: Any, switch: str) -> bool:
    return bool(getattr(processor, switch, False))


def _sides(size: Any) -> int | tuple[int, int] | None:
    """Length of the shorter side, or height and width; ``None`` for limits in between."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, (list, tuple)):
        return tuple(size) if len(size) == 2 else None

    def side(name: str) -> Any:
        return size.get(name) if isinstance(size, Mapping) else getattr(size, name, None)

    if side("longest_edge") is not None:
        return None
    if side("shortest_edge") is not None:
        return cast("int", side("shortest_edge"))
    if side("height") is None or side("width") is None:
        return None
    return side("height"), side("width")


def _does_the_same(read: Preprocess, theirs: Callable[[Any], Any]) -> bool:
    """Whether both make the same tensor of a picture of noise, which tells interpolations and crops apart."""
    noise = np.random.default_rng(0).integers(0, 256, (160, 320, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    expected = torch.as_tensor(theirs(picture))
    found = read(picture)  # (1, C, H, W)
    if expected.shape not in (found.shape, found.shape[1:]):
        return False
    apart = (found - expected).abs() * torch.tensor(read.std).reshape(-1, 1, 1)
    return float(apart.max()) * 255 <= MOST_APART
