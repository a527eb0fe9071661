"""Fonts that have more than Latin letters: class names and sentences may be Chinese, matplotlib's own font is not."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["families", "font_for"]

# As the common systems install them. Where there is none, such letters are drawn as boxes.
EAST_ASIAN = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "SimHei",
    "Arial Unicode MS",
)


def families() -> list[str]:
    """The user's fonts of matplotlib, and behind them one for the letters that those do not have."""
    from matplotlib import rcParams  # noqa: PLC0415 - slow to import, only when drawn

    return [*rcParams["font.family"], *_installed()]


def font_for(text: str, size: int) -> FreeTypeFont | ImageFont:
    """Pillow's own font, or an installed one when the text has letters that it lacks."""
    from PIL import ImageFont  # noqa: PLC0415

    if text.isascii() or not _installed():
        return ImageFont.load_default(size)
    return ImageFont.truetype(next(iter(_installed().values())), size)


@cache
def _installed() -> dict[str, str]:
    """The first of ``EAST_ASIAN`` that is there, with its file; empty when none is."""
    from matplotlib.font_manager import fontManager  # noqa: PLC0415

    files = {font.name: font.fname for font in fontManager.ttflist}
    return {name: files[name] for name in EAST_ASIAN if name in files}
