"""``svg_of``: a sheet as SVG, its words and its colour scale as text and vectors that a drawing program can change."""

from __future__ import annotations

import base64
import hashlib
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from interp_widgets.render.sheet import BLACK, GREY, QUICK
from interp_widgets.render.snapshot import png

if TYPE_CHECKING:
    from interp_widgets.render.sheet import Sheet

__all__ = ["svg_of"]

WIDTH = 512  # units of the picture; a file has no pixels
MARGIN = 12
BAR, TICK = 10, 4  # heights of the scale and of a tick
SIZES = {"title": 14, "scale": 11, "caption": 11}  # letters
LETTERS = {"title": 70, "caption": 92}  # a line; East Asian ones are twice as wide


def svg_of(sheet: Sheet) -> str:
    """An SVG file: the picture embedded as PNG; title, caption and ticks as text, the scale as a gradient.

    It has a ``title`` and a ``desc``, and refers to nothing outside itself.
    """
    title = _lines(sheet.title, LETTERS["title"])
    caption = _lines(sheet.caption, LETTERS["caption"])
    rows, columns = sheet.pixels.shape[:2]
    height = WIDTH * rows / columns
    y = MARGIN + len(title) * _leading("title")
    scale = y + height + MARGIN
    ticks = scale + BAR + TICK + SIZES["scale"] + 1
    bottom = ticks + len(caption) * _leading("caption") + MARGIN
    root = _root(WIDTH + 2 * MARGIN, bottom)
    _add(root, "title").text = sheet.title
    _add(root, "desc").text = sheet.alt
    gradient = _gradient(root, sheet)
    _add(root, "rect", width="100%", height="100%", fill="white")
    _write(root, title, "title", MARGIN - 2 + SIZES["title"] * 0.8)
    picture = "data:image/png;base64," + base64.b64encode(png(sheet.pixels, level=QUICK)).decode()
    _add(root, "image", x=MARGIN, y=y, width=WIDTH, height=height, href=picture)
    _add(root, "rect", x=MARGIN, y=scale, width=WIDTH, height=BAR, fill=f"url(#{gradient})")
    for words, share, anchor in zip(sheet.ticks, (0.0, 0.5, 1.0), ("start", "middle", "end"), strict=True):
        x = MARGIN + share * WIDTH
        _add(root, "line", x1=x, x2=x, y1=scale + BAR, y2=scale + BAR + TICK, stroke=GREY)
        text = _add(root, "text", x=x, y=ticks, fill=GREY, **{"font-size": SIZES["scale"], "text-anchor": anchor})
        text.text = words
    _write(root, caption, "caption", ticks + _leading("caption"))
    return ET.tostring(root, encoding="unicode", xml_declaration=False)


def _root(width: float, height: float) -> ET.Element:
    options = {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "width": f"{width:g}",
        "height": f"{height:g}",
        "viewBox": f"0 0 {width:g} {height:g}",
        "font-family": "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif",
    }
    return ET.Element("svg", options)


def _add(parent: ET.Element, tag: str, **attributes: Any) -> ET.Element:
    written = {
        name: f"{value:g}" if isinstance(value, (int, float)) else str(value) for name, value in attributes.items()
    }
    return ET.SubElement(parent, tag, written)


def _gradient(root: ET.Element, sheet: Sheet) -> str:
    """The colours of the scale; the id of the gradient, the same for the same colours, as a page may hold several."""
    name = f"iw-colours-{hashlib.sha256(sheet.table.tobytes()).hexdigest()[:12]}"
    gradient = _add(_add(root, "defs"), "linearGradient", id=name)
    last = len(sheet.table) - 1
    for place, (red, green, blue) in enumerate(sheet.table.tolist()):
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        _add(gradient, "stop", offset=f"{place / last:.4f}", **{"stop-color": colour})
    return name


def _write(root: ET.Element, lines: list[str], kind: str, y: float) -> None:
    """Lines of words, the first at ``y``."""
    colour = BLACK if kind == "title" else GREY
    for number, words in enumerate(lines):
        place = y + number * _leading(kind)
        _add(root, "text", x=MARGIN, y=place, fill=colour, **{"font-size": SIZES[kind]}).text = words


def _leading(kind: str) -> float:
    return SIZES[kind] * 1.4


def _lines(words: str, letters: int) -> list[str]:
    is_wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    width = letters // 2 if is_wide else letters
    return [line for paragraph in words.splitlines() for line in textwrap.wrap(paragraph, width)]
