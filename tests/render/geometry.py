"""Whether a layout is one: nothing overlaps, each line joins its boxes and runs through no other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest

from interp_widgets.render.layered import Box, Layout, Rectangle

__all__ = ["check"]

TINY = 0.05  # pixels: corners are rounded to hundredths


def around(boxes: Sequence[Box], place: int) -> set[int]:
    """A box and the scopes that it is in."""
    found = set()
    while place >= 0:
        found.add(place)
        place = boxes[place].parent
    return found


def overlap(one: Rectangle, other: Rectangle) -> bool:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    along = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return across > TINY and along > TINY


def crossed(route: Sequence[tuple[float, float]], corners: np.ndarray) -> set[int]:
    """The places of the rectangles ``(N, 4)`` that a line has a part inside of (Liang and Barsky's clipping)."""
    points = np.array(route)
    starts, steps = points[:-1, None], np.diff(points, axis=0)[:, None]  # (pieces, 1, 2)
    lows = corners[None, :, :2] + TINY  # (1, N, 2)
    highs = corners[None, :, :2] + corners[None, :, 2:] - TINY
    with np.errstate(divide="ignore", invalid="ignore"):
        at_low, at_high = (lows - starts) / steps, (highs - starts) / steps
    is_still = np.broadcast_to(steps == 0, at_low.shape)
    is_between = (lows < starts) & (starts < highs)
    enters = np.where(is_still, np.where(is_between, 0.0, 2.0), np.minimum(at_low, at_high))
    leaves = np.where(is_still, 1.0, np.maximum(at_low, at_high))
    has_part = np.maximum(enters.max(axis=2), 0) < np.minimum(leaves.min(axis=2), 1)  # (pieces, N)
    return set(np.flatnonzero(has_part.any(axis=0)).tolist())


def check(boxes: Sequence[Box], links: Sequence[tuple[int, int]], layout: Layout) -> None:
    """Nothing overlaps, children are inside their scopes, each line joins its boxes and crosses no other."""
    rectangles = layout.rectangles
    scopes = [around(boxes, place) for place in range(len(boxes))]
    siblings: dict[int, list[int]] = {}
    for place, box in enumerate(boxes):
        siblings.setdefault(box.parent, []).append(place)
    for parent, places in siblings.items():
        frame = Rectangle(0, 0, layout.width, layout.height) if parent < 0 else rectangles[parent]
        for place in places:
            inner = rectangles[place]
            assert frame.x < inner.x
            assert frame.y < inner.y
            assert inner.x + inner.width < frame.x + frame.width
            assert inner.y + inner.height < frame.y + frame.height
        for one, other in combinations(places, 2):
            assert not overlap(rectangles[one], rectangles[other]), (one, other)
    corners = np.array(rectangles).reshape(-1, 4)
    for (source, target), route in zip(links, layout.routes, strict=True):
        check_route(route, rectangles[source], rectangles[target])
        foreign = crossed(route, corners) - scopes[source] - scopes[target]
        assert not foreign, (source, target, foreign)


def check_route(route: Sequence[tuple[float, float]], source: Rectangle, target: Rectangle) -> None:
    """It goes down from the middle of the source's lower edge to that of the target's upper edge."""
    ends = (source.x + source.width / 2, source.y + source.height, target.x + target.width / 2, target.y)
    assert (*route[0], *route[-1]) == pytest.approx(ends, abs=TINY)
    assert all(start[1] <= end[1] for start, end in pairwise(route))
