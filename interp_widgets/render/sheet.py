"""``Sheet``: a picture to take home, with the words and the colour scale that stand around it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from interp_widgets.render.blend import enlarge, render_pixels
from interp_widgets.render.fonts import font_for
from interp_widgets.render.snapshot import png

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from interp_widgets.render.look import Display

__all__ = ["Sheet", "printable", "sheet_of"]

WIDTH = 1024  # pixels of the picture, at least
MOST_PIXELS = 16_000_000  # of the picture: a tall one is enlarged less
QUICK = 1  # level of compression: a megapixel is written while somebody waits
BLACK, GREY = "#1f1f1f", "#616161"
# What XML 1.0 has no place for (section 2.2), not even escaped.
UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture with its colour scale and words.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        table: the colours of the scale, ``(256, 3)`` uint8.
        low, high: the values of its first and its last colour.
        title: above the picture.
        caption: below the scale; may be empty.
        alt: the picture in words, for who does not see it.
    """

    pixels: NDArray[np.uint8]
    table: NDArray[np.uint8]
    low: float
    high: float
    title: str
    caption: str
    alt: str

    @property
    def ticks(self) -> tuple[str, str, str]:
        """The values at the scale's beginning, middle and end, three figures each."""
        middle = (self.low + self.high) / 2
        return f"{self.low:.3g}", f"{middle:.3g}", f"{self.high:.3g}"

    def png(self) -> bytes:
        """The sheet as a PNG file; the picture in it keeps its pixels."""
        width = self.pixels.shape[1]
        size = max(9, width // 44)  # letters
        margin, line = size, round(size * 1.4)
        title = list(_wrapped(self.title, round(size * 1.15), width))
        caption = list(_wrapped(self.caption, size, width))
        picture = Image.fromarray(self.pixels)
        scale = Image.fromarray(self.table[None]).resize((width, size), Image.Resampling.NEAREST)
        top = margin + len(title) * round(line * 1.15)
        height = top + picture.height + 3 * margin + size + (1 + len(caption)) * line
        sheet = Image.new("RGB", (width + 2 * margin, height), "white")
        draw = ImageDraw.Draw(sheet)
        for number, words in enumerate(title):
            draw.text((margin, margin / 2 + number * line * 1.15), words, BLACK, font_for(words, round(size * 1.15)))
        sheet.paste(picture, (margin, top))
        below = top + picture.height + margin
        sheet.paste(scale, (margin, below))
        below += size + margin // 4
        for words, place, anchor in zip(self.ticks, (0, width / 2, width), "lmr", strict=True):
            draw.text((margin + place, below), words, GREY, font_for(words, size), anchor=f"{anchor}a")
        for number, words in enumerate(caption, start=1):
            draw.text((margin, below + number * line + margin / 4), words, GREY, font_for(words, size))
        return png(np.asarray(sheet), level=QUICK)


def sheet_of(
    display: Display,
    base: NDArray[np.uint8] | None,
    table: NDArray[np.uint8],
    *,
    opacity: float,
    smooth: bool = True,
    title: str,
    caption: str,
    alt: str,
) -> Sheet:
    """A map as it is shown over its input, enlarged by a whole number until it is 1,024 pixels wide.

    Args:
        base: the input, ``(H, W, 3)`` uint8; without it the map stands alone, opaque.

    Raises:
        ParameterError: an opacity that cannot be.
    """
    height, width = display.values.shape if base is None else base.shape[:2]
    factor = _factor(width, height)
    if base is None:
        white = np.full((height * factor, width * factor, 3), 255, dtype=np.uint8)
        pixels = render_pixels(white, display.values, table, display.low, display.high, smooth=smooth)
    else:
        pixels = display.over(enlarge(base, factor), table, opacity, smooth=smooth)
    return Sheet(pixels, table, display.low, display.high, printable(title), printable(caption), printable(alt))


def printable(words: str) -> str:
    """Words without the characters that no file of text may hold; a sign stands for each."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", words)


def _factor(width: int, height: int) -> int:
    wanted = -(-WIDTH // width)
    return max(1, min(wanted, math.isqrt(MOST_PIXELS // (width * height))))


def _wrapped(words: str, size: int, width: float) -> Iterator[str]:
    """Lines of words, none wider than ``width``; between words where that can be, as Chinese has no spaces."""
    font = font_for(words, size)
    for paragraph in words.splitlines():
        line = ""
        for piece in re.findall(r"\s*[!-~]+|\s*.", paragraph):
            for part in [piece] if font.getlength(piece.strip()) <= width else piece:
                if line and font.getlength(line + part) > width:
                    yield line
                    line = ""
                line += part if line else part.lstrip()
        if line:
            yield line
