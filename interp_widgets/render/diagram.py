"""``Diagram``: labelled boxes, nested, and the lines between them, as SVG or PNG, without a browser."""

from __future__ import annotations

import io
import math
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

from interp_widgets.render.layered import Box, Layout, Rectangle, layered
from interp_widgets.render.level import Point
from interp_widgets.render.sheet import BLACK, GREY, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Diagram", "Plate"]

HEIGHT, HEADER = 38.0, 20.0  # of a box, of an open scope's name
STEP, LEAST, MOST = 24, 96, 264  # widths of boxes: few different ones, so that repeated blocks are laid out once
LETTER = 6.6  # width of a letter, about; East Asian ones are twice as wide
SIZES = {"title": 14, "label": 11, "note": 10}
MARGIN, LEADING = 12.0, 16.0
ROUND, BEHIND = 5.0, 3.0  # radius of corners; by how much the second sheet of a closed scope shows
LINE, FRAMES = "#6b747d", ("#f5f7f9", "#e9edf1")  # open scopes in open scopes: every other one is darker
ERROR = "#b3261e"
TINT = 0.82  # share of white in a box's fill
SHARP = 144  # dots per inch of a PNG file, at 72 units per inch
MOST_PIXELS, LONGEST = 50_000_000, 65_000  # of a PNG file, and of its longer side


@dataclass(frozen=True)
class Plate:
    """A box with words.

    Args:
        label, note: its first and its second line.
        tip: what a pointer over it shows: all there is to say.
        colour: of its border, as ``#rrggbb``; its fill is a tint of that.
        parent: the place of the open scope that it is in, -1 for none.
        role: ``"closed"`` has something in it that is not shown, ``"open"`` is a frame around what is in it.
    """

    label: str
    note: str
    tip: str
    colour: str
    parent: int = -1
    role: Literal["single", "closed", "open"] = "single"


