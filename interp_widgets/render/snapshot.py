"""A still picture of what an Explorer shows, for places without a kernel."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["png", "reduced", "snapshot_png"]

SIDE = 256
MARGIN = 16


def snapshot_png(
    pictures: Sequence[tuple[str, NDArray[np.uint8]]], bars: Sequence[tuple[str, float]], title: str, caption: str
) -> bytes:
    """A PNG file: pictures ``(H, W, 3)`` with captions, side by side; bars (values in 0..1); a line of words below."""
    width = MARGIN + len(pictures) * (SIDE + MARGIN) + (220 + MARGIN if bars else 0)
    sheet = Image.new("RGB", (width, SIDE + 96), "white")
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((MARGIN, 10), title, "#1f1f1f", font)
    x = MARGIN
    for name, pixels in pictures:
        sheet.paste(_scaled(pixels, SIDE), (x, 36))
        draw.text((x, 40 + SIDE), _shortened(draw, name, small, SIDE), "#616161", small)
        x += SIDE + MARGIN
    for line, (name, value) in enumerate(bars):
        y = 40 + line * 24
        draw.text((x, y), _shortened(draw, name, small, 130), "#1f1f1f", small)
        draw.rectangle((x + 136, y + 4, x + 136 + round(max(0.0, min(1.0, value)) * 48), y + 11), "#1976d2")
        draw.text((x + 190, y), f"{value:.0%}", "#616161", small)
    draw.text((MARGIN, 64 + SIDE), _shortened(draw, caption, small, width - 2 * MARGIN), "#616161", small)
    return png(np.asarray(sheet))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """``(H, W, 3)`` uint8 as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def reduced(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 made smaller until neither side is longer than ``side``; a smaller picture as it is."""
    return pixels if max(pixels.shape[:2]) <= side else np.asarray(_scaled(pixels, side))


def _scaled(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    scale = side / max(pixels.shape[:2])
    return Image.fromarray(pixels).resize([max(1, round(length * scale)) for length in pixels.shape[1::-1]])


def _shortened(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    text = text.replace("\n", " ")
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "...", font) > width:
        text = text[:-1]
    return text + "..."
