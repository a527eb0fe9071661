"""From a path, the bytes of a file, a PIL image or an array to an upright RGB image of a bearable size."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from interp_widgets.errors import InputError
from interp_widgets.trace.arguments import shown
from interp_widgets.words import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_PIXELS", "load_image", "to_rgb"]

MAX_PIXELS = 25_000_000  # of an image that is kept; a larger one is scaled down
MAX_BYTES = 50_000_000
# Pixels that are decoded, so that no format needs more than about 400 MB (measured): JPEG is scaled while it is decoded
# (2 to 4 bytes a pixel), WebP's decoder keeps four copies (16 bytes), the others and arrays one (4 to 5 bytes).
MAX_DECODED = 50_000_000
MAX_DECODED_AS = {"JPEG": 120_000_000, "MPO": 120_000_000, "WEBP": 25_000_000}
PALETTES = ("1", "P", "PA")  # their numbers cannot be averaged
SHRINKABLE = (*PALETTES, "L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
ORIENTATION = 0x0112  # the EXIF tag that says which way is up
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
# What Pillow's decoders raise on broken files.
BROKEN = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, SyntaxError, TypeError, ValueError),
    *(struct.error, zlib.error),
)


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
    return to_rgb(_shrunk(image, name), name)


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


def to_rgb(image: Image.Image, name: str) -> Image.Image:
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
