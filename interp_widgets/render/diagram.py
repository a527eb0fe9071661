"""``Diagram``: labelled boxes, nested, and the lines between them: what the SVG and the PNG file both draw."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

from interp_widgets.render.layered import Box, Layout, Rectangle, layered
from interp_widgets.render.level import Point
from interp_widgets.render.sheet import BLACK, GREY, printable

__all__ = ["HEADER", "LINE", "LINE_WIDTH", "ROUND", "Caption", "Diagram", "Plate"]

HEIGHT, HEADER = 38.0, 20.0  # of a box, of an open scope's name
STEP, LEAST, MOST = 24, 96, 264  # widths of boxes: few different ones, so that repeated blocks are laid out once
LETTER = 6.6  # width of a letter, about; East Asian ones are twice as wide
TITLE, LABEL, NOTE = 14, 11, 10  # letters
MARGIN, LEADING = 12.0, 16.0
ROUND, BEHIND = 5.0, 3.0  # radius of corners; by how much the second sheet of a closed scope shows
LINE, LINE_WIDTH = "#6b747d", 1.2
FRAMES = ("#f5f7f9", "#e9edf1")  # open scopes in open scopes: every other one is darker
ERROR = "#b3261e"
TINT = 0.82  # share of white in a box's fill


@dataclass(frozen=True)
class Plate:
    """A box with words.

    Args:
        label, note: its first and its second line.
        tip: what a pointer over it shows: all there is to say.
        colour: of its border, as ``#rrggbb``; its fill is a tint of that.
        parent: the place of the open scope that it is in, -1 for none.
        role: ``"closed"`` has something in it that is not shown, ``"open"`` is a frame around what is in it.
        name: what it is called outside the diagram.
    """

    label: str
    note: str
    tip: str
    colour: str
    parent: int = -1
    role: Literal["single", "closed", "open"] = "single"
    name: str = ""


class Caption(NamedTuple):
    """Words in a diagram.

    Args:
        words: without a character that no file may hold.
        size: of the letters.
        x, y: where the line that they stand on begins, or its middle where they are centred.
        colour: of the letters.
        is_centred: whether they stand around ``x``.
        behind: a colour that keeps lines out of the words; empty for none.
    """

    words: str
    size: int
    x: float
    y: float
    colour: str
    is_centred: bool = False
    behind: str = ""


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
    def head(self) -> list[Caption]:
        """The lines above the boxes, from the corner of the whole: the title, then the error."""
        letters = max(40, int(self.layout.width / LETTER))
        lines = [(printable(self.title), TITLE, BLACK)]
        lines += [(line, LABEL, ERROR) for line in textwrap.wrap(printable(self.error), letters)]
        return [
            Caption(words, size, MARGIN, MARGIN + number * LEADING + 8, colour)
            for number, (words, size, colour) in enumerate(lines)
        ]

    @property
    def width(self) -> float:
        """Of all of it."""
        widest = max(_length(caption.words) * caption.size / LABEL for caption in self.head)
        return max(self.layout.width, widest + 2 * MARGIN)

    @property
    def height(self) -> float:
        """Of all of it."""
        return self.corner[1] + self.layout.height

    @property
    def corner(self) -> Point:
        """Where the layout begins: below the title, in the middle."""
        return (self.width - self.layout.width) / 2, MARGIN + len(self.head) * LEADING

    def sheets(self, place: int) -> list[Rectangle]:
        """What is drawn of a box: a closed scope has a second sheet behind the first."""
        rectangle = self.layout.rectangles[place]
        if self.plates[place].role != "closed":
            return [rectangle]
        return [rectangle._replace(x=rectangle.x + BEHIND, y=rectangle.y + BEHIND), rectangle]

    def captions(self, place: int) -> list[Caption]:
        """The words of a box, cut to its width."""
        plate, (x, y, width, height) = self.plates[place], self.layout.rectangles[place]
        label, note = (_cut(words, width - 2 * ROUND) for words in (plate.label, plate.note))
        if plate.role == "open":
            return [Caption(label, LABEL, x + ROUND, y + HEADER - 7, GREY, behind=self.fill(place))]
        middle = x + width / 2
        if not note:
            return [Caption(label, LABEL, middle, y + height / 2 + 4, BLACK, is_centred=True)]
        return [
            Caption(label, LABEL, middle, y + 16, BLACK, is_centred=True),
            Caption(note, NOTE, middle, y + 30, GREY, is_centred=True),
        ]

    def strokes(self) -> Iterator[tuple[Literal["M", "L", "C"], tuple[Point, ...]]]:
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

    def heads(self) -> Iterator[tuple[Point, ...]]:
        """The arrow heads, one for each box that reads something."""
        for x, y in dict.fromkeys(route[-1] for route in self.layout.routes):
            yield (x - 3.5, y - 6), (x + 3.5, y - 6), (x, y)

    def fill(self, place: int) -> str:
        """The colour inside a box: a tint of its border's, or a grey that tells a frame from the one around it."""
        plate = self.plates[place]
        if plate.role == "open":
            return FRAMES[self._depths[place] % len(FRAMES)]
        parts = [int(plate.colour[start : start + 2], 16) for start in (1, 3, 5)]
        return "#" + "".join(f"{round(part + (255 - part) * TINT):02x}" for part in parts)

    @cached_property
    def _depths(self) -> list[int]:
        depths: list[int] = []
        for plate in self.plates:
            depths.append(depths[plate.parent] + 1 if plate.parent >= 0 else 0)
        return depths


def _box(plate: Plate) -> Box:
    if plate.role == "open":
        width = math.ceil(_length(plate.label)) + 2 * ROUND
        return Box(min(width, MOST), HEADER, plate.parent, is_open=True)
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
