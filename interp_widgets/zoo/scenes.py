"""Labelled scenes whose evidence is known: one object decides the label, and its mask comes with the image.

A scene is a textured background, one labelled object and two or three distractors. A class is a surface *and* a shape
("red disc"): a distractor may share the one or the other with a class, never both, so neither a colour nor a shape
alone gives the label away. Objects do not overlap. On request a watermark in the corner names a class, rightly or not.

Scene ``i`` of a seed depends on ``(seed, i)`` only: more scenes, or another watermark, leave it as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from interp_widgets.errors import ParameterError
from interp_widgets.words import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["CLASS_NAMES", "SHAPES", "SIZE", "SURFACES", "Scenes", "Watermark", "generate"]

SIZE = 96
SHAPES = ("disc", "triangle", "cross")
SURFACES = ("red", "blue", "striped")
CLASS_NAMES = tuple(f"{surface} {shape}" for surface in SURFACES for shape in SHAPES)

Watermark = Literal["true", "moved"]

_OTHER_SHAPES = ("ring", "bar")
_OTHER_SURFACES = ("green", "violet", "white")
_BACKGROUNDS = ("clouds", "waves", "checks", "ramp")

_COLOURS = {
    "red": (205, 40, 40),
    "blue": (45, 75, 205),
    "striped": (235, 200, 50),
    "green": (50, 150, 60),
    "violet": (150, 60, 165),
    "white": (235, 235, 230),
}

_MARK_AT = 86  # first row and column of the 8x8 watermark
_MARK_SIZE = 8
_GLYPHS = {
    1: "00100 01100 00100 00100 00100 00100 01110",
    2: "01110 10001 00001 00110 01000 10000 11111",
    3: "11110 00001 00001 01110 00001 00001 11110",
    4: "00010 00110 01010 10010 11111 00010 00010",
    5: "11111 10000 11110 00001 00001 10001 01110",
    6: "00110 01000 10000 11110 10001 10001 01110",
    7: "11111 00001 00010 00100 01000 01000 01000",
    8: "01110 10001 10001 01110 10001 10001 01110",
    9: "01110 10001 10001 01111 00001 00010 01100",
}


@dataclass(frozen=True)
class Scenes:
    """``N`` scenes and the truth about them.

    Args:
        images: ``(N, 96, 96, 3)`` uint8.
        labels: ``(N,)`` int64 in 0..8: the class of the labelled object, an index into ``CLASS_NAMES``.
        masks: ``(N, 96, 96)`` bool, true on the labelled object.
        marks: ``(N,)`` int64: the class that the watermark names; -1 where there is no watermark.
        mark_masks: ``(N, 96, 96)`` bool, true on the watermark; all false where there is none.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    marks: NDArray[np.int64]
    mark_masks: NDArray[np.bool_]


@dataclass(frozen=True)
class _Object:
    shape: str
    surface: str
    row: float
    column: float
    radius: float
    angle: float


