"""From what a user has (a path, an image, an array, a tensor) to what a model takes, and back to what a person sees."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import nn

from interp_widgets import trace
from interp_widgets.errors import InputError, ParameterError
from interp_widgets.trace.arguments import is_name_of, plain_module, shown
from interp_widgets.words import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Preprocess",
    "first_convolution",
    "load_image",
    "load_input",
    "record",
    "to_picture",
    "with_batch_axis",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_PIXELS = 25_000_000  # of an image that is kept; a larger one is scaled down
MAX_BYTES = 50_000_000
# Pixels that are decoded, so that no format needs more than about 400 MB (measured): JPEG is scaled while it is decoded
# (2 to 4 bytes a pixel), WebP's decoder keeps four copies (16 bytes), the others and arrays one (4 to 5 bytes).
MAX_DECODED = 50_000_000
MAX_DECODED_AS = {"JPEG": 120_000_000, "MPO": 120_000_000, "WEBP": 25_000_000}
MAX_SIDE = 5000
PALETTES = ("1", "P", "PA")  # their numbers cannot be averaged
SHRINKABLE = (*PALETTES, "L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
ORIENTATION = 0x0112  # the EXIF tag that says which way is up
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
# What Pillow's decoders raise on broken files.
BROKEN = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, SyntaxError, TypeError, ValueError),
    *(struct.error, zlib.error),
)


@dataclass(frozen=True)
class Preprocess:
    """An image as the tensor a model takes: resize, scale to 0..1, subtract ``mean``, divide by ``std``.

    Args:
        size: height and width in pixels of the tensor; one number for a square.
        mean: per channel, in 0..1; its length is the number of channels (1 or 3); one number for one channel.
        std: per channel, in 0..1, each above 0.
        resize: the shorter side is resized to this many pixels and the centre is cropped (torchvision's evaluation
            transform); ``None`` stretches the whole image to ``size``.

    Raises:
        ParameterError: sizes, means or deviations that cannot be.

    >>> from PIL import Image
    >>> Preprocess((8, 8), (0.5,), (0.5,))(Image.new("RGB", (20, 10), "white")).shape
    torch.Size([1, 1, 8, 8])
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"

    def __init__(
        self,
        size: int | Sequence[int] = (224, 224),
        mean: float | Sequence[float] = IMAGENET_MEAN,
        std: float | Sequence[float] = IMAGENET_STD,
        resize: int | None = None,
        interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear",
    ) -> None:
        sides = _numbers(size, "size", whole=True)
        sides = sides * 2 if len(sides) == 1 else sides
        shorter = () if resize is None else _numbers(resize, "resize", whole=True)
        fits = len(sides) == 2 and len(shorter) == (resize is not None)
        if not fits or not all(1 <= side <= MAX_SIDE for side in (*sides, *shorter)):
            raise ParameterError(
                say(
                    "size (one number, or height and width) and resize must be in "
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
        if not is_name_of(interpolation, ("bilinear", "bicubic", "nearest")):
            raise ParameterError(
                say("interpolation must be 'bilinear', 'bicubic' or 'nearest', got {given}", given=shown(interpolation))
            )
        for name, value in (
            ("size", (int(sides[0]), int(sides[1]))),
            ("mean", means),
            ("std", stds),
            ("resize", int(shorter[0]) if shorter else None),
            ("interpolation", interpolation),
        ):
            object.__setattr__(self, name, value)

    @property
    def channels(self) -> int:
        """Number of colour channels of the tensor: 1 or 3."""
        return len(self.mean)

    def crop(self, image: Image.Image) -> Image.Image:
        """The part of ``image`` the model sees, as an image of ``size``.

        Raises:
            InputError: an image so long and thin that it would be enlarged to more than 25 megapixels.
        """
        image = _flatten(image, say("the image"))
        image = image.convert("L") if self.channels == 1 else image
        method = Image.Resampling[self.interpolation.upper()]
        height, width = self.size
        if self.resize is None:
            return image.resize((width, height), method)
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
        image = image.resize(scaled, method)
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        return image.crop((left, top, left + width, top + height))

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


def load_image(source: Any) -> Image.Image:
    """An RGB image from a path, the bytes of an image file, a PIL image or an array of the values of its pixels.

    Arrays are ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` or ``(H, W, 4)``, uint8 in 0..255 or floats in 0..1 (booleans
    are 0 and 1). Photographs are turned upright by their EXIF tag; transparency is laid on white; 16 bits per channel
    become 8; of an animation the first picture is taken. What has more than 25 megapixels is scaled down by a whole
    number, a JPEG (a phone's photograph) while it is decoded, which takes little memory.

    Raises:
        InputError: not an image; a format other than PNG, JPEG, WebP, BMP, GIF or TIFF; more than 120 megapixels of a
            JPEG, 25 of a WebP or of 16 bits per channel, 50 of the others (looked up in the file's header, before
            anything is decoded) or 50 MB.
    """
    if isinstance(source, Image.Image):
        image, name = source, say("the image")
    elif isinstance(source, np.ndarray):
        image, name = _from_array(source), say("the array")
    elif isinstance(source, (str, Path)):
        image, name = _from_file(source), repr(Path(source).name)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = say("the uploaded file")
        image = _decode(bytes(source), name)
    else:
        raise InputError(
            say(
                "an image must be a path, bytes, a PIL image or an array, got {kind} {given}",
                kind=type(source).__name__,
                given=shown(source),
            )
        )
    _check_size(image.width, image.height, name)
    return _flatten(_shrunk(image, name), name)


def load_input(source: Any, preprocess: Preprocess | None = None) -> Any:
    """What ``record`` takes, from what a user has.

    Tensors, and tuples, dicts and lists that hold tensors, are passed on as they are. A path, the bytes of an image
    file, a PIL image or an array becomes a ``(1, C, H, W)`` tensor by ``preprocess`` (default: 224 x 224, ImageNet's
    mean and deviation); a list of those becomes one batch.

    Raises:
        InputError: none of these, see ``load_image``.
    """
    if isinstance(source, torch.Tensor) or _holds_tensor(source):
        images = (str, Path, bytes, Image.Image)
        if isinstance(source, (list, tuple)) and any(isinstance(item, images) for item in source):
            kinds = ", ".join(dict.fromkeys(type(item).__name__ for item in source))
            raise InputError(
                say(
                    "inputs must be all tensors or all images, got a {kind} of {kinds}",
                    kind=type(source).__name__,
                    kinds=kinds,
                )
            )
        return source
    chosen = _prepare(preprocess)
    if isinstance(source, (list, tuple)):
        if not source:
            raise InputError(
                say("inputs must hold at least one image or tensor, got an empty {kind}", kind=type(source).__name__)
            )
        return _one_batch([_tensor(chosen, item) for item in source])
    return _tensor(chosen, source)


def _prepare(preprocess: Any) -> Any:
    """What makes a tensor of an image: a ``Preprocess`` or a function."""
    if preprocess is None:
        return Preprocess()
    if isinstance(preprocess, type) or not callable(preprocess):
        raise ParameterError(
            say("preprocess must be a Preprocess or a function of a PIL image, got {given}", given=shown(preprocess))
        )
    return preprocess


def _tensor(prepare: Any, source: Any) -> Any:
    """What a ``Preprocess`` or a user's function makes of an image: ``(1, C, H, W)``."""
    made = prepare(load_image(source))
    if not isinstance(made, torch.Tensor):
        raise InputError(
            say("preprocess must return a tensor (C, H, W) or (1, C, H, W), got {given}", given=shown(made))
        )
    return made.unsqueeze(0) if made.ndim == 3 else made


def _one_batch(parts: list[torch.Tensor]) -> torch.Tensor:
    kinds = dict.fromkeys((part.dtype, tuple(part.shape[1:])) for part in parts)
    if len(kinds) > 1:
        shapes = ", ".join(str(tuple(part.shape)) for part in parts[:4])
        raise InputError(
            say("images of one batch must become tensors of one shape and type, got {shapes}", shapes=shapes)
        )
    return torch.cat(parts)


def _holds_tensor(source: Any) -> bool:
    items = source.values() if isinstance(source, dict) else source if isinstance(source, (list, tuple)) else ()
    return any(isinstance(item, torch.Tensor) or _holds_tensor(item) for item in items)


def record(model: nn.Module, inputs: Any, *, preprocess: Preprocess | None = None, **options: Any) -> trace.Trace:
    """Run ``model`` once and keep what happened: ``trace.record`` on ``load_input(inputs, preprocess)``.

    An image without its batch axis, ``(C, H, W)``, is a batch of one. Options are those of
    ``interp_widgets.trace.record``: ``kwargs``, ``target_output``, ``memory_limit``, ``class_names``, ``evaluation``.
    """
    module = plain_module(model)  # first: whoever confuses the arguments hears of the model, not of an image
    return trace.record(module, with_batch_axis(module, load_input(inputs, preprocess)), **options)


def with_batch_axis(model: nn.Module, value: Any) -> Any:
    """An image ``(C, H, W)`` for a model that begins with a convolution as a batch of one; others as they are."""
    if not (isinstance(value, torch.Tensor) and value.ndim == 3):
        return value
    first = first_convolution(model)
    return value.unsqueeze(0) if first is not None and first.in_channels == len(value) else value


def first_convolution(model: nn.Module) -> nn.Conv2d | None:
    """The convolution that reads the images, where a model has one."""
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)


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


def _from_file(source: str | Path) -> Image.Image:
    try:
        path = Path(source).expanduser()
        found, size = path.is_file(), path.stat().st_size if path.is_file() else 0
        if not found:
            raise InputError(
                say(
                    "no image file at {path!r}: give the path of a PNG, JPEG, WebP, BMP, GIF or TIFF file",
                    path=str(path),
                )
            )
        _check_bytes(size, repr(path.name))
        return _decode(path.read_bytes(), repr(path.name))
    except (OSError, RuntimeError) as error:  # no permission, a name that is too long, a home that does not exist
        raise InputError(
            say("the file {path!r} cannot be read: {error}", path=str(source)[:200], error=error)
        ) from error


def _check_bytes(count: int, name: str) -> None:
    if count > MAX_BYTES:
        raise InputError(
            say(
                "{name} has {size:.0f} MB; at most {most:.0f} MB are read: make it smaller first",
                name=name,
                size=count / 1e6,
                most=MAX_BYTES / 1e6,
            )
        )


def _decode(data: bytes, name: str) -> Image.Image:
    _check_bytes(len(data), name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata; a header that asks for too much is refused below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_size(image.width, image.height, name, image.format or "")
            scale = _scale(image.width, image.height)
            if scale > 1:
                image.draft(None, (image.width // scale, image.height // scale))  # only JPEG can; others load whole
            image.load()
    except Image.DecompressionBombError as error:
        most = MAX_DECODED_AS["JPEG"] / 1e6
        raise InputError(
            say(
                "{name} is too large: {error}; at most {most:.0f} megapixels are read",
                name=name,
                error=error,
                most=most,
            )
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            say("{name} is not an image: give a PNG, JPEG, WebP, BMP, GIF or TIFF file", name=name)
        ) from error
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(
            say(
                "{name} is broken and cannot be decoded ({kind}: {error})",
                name=name,
                kind=type(error).__name__,
                error=error,
            )
        ) from error
    return image


def _check_size(width: int, height: int, name: str, kind: str = "") -> None:
    if 0 in (width, height):
        raise InputError(say("{name} is empty: {width} x {height} pixels", name=name, width=width, height=height))
    most = MAX_DECODED_AS.get(kind, MAX_DECODED)
    if width * height > most and kind:
        raise InputError(
            say(
                "{name} has {width} x {height} = {size:.0f} megapixels; "
                "at most {most:.0f} are read from a {kind}: make it smaller first",
                name=name,
                width=width,
                height=height,
                size=width * height / 1e6,
                most=most / 1e6,
                kind=kind,
            )
        )
    if width * height > most:
        raise InputError(
            say(
                "{name} has {width} x {height} = {size:.0f} megapixels; "
                "at most {most:.0f} are read: make it smaller first",
                name=name,
                width=width,
                height=height,
                size=width * height / 1e6,
                most=most / 1e6,
            )
        )


def _scale(width: int, height: int) -> int:
    """The smallest power of two by which an image must be scaled down to be kept."""
    scale = 1
    while (width // scale) * (height // scale) > MAX_PIXELS:
        scale *= 2
    return scale


def _shrunk(image: Image.Image, name: str) -> Image.Image:
    """At most 25 megapixels of it, before it is turned and flattened, which takes several copies."""
    scale = _scale(image.width, image.height)
    if scale == 1:
        return image
    if image.mode not in SHRINKABLE:
        raise InputError(
            say(
                "{name} has {width} x {height} pixels of mode {mode}; at most "
                "{most:.0f} megapixels of it are read: make it smaller first",
                name=name,
                width=image.width,
                height=image.height,
                mode=image.mode,
                most=MAX_PIXELS / 1e6,
            )
        )
    try:
        orientation = image.getexif().get(ORIENTATION)
        if image.mode in PALETTES:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        reduced = image.reduce(scale)
    except BROKEN as error:  # an image that was opened and cannot be decoded
        raise InputError(
            say("{name} (mode {mode}) cannot be scaled down: {error}", name=name, mode=image.mode, error=error)
        ) from error
    if orientation is not None:
        reduced.getexif()[ORIENTATION] = orientation
    return reduced


def _from_array(array: NDArray[Any]) -> Image.Image:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        turned = array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] > 4
        if turned:
            raise InputError(
                say(
                    "an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got shape {shape}: "
                    "channels come last, array.transpose(1, 2, 0)",
                    shape=array.shape,
                )
            )
        raise InputError(
            say(
                "an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got shape {shape}",
                shape=array.shape,
            )
        )
    _check_size(array.shape[1], array.shape[0], say("the array"))
    if array.dtype != np.uint8:
        array = _to_bytes(array)
    return Image.fromarray(array.squeeze(2) if array.ndim == 3 and array.shape[2] == 1 else array)


def _to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype.kind not in "fb":
        raise InputError(
            say(
                "an image array must be uint8 in 0..255 or float in 0..1, got {kind}: "
                "scale it and convert, array.astype('uint8')",
                kind=array.dtype,
            )
        )
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(
            say(
                "an image array must be uint8 in 0..255 or float in 0..1, got {count} NaN or infinite values",
                count=int((~np.isfinite(values)).sum()),
            )
        )
    if values.min() < 0 or values.max() > 1:
        raise InputError(
            say(
                "an image array must be uint8 in 0..255 or float in 0..1, got {kind} in {low:.3g}..{high:.3g}",
                kind=array.dtype,
                low=values.min(),
                high=values.max(),
            )
        )
    return np.round(values * 255).astype(np.uint8)


def _flatten(image: Image.Image, name: str) -> Image.Image:
    """Upright, opaque, RGB."""
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16") or image.mode in ("I", "F"):
            return Image.fromarray(_eight_bits(np.asarray(image), image.mode, name)).convert("RGB")
        if image.has_transparency_data:
            image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    except InputError:
        raise
    except BROKEN as error:  # a file that Pillow opened but cannot decode, a mode without colours
        raise InputError(
            say("{name} (mode {mode}) cannot be turned into RGB: {error}", name=name, mode=image.mode, error=error)
        ) from error


def _eight_bits(values: NDArray[Any], mode: str, name: str) -> NDArray[np.uint8]:
    """Grey values of more than 8 bits: whole numbers count to 65535, floats to 1."""
    top = 1 if mode == "F" else 65535
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        raise InputError(
            say(
                "{name} has grey values (mode {mode}) in {low:.3g}..{high:.3g}; "
                "only 0..{top} are read: scale them to 8 bits first",
                name=name,
                mode=mode,
                low=values.min(),
                high=values.max(),
                top=top,
            )
        )
    return np.round(values.astype(np.float64) / top * 255).astype(np.uint8)
