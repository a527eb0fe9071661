"""A still picture of what an Explorer shows, for places without a kernel."""

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

__all__ = ["png", "reduced", "snapshot_png"]

SIDE = 256
MARGIN = 16
LINE = 20
BLACK, GREY = "#1f1f1f", "#616161"


def snapshot_png(
    pictures: Sequence[tuple[str, NDArray[np.uint8]]],
    bars: Sequence[tuple[str, float]],
    title: str,
    captions: Sequence[str],
) -> bytes:
    """A PNG file: pictures ``(H, W, 3)`` with captions, side by side; bars (values in 0..1); lines of words below."""
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
        _write(draw, (x + 190, y), f"{value:.0%}", colour=GREY)
    for line, words in enumerate(captions):
        _write(draw, (MARGIN, 64 + SIDE + line * LINE), words, colour=GREY, width=width - 2 * MARGIN)
    return png(np.asarray(sheet))


def png(pixels: NDArray[np.uint8], *, level: int = 6) -> bytes:
    """``(H, W, 3)`` uint8 as a PNG file, compressed by a ``level`` in 0..9: 1 is several times as quick as 6."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=level)
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