def generate(count: int, seed: int, watermark: Watermark | None = None) -> Scenes:
    """``count`` scenes, the same for the same ``seed`` on every call.

    Args:
        count: number of scenes, at least 1.
        seed: 0 or more; another seed gives other scenes.
        watermark: ``None`` for none; ``"true"`` for the number of the object's class (1..9) in the corner; ``"moved"``
            for the number of another class.

    Raises:
        ParameterError: ``count``, ``seed`` or ``watermark`` outside the above.

    >>> scenes = generate(2, seed=5)
    >>> scenes.images.shape, scenes.masks.any(axis=(1, 2)).tolist()
    ((2, 96, 96, 3), [True, True])
    """
    if count < 1:
        raise ParameterError(say("count must be 1 or more, got {count}", count=count))
    if seed < 0:
        raise ParameterError(say("seed must be 0 or more, got {seed}", seed=seed))
    if watermark not in (None, "true", "moved"):
        raise ParameterError(say("watermark must be None, 'true' or 'moved', got {given}", given=repr(watermark)))
    images = np.empty((count, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int64)
    masks = np.empty((count, SIZE, SIZE), dtype=np.bool_)
    marks = np.full(count, -1, dtype=np.int64)
    mark_masks = np.zeros((count, SIZE, SIZE), dtype=np.bool_)
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        labels[index] = rng.integers(len(CLASS_NAMES))
        images[index], masks[index] = _paint_scene(CLASS_NAMES[labels[index]], rng)
        if watermark is not None:
            step = 0 if watermark == "true" else rng.integers(1, len(CLASS_NAMES))
            marks[index] = (labels[index] + step) % len(CLASS_NAMES)
            mark_masks[index] = _stamp(images[index], int(marks[index]))
    return Scenes(images, labels, masks, marks, mark_masks)


def _paint_scene(class_name: str, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    surface, shape = class_name.split()
    placed = [_place(shape, surface, rng.uniform(9, 17), [], rng)]
    for _ in range(rng.integers(2, 4)):
        placed.append(_place(*_distractor(rng), rng.uniform(7, 12), placed, rng))
    canvas = _background(rng)
    masks = [_paint(canvas, item, rng) for item in placed if item is not None]
    canvas += rng.normal(0, 4, (SIZE, SIZE, 1)).astype(np.float32)
    return canvas.clip(0, 255).astype(np.uint8), masks[0]


def _distractor(rng: np.random.Generator) -> tuple[str, str]:
    """A shape and a surface of which at least one belongs to no class."""
    if rng.random() < 0.5:
        return str(rng.choice(SHAPES)), str(rng.choice(_OTHER_SURFACES))
    return str(rng.choice(_OTHER_SHAPES)), str(rng.choice(SURFACES + _OTHER_SURFACES))


def _place(
    shape: str, surface: str, radius: float, others: list[_Object | None], rng: np.random.Generator
) -> _Object | None:
    """An object clear of the border, of the watermark's corner and of ``others``; ``None`` when no place was free."""
    angle = rng.uniform(0, math.pi) if shape == "bar" else rng.uniform(-0.4, 0.4)
    reach = 1.2 * radius
    corner = _MARK_AT + _MARK_SIZE / 2
    for _ in range(200):
        row, column = rng.uniform(reach + 1, SIZE - reach - 2, 2)
        if math.hypot(row - corner, column - corner) < reach + 8:
            continue
        distances = (math.hypot(row - o.row, column - o.column) - 1.2 * o.radius for o in others if o is not None)
        if all(distance > reach + 2 for distance in distances):
            return _Object(shape, surface, row, column, radius, angle)
    return None


def _paint(canvas: NDArray[np.float32], item: _Object, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Paint ``item`` onto ``canvas`` ``(96, 96, 3)`` in place; its mask ``(96, 96)``."""
    reach = math.ceil(1.2 * item.radius) + 1
    top, left = max(0, int(item.row) - reach), max(0, int(item.column) - reach)
    window = (slice(top, int(item.row) + reach + 1), slice(left, int(item.column) + reach + 1))
    rows, columns = np.mgrid[window].astype(np.float32)
    rows, columns = (rows - item.row) / item.radius, (columns - item.column) / item.radius
    cos, sin = math.cos(item.angle), math.sin(item.angle)
    x, y = cos * columns + sin * rows, cos * rows - sin * columns
    cover = (0.5 - _DISTANCES[item.shape](x, y) * item.radius).clip(0, 1)  # one pixel of soft edge
    colour = np.array(_COLOURS[item.surface], dtype=np.float32) + rng.uniform(-14, 14, 3).astype(np.float32)
    paint = np.broadcast_to(colour, (*x.shape, 3))
    if item.surface == "striped":
        slant, phase = rng.uniform(0, math.pi), rng.uniform(0, 6)
        ramp = (math.cos(slant) * columns + math.sin(slant) * rows) * item.radius + phase
        paint = np.where((np.mod(ramp, 6) < 3)[..., None], paint, 30)
    light = 1 - 0.12 * (columns + rows)
    canvas[window] += cover[..., None] * (paint * light[..., None] - canvas[window])
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[window] = cover >= 0.5
    return mask


# Signed distance to the outline, in radii; negative inside.
_DISTANCES: dict[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]] = {
    "disc": lambda x, y: np.hypot(x, y) - 1,
    "triangle": lambda x, y: np.maximum(0.866 * np.abs(x) - 0.5 * y, y) - 0.58,
    "cross": lambda x, y: np.minimum(
        np.maximum(np.abs(x) - 1, np.abs(y) - 0.36), np.maximum(np.abs(x) - 0.36, np.abs(y) - 1)
    ),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.22,
    "bar": lambda x, y: np.maximum(np.abs(x) - 1, np.abs(y) - 0.34),
}


def _background(rng: np.random.Generator) -> NDArray[np.float32]:
    """``(96, 96, 3)`` float32 in 0..255: one of four muted textures."""
    kind = rng.choice(_BACKGROUNDS)
    base = rng.uniform(80, 175) + rng.uniform(-18, 18, 3)
    other = base + rng.uniform(-40, 40) + rng.uniform(-12, 12, 3)
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    angle = rng.uniform(0, math.pi)
    across = math.cos(angle) * columns + math.sin(angle) * rows
    if kind == "clouds":
        cells = rng.integers(3, 13)
        coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        mix = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    elif kind == "waves":
        mix = 0.5 + 0.5 * np.sin(across * (2 * math.pi / rng.uniform(8, 24)) + rng.uniform(0, 6))
    elif kind == "checks":
        along = math.cos(angle) * rows - math.sin(angle) * columns
        period = rng.uniform(6, 16)
        mix = (np.floor(across / period) + np.floor(along / period)) % 2
    else:
        mix = (across - across.min()) / (across.max() - across.min())
    return (base + mix[..., None] * (other - base)).astype(np.float32)


def _stamp(image: NDArray[np.uint8], label: int) -> NDArray[np.bool_]:
    """Write the number ``label + 1`` into the corner of ``image`` in place; the mask of the 8x8 watermark."""
    window = (slice(_MARK_AT, _MARK_AT + _MARK_SIZE),) * 2
    glyph = np.zeros((_MARK_SIZE, _MARK_SIZE), dtype=np.uint8)
    glyph[0:7, 1:6] = [[int(bit) for bit in line] for line in _GLYPHS[label + 1].split()]
    image[window] = np.where(glyph[..., None] == 1, 250, 15)
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[window] = True
    return mask
