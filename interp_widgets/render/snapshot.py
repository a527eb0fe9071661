"""A still picture of what an Explorer or a comparison shows, for places without a kernel."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from interp_widgets.render.fonts import font_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["maps_png", "png", "reduced", "snapshot_png"]

SIDE = 256
MARGIN = 16
LINE = 20
LEAD = 15  # from one line of a caption to the next
BLACK, GREY = "#1f1f1f", "#616161"
SIDES = (224, 176, 144, 112, 88, 64)  # of the pictures of a sheet: the first whose file is small enough
MOST_BYTES = 200_000  # of a sheet: it is saved with the notebook
ACROSS = 900  # pixels that a sheet is wide, about


def snapshot_png(
    pictures: Sequence[tuple[str, NDArray[np.uint8]]],
    bars: Sequence[tuple[str, float]],
    title: str,
    captions: Sequence[str],
) -> bytes:
    """A PNG file of 256 colours: pictures ``(H, W, 3)`` with captions in a row; bars (values in 0..1); words below."""
    width = MARGIN + len(pictures) * (SIDE + MARGIN) + (220 + MARGIN if bars else 0)
    sheet = Image.new("RGB", (width, SIDE + 76 + LINE * len(captions)), "white")
    draw = ImageDraw.Draw(sheet)
    _write(draw, (MARGIN, 10), title, size=15)
    x = MARGIN
    for name, pixels in pictures:
        sheet.paste(_scaled(pixels, SIDE), (x, 36))
        _write(draw, (x, 40 + SIDE), name, colour=GREY, width=SIDE)
        x += SIDE + MARGIN
    for line, (name, value) in enumerate(bars):
        y = 40 + line * 24
        _write(draw, (x, y), name, width=130)
        draw.rectangle((x + 136, y + 4, x + 136 + round(max(0.0, min(1.0, value)) * 48), y + 11), "#1976d2")
        _write(draw, (x + 190, y), f"{100 * value:.3g}%", colour=GREY)
    for line, words in enumerate(captions):
        _write(draw, (MARGIN, 64 + SIDE + line * LINE), words, colour=GREY, width=width - 2 * MARGIN)
    return _file(sheet.quantize(256, dither=Image.Dither.NONE))


def maps_png(pictures: Sequence[tuple[str, str, NDArray[np.uint8]]], title: str, status: str) -> bytes:
    """A PNG file of at most about 200 kB: pictures ``(H, W, 3)`` in rows, each with its caption, and words below that.

    It has 256 colours; the more pictures, the smaller they are.
    """
    data = b""
    for side in SIDES:
        sheet = _sheet(pictures, title, status, side)
        data = _file(sheet.quantize(256, dither=Image.Dither.NONE))
        if len(data) <= MOST_BYTES:
            break
    return data


def _sheet(pictures: Sequence[tuple[str, str, NDArray[np.uint8]]], title: str, status: str, side: int) -> Image.Image:
    columns = min(len(pictures), max(1, ACROSS // (side + MARGIN)))
    scaled = [_scaled(pixels, side) for _, _, pixels in pictures]
    words = [[*_lines(name, side, 2, BLACK), *_lines(note, side, 4, GREY)] for name, note, _ in pictures]
    rows = [slice(first, first + columns) for first in range(0, len(pictures), columns)]
    heights = [max(each.height for each in scaled[row]) + LEAD * max(map(len, words[row])) + MARGIN for row in rows]
    width = max(MARGIN + columns * (side + MARGIN), 480)
    sheet = Image.new("RGB", (width, 40 + sum(heights) + 28), "white")
    draw = ImageDraw.Draw(sheet)
    _write(draw, (MARGIN, 10), title, size=15, width=width - 2 * MARGIN)
    y = 40
    for row, height in zip(rows, heights, strict=True):
        for place, (picture, lines) in enumerate(zip(scaled[row], words[row], strict=True)):
            x = MARGIN + place * (side + MARGIN)
            sheet.paste(picture, (x, y))
            for line, (text, colour) in enumerate(lines):
                _write(draw, (x, y + picture.height + 4 + line * LEAD), text, colour=colour, width=side)
        y += height
    _write(draw, (MARGIN, y + 4), status, colour=GREY, width=width - 2 * MARGIN)
    return sheet


def _lines(text: str, width: int, most: int, colour: str) -> list[tuple[str, str]]:
    """Words in at most so many lines of this colour; the last one is cut when it is drawn."""
    font = font_for(text, 12)
    words, lines = text.split(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width and len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = longer
    return [(line, colour) for line in lines if line]


def png(pixels: NDArray[np.uint8], *, level: int = 6) -> bytes:
    """``(H, W, 3)`` uint8 as a PNG file, compressed by a ``level`` in 0..9: 1 is several times as quick as 6."""
    return _file(Image.fromarray(pixels), level)


def _file(image: Image.Image, level: int = 6) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=level)
    return buffer.getvalue()


def reduced(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 made smaller until neither side is longer than ``side``; a smaller picture as it is."""
    return pixels if max(pixels.shape[:2]) <= side else np.asarray(_scaled(pixels, side))


def _scaled(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    scale = side / max(pixels.shape[:2])
    return Image.fromarray(pixels).resize([max(1, round(length * scale)) for length in pixels.shape[1::-1]])


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    size: int = 12,
    colour: str = BLACK,
    width: float = math.inf,
) -> None:
    """One line of words, cut where it would be wider than ``width``."""
    font = font_for(text, size)
    words = shown = text.replace("\n", " ")
    while words and draw.textlength(shown, font) > width:
        words = words[:-1]
        shown = words + "..."
    draw.text(at, shown, colour, font)
