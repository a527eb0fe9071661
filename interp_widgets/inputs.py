"""From what a user has (a path, an image, an array, a tensor) to what a model takes, and back to what a person sees."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps

from interp_widgets import trace
from interp_widgets.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Preprocess", "load_image", "load_input", "record", "to_picture"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_PIXELS = 25_000_000
MAX_BYTES = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


@dataclass(frozen=True)
class Preprocess:
    """An image as the tensor a model takes: resize, scale to 0..1, subtract ``mean``, divide by ``std``.

    Args:
        size: height and width in pixels of the tensor.
        mean: per channel, in 0..1; its length is the number of channels (1 or 3).
        std: per channel, in 0..1, each above 0.
        resize: the shorter side is resized to this many pixels and the centre is cropped (torchvision's evaluation
            transform); ``None`` stretches the whole image to ``size``.

    >>> from PIL import Image
    >>> Preprocess((8, 8), (0.5,), (0.5,))(Image.new("RGB", (20, 10), "white")).shape
    torch.Size([1, 1, 8, 8])
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"

    @property
    def channels(self) -> int:
        """Number of colour channels of the tensor: 1 or 3."""
        return len(self.mean)

    def crop(self, image: Image.Image) -> Image.Image:
        """The part of ``image`` the model sees, as an image of ``size``."""
        image = image.convert("L" if self.channels == 1 else "RGB")
        method = Image.Resampling[self.interpolation.upper()]
        height, width = self.size
        if self.resize is None:
            return image.resize((width, height), method)
        scale = self.resize / min(image.size)
        image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), method)
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        return image.crop((left, top, left + width, top + height))

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """``(1, C, H, W)`` float32."""
        array = np.asarray(self.crop(image), dtype=np.float32) / 255
        array = array.reshape(*self.size, self.channels).transpose(2, 0, 1)
        mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return ((torch.from_numpy(array.copy()) - mean) / std).unsqueeze(0)

    def undo(self, tensor: torch.Tensor) -> NDArray[np.uint8]:
        """``(C, H, W)`` as a person sees it: ``(H, W, 3)`` uint8."""
        mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (self.mean, self.std))
        array = (tensor.detach().float().cpu() * std + mean).clamp(0, 1).mul(255).round().byte().numpy()
        return np.ascontiguousarray(np.broadcast_to(array.transpose(1, 2, 0), (*array.shape[1:], 3)))


def load_image(source: Any) -> Image.Image:
    """An RGB image from a path, the bytes of an image file, a PIL image or a ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` array.

    Arrays are uint8 in 0..255 or floats in 0..1. Photographs are turned upright by their EXIF tag; transparency is laid on white.

    Raises:
        InputError: not an image; a format other than PNG, JPEG, WebP, BMP, GIF or TIFF; more than 25 megapixels or 50 MB.
    """
    if isinstance(source, Image.Image):
        image = source
    elif isinstance(source, np.ndarray):
        image = _from_array(source)
    elif isinstance(source, (str, Path)):
        image = _from_file(Path(source).expanduser())
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image = _decode(bytes(source), "the uploaded file")
    else:
        raise InputError(f"an image must be a path, bytes, a PIL image or an array, got {type(source).__name__}")
    _check_size(image, "the image")
    return _flatten(ImageOps.exif_transpose(image))


def load_input(source: Any, preprocess: Preprocess | None = None) -> Any:
    """What ``record`` takes, from what a user has.

    Tensors, and tuples, dicts and lists that hold tensors, are passed on as they are. A path, the bytes of an image file, a PIL
    image or an array becomes a ``(1, C, H, W)`` tensor by ``preprocess`` (default: 224 x 224, ImageNet's mean and deviation);
    a list of those becomes one batch.

    Raises:
        InputError: none of these, see ``load_image``.
    """
    if isinstance(source, torch.Tensor) or _holds_tensor(source):
        return source
    chosen = preprocess or Preprocess()
    if isinstance(source, (list, tuple)) and source:
        return torch.cat([chosen(load_image(item)) for item in source])
    return chosen(load_image(source))


def _holds_tensor(source: Any) -> bool:
    items = source.values() if isinstance(source, dict) else source if isinstance(source, (list, tuple)) else ()
    return any(isinstance(item, torch.Tensor) or _holds_tensor(item) for item in items)


def record(model: nn.Module, inputs: Any, *, preprocess: Preprocess | None = None, **options: Any) -> trace.Trace:
    """Run ``model`` once and keep what happened: ``trace.record`` on ``load_input(inputs, preprocess)``.

    Options are those of ``interp_widgets.trace.record``: ``kwargs``, ``target_output``, ``memory_limit``, ``class_names``, ``evaluation``.
    """
    return trace.record(model, load_input(inputs, preprocess), **options)


def to_picture(image: torch.Tensor, preprocess: Preprocess | None = None) -> NDArray[np.uint8]:
    """An input tensor ``(C, H, W)`` as a person sees it, ``(H, W, 3)`` uint8.

    Without a ``preprocess`` to undo: values in 0..1 are taken as they are, any others are stretched from their smallest to their
    largest.
    """
    if preprocess is not None:
        return preprocess.undo(image)
    values = image.detach().float().cpu()
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        values = (values - low) / ((high - low) or 1)
    array = values.mul(255).round().byte().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _from_file(path: Path) -> Image.Image:
    if not path.is_file():
        raise InputError(f"no image file at {str(path)!r}: give the path of a PNG, JPEG, WebP, BMP, GIF or TIFF file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path.name!r} has {path.stat().st_size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read")
    return _decode(path.read_bytes(), repr(path.name))


def _decode(data: bytes, name: str) -> Image.Image:
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} has {len(data) / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image, name)
        image.load()
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} is too large: {error}; at most {MAX_PIXELS / 1e6:.0f} megapixels are read") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is not a readable image ({', '.join(FORMATS)}): {error}") from error
    return image


def _check_size(image: Image.Image, name: str) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise InputError(
            f"{name} has {image.width} x {image.height} = {pixels / 1e6:.0f} megapixels; "
            f"at most {MAX_PIXELS / 1e6:.0f} are read: make it smaller first"
        )


def _from_array(array: NDArray[Any]) -> Image.Image:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        raise InputError(f"an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got shape {array.shape}")
    if 0 in array.shape:
        raise InputError(f"an image array must not be empty, got shape {array.shape}")
    if array.dtype != np.uint8:
        values = np.asarray(array, dtype=np.float64)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise InputError(
                f"an image array must be uint8 in 0..255 or float in 0..1, got {array.dtype} "
                f"in {np.nanmin(values):.3g}..{np.nanmax(values):.3g}"
            )
        array = np.round(values * 255).astype(np.uint8)
    return Image.fromarray(array.squeeze(2) if array.ndim == 3 and array.shape[2] == 1 else array)


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I", "F"):
        array = np.asarray(image, dtype=np.float64)
        image = Image.fromarray((array / (array.max() or 1) * 255).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
