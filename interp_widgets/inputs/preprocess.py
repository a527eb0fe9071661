"""``Preprocess``: from an image to the tensor a model takes, and back to what a person sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from PIL import Image

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.inputs.image import MAX_PIXELS, to_rgb
from interp_widgets.trace.arguments import is_name_of, shown
from interp_widgets.words import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Interpolation", "Preprocess", "to_picture"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_SIDE = 5000

Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
"""Pillow's ways to resize."""


@dataclass(frozen=True)
class Preprocess:
    """An image as the tensor a model takes: resize, scale to 0..1, subtract ``mean``, divide by ``std``.

    Args:
        size: height and width in pixels of the tensor; one number for a square.
        mean: per channel, in 0..1; its length is the number of channels (1 or 3); one number for one channel.
        std: per channel, in 0..1, each above 0.
        resize: before the centre is cropped to ``size``: one number resizes the shorter side to this many pixels
            (torchvision's evaluation transform), a height and a width stretch the whole image to them. ``None``
            stretches it to ``size``.
        interpolation: how pixels are resized, by Pillow's names.

    Raises:
        ParameterError: sizes, means or deviations that cannot be.

    >>> from PIL import Image
    >>> Preprocess((8, 8), (0.5,), (0.5,))(Image.new("RGB", (20, 10), "white")).shape
    torch.Size([1, 1, 8, 8])
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: int | tuple[int, int] | None = None
    interpolation: Interpolation = "bilinear"

    def __init__(
        self,
        size: int | Sequence[int] = (224, 224),
        mean: float | Sequence[float] = IMAGENET_MEAN,
        std: float | Sequence[float] = IMAGENET_STD,
        resize: int | Sequence[int] | None = None,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        sides = _numbers(size, "size", whole=True)
        sides = sides * 2 if len(sides) == 1 else sides
        resized = () if resize is None else _numbers(resize, "resize", whole=True)
        fits = len(sides) == 2 and len(resized) in ((0,) if resize is None else (1, 2))
        if not fits or not all(1 <= side <= MAX_SIDE for side in (*sides, *resized)):
            raise ParameterError(
                say(
                    "size (one number, or height and width) and resize (the same) must be in "
                    "1..{most} pixels, got size={size}, resize={resize}",
                    most=MAX_SIDE,
                    size=shown(size),
                    resize=shown(resize),
                )
            )
        means, stds = _numbers(mean, "mean"), _numbers(std, "std")
        if len(means) not in (1, 3) or len(stds) != len(means):
            raise ParameterError(
                say(
                    "mean and std must have 1 or 3 numbers each, one per channel, got {mean} and {std}",
                    mean=shown(mean),
                    std=shown(std),
                )
            )
        if not all(value > 0 for value in stds):
            raise ParameterError(
                say("mean must be finite and std above 0, got {mean} and {std}", mean=shown(mean), std=shown(std))
            )
        if not is_name_of(interpolation, get_args(Interpolation)):
            raise ParameterError(
                say(
                    "interpolation must be one of {known}, got {given}",
                    known=", ".join(map(repr, get_args(Interpolation))),
                    given=shown(interpolation),
                )
            )
        for name, value in (
            ("size", (int(sides[0]), int(sides[1]))),
            ("mean", means),
            ("std", stds),
            ("resize", _resize(resized)),
            ("interpolation", interpolation),
        ):
            object.__setattr__(self, name, value)

    @property
    def channels(self) -> int:
        """Number of colour channels of the tensor: 1 or 3."""
        return len(self.mean)

    @property
    def words(self) -> str:
        """What it does, in a few words: how it resizes and crops, and what is taken off and divided by."""
        height, width = self.size
        colours = self._colours_in_words()
        if self.resize is None:
            return say("{height} x {width}, {colours}", height=height, width=width, colours=colours)
        if isinstance(self.resize, int):
            resized = say("shorter side {pixels}", pixels=self.resize)
        else:
            resized = say("stretched to {height} x {width}", height=self.resize[0], width=self.resize[1])
        return say(
            "{resized}, centre {height} x {width}, {colours}",
            resized=resized,
            height=height,
            width=width,
            colours=colours,
        )

    def _colours_in_words(self) -> str:
        if (self.mean, self.std) == (IMAGENET_MEAN, IMAGENET_STD):
            return say("ImageNet mean")
        # one number where the channels do not differ
        means, stds = tuple(dict.fromkeys(self.mean)), tuple(dict.fromkeys(self.std))
        ranges: dict[tuple[tuple[float, ...], tuple[float, ...]], str] = {
            ((0.0,), (1.0,)): say("in 0..1"),
            ((0.5,), (0.5,)): say("in -1..1"),
            ((0.0,), (1 / 255,)): say("in 0..255"),
        }
        if (means, stds) in ranges:
            return ranges[means, stds]
        mean, std = (" ".join(f"{value:.3g}" for value in values) for values in (means, stds))
        return say("mean {mean}, std {std}", mean=mean, std=std)

    def crop(self, image: Image.Image) -> Image.Image:
        """The part of ``image`` the model sees, as an image of ``size``.

        Raises:
            InputError: an image so long and thin that it would be enlarged to more than 25 megapixels.
        """
        image = to_rgb(image, say("the image"))
        image = image.convert("L") if self.channels == 1 else image
        height, width = self.size
        image = image.resize(self._resized(image), Image.Resampling[self.interpolation.upper()])
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)  # as torchvision rounds
        return image.crop((left, top, left + width, top + height))

    def _resized(self, image: Image.Image) -> tuple[int, int]:
        """Width and height before the crop."""
        if not isinstance(self.resize, int):
            height, width = self.resize or self.size
            return width, height
        shorter = min(image.size)
        scaled = (self.resize * image.width // shorter, self.resize * image.height // shorter)  # as torchvision rounds
        if scaled[0] * scaled[1] > MAX_PIXELS:
            raise InputError(
                say(
                    "the image is too thin: its {width} x {height} pixels would become "
                    "{scaled_width} x {scaled_height}, more than {most:.0f} megapixels: cut it first",
                    width=image.width,
                    height=image.height,
                    scaled_width=scaled[0],
                    scaled_height=scaled[1],
                    most=MAX_PIXELS / 1e6,
                )
            )
        return scaled

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """``(1, C, H, W)`` float32."""
        array = np.asarray(self.crop(image), dtype=np.float32) / 255
        array = array.reshape(*self.size, self.channels).transpose(2, 0, 1)
        mean, std = self._statistics()
        return ((torch.from_numpy(array.copy()) - mean) / std).unsqueeze(0)

    def undo(self, tensor: torch.Tensor) -> NDArray[np.uint8]:
        """``(C, H, W)`` as a person sees it: ``(H, W, 3)`` uint8.

        Raises:
            InputError: a tensor of another shape.
        """
        if tensor.ndim != 3 or tensor.shape[0] != self.channels:
            raise InputError(
                say(
                    "an image of this preprocessing has shape ({channels}, H, W), got {shape}",
                    channels=self.channels,
                    shape=tuple(tensor.shape),
                )
            )
        mean, std = self._statistics()
        return _as_picture(tensor.detach().float().cpu() * std + mean)

    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(self.mean).reshape(-1, 1, 1), torch.tensor(self.std).reshape(-1, 1, 1)


def _resize(resized: tuple[float, ...]) -> int | tuple[int, int] | None:
    """The field ``resize`` of none, one or two numbers."""
    if len(resized) == 2:
        return int(resized[0]), int(resized[1])
    return int(resized[0]) if resized else None


def _numbers(given: Any, name: str, *, whole: bool = False) -> tuple[float, ...]:
    """One number, or a sequence of them, as a tuple of finite numbers."""
    listed = given.tolist() if isinstance(given, (np.ndarray, np.generic, torch.Tensor)) else given
    listed = listed if isinstance(listed, (list, tuple)) else [listed]
    fits = all(
        isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)
        for value in listed
    )
    if whole and not (fits and all(value == int(value) for value in listed)):
        raise ParameterError(say("{name} must be whole numbers, got {given}", name=name, given=shown(given)))
    if not fits:
        raise ParameterError(say("{name} must be finite numbers, got {given}", name=name, given=shown(given)))
    return tuple(int(value) if whole else float(value) for value in listed)


def to_picture(image: torch.Tensor, preprocess: Preprocess | None = None) -> NDArray[np.uint8]:
    """An input tensor ``(C, H, W)``, C 1 or 3, as a person sees it: ``(H, W, 3)`` uint8.

    Without a ``preprocess`` to undo: uint8 and values in 0..1 are taken as they are, any others are stretched from
    their smallest to their largest.

    Raises:
        InputError: not a tensor of that shape, or a NaN or an infinity in it.
    """
    if preprocess is not None:
        return preprocess.undo(image)
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise InputError(
            say("a picture is made of a tensor (1, H, W) or (3, H, W), got shape {shape}", shape=tuple(image.shape))
        )
    values = image.detach().float().cpu()
    if image.dtype == torch.uint8:
        return _as_picture(values / 255)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        values = (values - low) / ((high - low) or 1)
    return _as_picture(values)


def _as_picture(values: torch.Tensor) -> NDArray[np.uint8]:
    """``(C, H, W)`` in 0..1 as ``(H, W, 3)`` uint8."""
    if not bool(torch.isfinite(values).all()):
        count = int((~torch.isfinite(values)).sum())
        raise InputError(say("a picture needs finite values, got {count} NaN or infinite", count=count))
    array = values.clamp(0, 1).mul(255).round().byte().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
