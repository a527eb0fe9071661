"""``layered``: where the boxes of a nested graph stand and how its lines run, from top to bottom, one scope at a time.

Needs neither torch nor a browser. The order of the boxes gives each line its direction, so there are no cycles to
break. What enters or leaves an open scope does so at a port on its edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from interp_widgets.render.level import Arranged, Item, Level, Point, Rail
from interp_widgets.render.rows import arrange

__all__ = ["Box", "Layout", "Rectangle", "layered"]

TOP = -1  # the scope of the boxes that are in no other


@dataclass(frozen=True)
class Box:
    """An operation, a closed scope, or an open one.

    Args:
        width, height: in pixels; of an open scope what its name needs.
        parent: the place of the open scope that it is in, earlier than its own; -1 for none.
        is_open: whether other boxes are in it.
    """

    width: float
    height: float
    parent: int = TOP
    is_open: bool = False


class Rectangle(NamedTuple):
    """Upper left corner and size, in pixels; y goes down."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Args:
        rectangles: of the boxes; of an open scope around all that is in it.
        routes: of the lines, corner by corner from source to target.
        width, height: of all of it.
    """

    rectangles: tuple[Rectangle, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def layered(boxes: Sequence[Box], links: Sequence[tuple[int, int]]) -> Layout:
    """Rectangles and routes of a nested graph: no two boxes overlap, no line runs through one that it does not concern.

    Args:
        boxes: in the order in which they ran, an open scope before what is in it.
        links: source and target of each line: places of boxes that are not open, the source's earlier.
    """
    scopes = [TOP, *(place for place, box in enumerate(boxes) if box.is_open)]
    nest = _Nest(boxes, {scope: _Scope() for scope in scopes})
    for source, target in links:
        nest.add(source, target)
    for scope in reversed(scopes):  # the inner ones first
        nest.arrange(scope)
    nest.set_corners()
    routes = {link: nest.route(*link) for link in dict.fromkeys(links)}
    whole = nest.scopes[TOP].arranged
    return Layout(nest.rectangles(), tuple(routes[link] for link in links), whole.width, whole.height)


@dataclass
class _Passage:
    """A tensor in a scope, by boxes: the one that it comes from, those that it goes to."""

    source: int | None
    targets: dict[int, None] = field(default_factory=dict)
    leaves: bool = False


@dataclass
class _Scope:
    """What is in a scope.

    Args:
        passages: by the box that made the tensor, sorted by it once all are known.
        children: the boxes that are in it, with their places.
    """

    passages: dict[int, _Passage] = field(default_factory=dict)
    children: dict[int, int] = field(default_factory=dict)
    arranged: Arranged = field(default_factory=lambda: arrange(Level((), (), 0.0, 0.0)))
    corner: Point = (0.0, 0.0)
    paths: dict[tuple[int, int | None], tuple[Point, ...]] = field(default_factory=dict)

    def slot(self, maker: int, *, is_top: bool) -> int:
        """The place of a tensor among those that enter, or among those that leave."""
        if is_top:
            return [each for each, passage in self.passages.items() if passage.source is None].index(maker)
        return [each for each, passage in self.passages.items() if passage.leaves].index(maker)

    def set_paths(self) -> None:
        """Note the line of each tensor to each box, and to the lower edge."""
        for (maker, passage), paths in zip(self.passages.items(), self.arranged.paths, strict=True):
            ends = [*sorted(passage.targets), *([None] if passage.leaves else [])]
            self.paths.update({(maker, end): path for end, path in zip(ends, paths, strict=True)})


class _Nest:
    """The scopes of a graph with what is in each."""

    def __init__(self, boxes: Sequence[Box], scopes: dict[int, _Scope]) -> None:
        self.scopes = scopes
        self._boxes = boxes
        for place, box in enumerate(boxes):
            siblings = scopes[box.parent].children
            siblings[place] = len(siblings)

    def add(self, source: int, target: int) -> None:
        """Note a link in each scope that it runs through."""
        for scope, start, end in self._stretches(source, target):
            passage = self.scopes[scope].passages.setdefault(source, _Passage(start))
            if end is None:
                passage.leaves = True
            else:
                passage.targets[end] = None

    def arrange(self, scope: int) -> None:
        """Lay a scope out; those in it have been."""
        own = self.scopes[scope]
        own.passages = dict(sorted(own.passages.items()))  # as the tensors were made: the same for the same blocks
        rails = []
        for maker, passage in own.passages.items():
            source = None
            if passage.source is not None:
                source = (own.children[passage.source], self._slot(passage.source, maker, is_top=False))
            targets = [(own.children[box], self._slot(box, maker, is_top=True)) for box in sorted(passage.targets)]
            rails.append(Rail(source, tuple(targets), passage.leaves))
        items = tuple(self._item(child) for child in own.children)
        label = Box(0.0, 0.0) if scope == TOP else self._boxes[scope]
        own.arranged = arrange(Level(items, tuple(rails), label.width, label.height))
        own.set_paths()

    def set_corners(self) -> None:
        """Set where each open scope's corner is in the whole."""
        for scope, own in self.scopes.items():
            if scope != TOP:
                own.corner = self._corner(scope)

    def rectangles(self) -> tuple[Rectangle, ...]:
        """Of each box."""
        sizes = [self._item(place) for place in range(len(self._boxes))]
        return tuple(Rectangle(*self._corner(place), size.width, size.height) for place, size in enumerate(sizes))

    def route(self, source: int, target: int) -> tuple[Point, ...]:
        """The corners of a line through all scopes."""
        points: list[Point] = []
        for scope, _, end in self._stretches(source, target):
            own = self.scopes[scope]
            left, top = own.corner
            points += [(round(left + x, 2), round(top + y, 2)) for x, y in own.paths[source, end]]
        return _without_needless(points)

    def _stretches(self, source: int, target: int) -> Iterator[tuple[int, int | None, int | None]]:
        """The scopes that a link runs through, each with the box where it starts and ends, ``None`` for its edge."""
        ups, downs = self._around(source), self._around(target)
        shared = [scope for _, scope in downs]
        rise = next(rise for rise, (_, scope) in enumerate(ups) if scope in shared)
        for box, scope in ups[:rise]:
            yield scope, box, None
        start: int | None
        start, meeting = ups[rise]  # the innermost scope that both are in
        for box, scope in reversed(downs[: shared.index(meeting) + 1]):
            yield scope, start, box
            start = None  # from here on it comes from the edge

    def _around(self, box: int) -> list[tuple[int, int]]:
        """A box and the scopes around it, each with the scope that it is in."""
        found = []
        while box != TOP:
            found.append((box, self._boxes[box].parent))
            box = self._boxes[box].parent
        return found

    def _item(self, place: int) -> Item:
        box = self._boxes[place]
        if not box.is_open:
            middle = (box.width / 2,)
            return Item(box.width, box.height, middle, middle)
        arranged = self.scopes[place].arranged
        return Item(arranged.width, arranged.height, arranged.tops, arranged.bottoms)

    def _slot(self, box: int, maker: int, *, is_top: bool) -> int:
        return self.scopes[box].slot(maker, is_top=is_top) if self._boxes[box].is_open else 0

    def _corner(self, place: int) -> Point:
        outer = self.scopes[self._boxes[place].parent]
        x, y = outer.arranged.corners[outer.children[place]]
        return round(outer.corner[0] + x, 2), round(outer.corner[1] + y, 2)


def _without_needless(points: list[Point]) -> tuple[Point, ...]:
    """The same line without the points at which it does not turn."""
    kept = points[:1]
    for point, after in pairwise(points[1:]):
        is_upright = kept[-1][0] == point[0] == after[0]
        if point != kept[-1] and not is_upright:
            kept.append(point)
    return (*kept, points[-1])