@dataclass(frozen=True)
class Diagram:
    """Boxes and lines with a title above.

    Args:
        plates: in the order in which they ran, an open scope before what is in it.
        lines: places of the boxes that each joins.
        alt: what it shows, in words, for those who do not see it.
        error: a sentence below the title; empty for none.
    """

    plates: Sequence[Plate]
    lines: Sequence[tuple[int, int]]
    title: str
    alt: str
    error: str = ""

    @cached_property
    def layout(self) -> Layout:
        """Where everything is, below the title."""
        return layered([_box(plate) for plate in self.plates], self.lines)

    @cached_property
    def head(self) -> list[tuple[str, str]]:
        """The lines above the boxes, each with its colour."""
        lines = textwrap.wrap(printable(self.error), max(40, int(self.layout.width / LETTER)))
        return [(printable(self.title), BLACK), *((line, ERROR) for line in lines)]

    @property
    def top(self) -> float:
        """Where the boxes begin."""
        return MARGIN + len(self.head) * LEADING

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of all of it."""
        widest = max(_length(words) for words, _ in self.head)
        return max(
            self.layout.width, widest * SIZES["title"] / SIZES["label"] + 2 * MARGIN
        ), self.top + self.layout.height

    @property
    def left(self) -> float:
        """Where the boxes begin: they stand in the middle."""
        return (self.size[0] - self.layout.width) / 2

    def svg(self) -> str:
        """An SVG file with a ``title`` and a ``desc``; it refers to nothing outside itself."""
        width, height = self.size
        root = _root(width, height)
        _add(root, "title").text = printable(self.title)
        _add(root, "desc").text = printable(self.alt)
        _add(root, "rect", width="100%", height="100%", fill="white")
        for number, (words, colour) in enumerate(self.head):
            _write(root, words, (MARGIN, MARGIN + number * LEADING + 8), "title" if number == 0 else "label", colour)
        moved = _add(root, "g", transform=f"translate({self.left:g} {self.top:g})")
        shapes = list(zip(self.plates, self.layout.rectangles, strict=True))
        for plate, rectangle in shapes:
            if plate.role == "open":
                _add(moved, "rect", **_place(rectangle), fill=self._fill(plate), stroke=plate.colour, rx=ROUND)
        curves = " ".join(f"{letter}{_numbers(points)}" for letter, points in self._strokes())
        _add(moved, "path", d=curves, fill="none", stroke=LINE, **{"stroke-width": 1.2})
        _add(moved, "path", d=" ".join(f"M{_numbers(corners)}z" for corners in self._heads()), fill=LINE)
        for plate, rectangle in shapes:
            _add_plate(moved, plate, rectangle, self._fill(plate))
        return ET.tostring(root, encoding="unicode", xml_declaration=False)

    def png(self) -> bytes:
        """A PNG file, two pixels for each unit of the SVG file; fewer where that would be more than can be held."""
        from interp_widgets.render.still import StillFigure  # noqa: PLC0415 - slow to import, only when drawn

        width, height = self.size
        figure = StillFigure(width / 72, height / 72)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(-self.left, width - self.left)
        axes.set_ylim(height - self.top, -self.top)
        self._paint(axes)
        inches = max(width, height) / 72
        sharpness = min(SHARP, LONGEST / inches, math.sqrt(MOST_PIXELS / (width / 72 * height / 72)))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=sharpness, metadata={"Title": printable(self.alt)})
        return buffer.getvalue()

    def _paint(self, axes: Axes) -> None:
        """The same on axes of matplotlib whose units are those of the SVG file, one point each."""
        from matplotlib.collections import PolyCollection  # noqa: PLC0415
        from matplotlib.patches import PathPatch  # noqa: PLC0415
        from matplotlib.path import Path  # noqa: PLC0415

        codes = {"M": [Path.MOVETO], "L": [Path.LINETO], "C": [Path.CURVE4] * 3}
        shapes = list(zip(self.plates, self.layout.rectangles, strict=True))
        for number, (words, colour) in enumerate(self.head):
            place = (MARGIN - self.left, MARGIN + number * LEADING + 8 - self.top)
            _print(axes, words, place, "title" if number == 0 else "label", color=colour)
        for plate, rectangle in shapes:
            if plate.role == "open":
                axes.add_patch(_rounded(rectangle, self._fill(plate), plate.colour))
        strokes = list(self._strokes())
        if strokes:
            points = [point for _, several in strokes for point in several]
            path = Path(points, [code for letter, _ in strokes for code in codes[letter]])
            axes.add_patch(PathPatch(path, facecolor="none", edgecolor=LINE, linewidth=1.2))
            axes.add_collection(PolyCollection(list(self._heads()), facecolors=LINE, edgecolors="none"))
        for plate, rectangle in shapes:
            _paint_plate(axes, plate, rectangle, self._fill(plate))

    def _strokes(self) -> Iterator[tuple[Literal["M", "L", "C"], tuple[Point, ...]]]:
        """The lines, each piece once: upright ones straight, slanted ones as a curve that begins and ends upright."""
        drawn = set()
        for route in self.layout.routes:
            pen = None
            for start, end in pairwise(route):
                if (start, end) in drawn:
                    continue
                drawn.add((start, end))
                if pen != start:
                    yield "M", (start,)
                middle = (start[1] + end[1]) / 2
                if start[0] == end[0]:
                    yield "L", (end,)
                else:
                    yield "C", ((start[0], middle), (end[0], middle), end)
                pen = end

    def _heads(self) -> Iterator[tuple[Point, ...]]:
        """The arrow heads, one for each box that reads something."""
        for x, y in dict.fromkeys(route[-1] for route in self.layout.routes):
            yield (x - 3.5, y - 6), (x + 3.5, y - 6), (x, y)

    def _fill(self, plate: Plate) -> str:
        if plate.role == "open":
            depth, parent = 0, plate.parent
            while parent >= 0:
                depth, parent = depth + 1, self.plates[parent].parent
            return FRAMES[depth % 2]
        parts = [int(plate.colour[start : start + 2], 16) for start in (1, 3, 5)]
        return "#" + "".join(f"{round(part + (255 - part) * TINT):02x}" for part in parts)


def _box(plate: Plate) -> Box:
    if plate.role == "open":
        return Box(_length(plate.label) + 2 * ROUND, HEADER, plate.parent, is_open=True)
    needed = max(_length(plate.label), _length(plate.note)) + 4 * ROUND
    return Box(min(max(STEP * math.ceil(needed / STEP), LEAST), MOST), HEIGHT, plate.parent)


def _length(words: str) -> float:
    """About how wide a label is."""
    return LETTER * sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in words)


def _cut(words: str, width: float) -> str:
    """Words that are at most so wide; longer ones lose their end."""
    shown = printable(words)
    if _length(shown) <= width:
        return shown
    while shown and _length(shown) + LETTER > width:
        shown = shown[:-1]
    return shown + "…"


# SVG


def _root(width: float, height: float) -> ET.Element:
    options = {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "width": f"{width:g}",
        "height": f"{height:g}",
        "viewBox": f"0 0 {width:g} {height:g}",
        "style": "max-width: 100%; height: auto",
        "font-family": "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif",
    }
    return ET.Element("svg", options)


def _add(parent: ET.Element, tag: str, **attributes: Any) -> ET.Element:
    written = {
        name: f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        for name, value in attributes.items()
    }
    return ET.SubElement(parent, tag, written)


def _add_plate(parent: ET.Element, plate: Plate, rectangle: Rectangle, fill: str) -> None:
    group = _add(parent, "g")
    _add(group, "title").text = printable(plate.tip)
    x, y, width, _ = rectangle
    if plate.role == "open":
        text = _write(group, _cut(plate.label, width), (x + ROUND, y + HEADER - 7), "label", GREY)
        text.set("stroke", fill)  # lines that enter run behind the name
        text.set("stroke-width", "3")
        text.set("paint-order", "stroke")
        return
    if plate.role == "closed":
        behind = rectangle._replace(x=x + BEHIND, y=y + BEHIND)
        _add(group, "rect", **_place(behind), fill=fill, stroke=plate.colour, rx=ROUND)
    _add(group, "rect", **_place(rectangle), fill=fill, stroke=plate.colour, rx=ROUND)
    for kind, words, below, colour in _words(plate, width):
        _write(group, words, (x + width / 2, y + below), kind, colour).set("text-anchor", "middle")


def _words(plate: Plate, width: float) -> Iterator[tuple[str, str, float, str]]:
    """The lines in a box: size, words, place below its upper edge, colour."""
    room = width - 2 * ROUND
    if not plate.note:
        yield "label", _cut(plate.label, room), HEIGHT / 2 + 4, BLACK
        return
    yield "label", _cut(plate.label, room), 16.0, BLACK
    yield "note", _cut(plate.note, room), 30.0, GREY


def _write(parent: ET.Element, words: str, place: Point, kind: str, colour: str) -> ET.Element:
    text = _add(parent, "text", x=place[0], y=place[1], fill=colour, **{"font-size": SIZES[kind]})
    text.text = words
    return text


def _place(rectangle: Rectangle) -> dict[str, float]:
    return rectangle._asdict()


def _numbers(points: Sequence[Point]) -> str:
    return " ".join(f"{value:.2f}".rstrip("0").rstrip(".") for point in points for value in point)


# matplotlib


def _paint_plate(axes: Axes, plate: Plate, rectangle: Rectangle, fill: str) -> None:
    x, y, width, _ = rectangle
    if plate.role == "open":
        behind = {"facecolor": fill, "edgecolor": "none", "pad": 1}
        _print(axes, _cut(plate.label, width), (x + ROUND, y + HEADER - 7), "label", color=GREY, bbox=behind)
        return
    if plate.role == "closed":
        axes.add_patch(_rounded(rectangle._replace(x=x + BEHIND, y=y + BEHIND), fill, plate.colour))
    axes.add_patch(_rounded(rectangle, fill, plate.colour))
    for kind, words, below, colour in _words(plate, width):
        _print(axes, words, (x + width / 2, y + below), kind, color=colour, ha="center")


def _print(axes: Axes, words: str, place: Point, kind: str, **options: Any) -> None:
    from interp_widgets.render.fonts import families  # noqa: PLC0415

    axes.text(*place, words, fontsize=SIZES[kind] * 0.92, fontfamily=families(), parse_math=False, **options)


def _rounded(rectangle: Rectangle, fill: str, colour: str) -> Any:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    x, y, width, height = rectangle
    style = f"round,pad=0,rounding_size={ROUND}"
    return FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=fill, edgecolor=colour, linewidth=1)
