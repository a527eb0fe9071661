"""``Level``: what is in one scope of a nested graph; ``Grid``: its boxes and lines as vertices in rows.

A *rail* is a tensor inside the scope: it comes from one point and goes to one or several boxes below. It passes the
rows between them as one vertical line, however many boxes read it, so a dense block stays narrow. Lines slant only in
the gaps between rows, where there are no boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

__all__ = ["APART", "Arranged", "Grid", "Item", "Joint", "Level", "Point", "Rail"]

Point = tuple[float, float]  # x to the right, y downwards

GAP = 26.0  # between two rows
PAD = 12.0  # between a scope's border and what is in it
BESIDE, APART = 20.0, 12.0  # between two boxes of a row; between a rail and whatever is beside it


class Item(NamedTuple):
    """A box of a scope: its size, and where on its upper and lower edge lines end, from its left."""

    width: float
    height: float
    tops: tuple[float, ...]
    bottoms: tuple[float, ...]


class Rail(NamedTuple):
    """A tensor inside a scope.

    Args:
        source: the box it comes from and the place among its ``bottoms``; ``None`` where it enters the scope.
        targets: the boxes that read it, later than the source, each with the place among its ``tops``.
        leaves: whether it leaves the scope.
    """

    source: tuple[int, int] | None
    targets: tuple[tuple[int, int], ...]
    leaves: bool


class Level(NamedTuple):
    """A scope: what is in it in the order in which it ran, the tensors, and the room for its name above."""

    items: tuple[Item, ...]
    rails: tuple[Rail, ...]
    width: float
    header: float


@dataclass(frozen=True)
class Arranged:
    """A scope's layout, from its upper left corner.

    Args:
        width, height: of the scope.
        corners: the upper left one of each box.
        tops, bottoms: where on its edges rails enter and leave, in the order of the rails.
        paths: of each rail a line to each of its targets, then one to the lower edge where it leaves.
    """

    width: float
    height: float
    corners: tuple[Point, ...]
    tops: tuple[float, ...]
    bottoms: tuple[float, ...]
    paths: tuple[tuple[tuple[Point, ...], ...], ...]


class Joint(NamedTuple):
    """A line between neighbouring rows: its upper and lower vertex, and the place on each, from its left."""

    upper: int
    upper_x: float
    lower: int
    lower_x: float


class Grid:
    """Boxes, ports and rails as vertices in rows: the boxes first, then what each rail needs.

    A port, where a rail enters or leaves, is a vertex without width in the first or the last row; so is a rail in each
    row that it passes.
    """

    def __init__(self, level: Level) -> None:
        self.level = level
        self.rank = _ranks(level)
        self.widths = [item.width for item in level.items]
        self.passing: set[int] = set()  # rails, in the rows that they pass
        self.joints: list[Joint] = []
        self.chains: list[list[int]] = []  # of each rail, its start and its vertices in the rows that it passes
        self.ports: list[int] = []  # of each rail, where it leaves, or -1
        self.last = max(self.rank, default=0) + 1
        for rail in level.rails:
            self._add_rail(rail)
        self.rows: list[list[int]] = [[] for _ in range(self.last + 1)]
        for vertex, rank in enumerate(self.rank):
            self.rows[rank].append(vertex)

    def _add_rail(self, rail: Rail) -> None:
        items = self.level.items
        ends = [(item, items[item].tops[slot]) for item, slot in rail.targets]
        start, start_x = self._vertex(0) if rail.source is None else rail.source[0], 0.0
        if rail.source is not None:
            start_x = items[start].bottoms[rail.source[1]]
        port = self._vertex(self.last) if rail.leaves else -1
        if rail.leaves:
            ends.append((port, 0.0))
        chain = [start]
        for rank in range(self.rank[start] + 1, max(self.rank[end] for end, _ in ends)):
            vertex = self._vertex(rank)
            self.passing.add(vertex)
            self.joints.append(Joint(chain[-1], 0.0 if chain[1:] else start_x, vertex, 0.0))
            chain.append(vertex)
        for end, x in ends:
            above = chain[self.rank[end] - self.rank[start] - 1]
            self.joints.append(Joint(above, start_x if above == start else 0.0, end, x))
        self.chains.append(chain)
        self.ports.append(port)

    def _vertex(self, rank: int) -> int:
        self.rank.append(rank)
        self.widths.append(0.0)
        return len(self.rank) - 1

    @cached_property
    def above(self) -> list[list[Joint]]:
        """Of each vertex the lines that come from the row above."""
        listed: list[list[Joint]] = [[] for _ in self.rank]
        for joint in self.joints:
            listed[joint.lower].append(joint)
        return listed

    @cached_property
    def below(self) -> list[list[Joint]]:
        """Of each vertex the lines that go to the row below."""
        listed: list[list[Joint]] = [[] for _ in self.rank]
        for joint in self.joints:
            listed[joint.upper].append(joint)
        return listed

    def ends(self, vertex: int, *, is_down: bool) -> list[tuple[float, int, float]]:
        """Of each line from above (or below): the place on the vertex, the vertex at its other end, the place there."""
        if is_down:
            return [(joint.lower_x, joint.upper, joint.upper_x) for joint in self.above[vertex]]
        return [(joint.upper_x, joint.lower, joint.lower_x) for joint in self.below[vertex]]

    def gap(self, left: int, right: int) -> float:
        """What has to be free between two neighbours of a row."""
        count = len(self.level.items)
        return BESIDE if left < count and right < count else APART

    def arranged(self, lefts: list[float]) -> Arranged:
        """The layout with the vertices at these places."""
        items, rails = self.level.items, self.level.rails
        low = min(lefts, default=0.0)
        content = max((left + width for left, width in zip(lefts, self.widths, strict=True)), default=0.0) - low
        width = max(content + 2 * PAD, self.level.width)
        shift = (width - content) / 2 - low
        xs = [left + shift for left in lefts]
        bands = self._bands()
        return Arranged(
            width,
            bands[-1][1],
            tuple((xs[item], bands[self.rank[item]][0]) for item in range(len(items))),
            tuple(xs[chain[0]] for chain, rail in zip(self.chains, rails, strict=True) if rail.source is None),
            tuple(xs[port] for port in self.ports if port >= 0),
            tuple(self._paths(place, xs, bands) for place in range(len(rails))),
        )

    def _bands(self) -> list[tuple[float, float]]:
        """Upper and lower end of each row; the name stands in the first."""
        heights = [self.level.header] + [0.0] * self.last
        for item, rank in zip(self.level.items, self.rank, strict=False):
            heights[rank] = max(heights[rank], item.height)
        gaps = [GAP] * self.last
        if not any(rail.source is None for rail in self.level.rails):
            gaps[0] = PAD / 2 if self.level.header else PAD
        if not any(rail.leaves for rail in self.level.rails):
            gaps[-1] = PAD
        bottoms = list(accumulate(gap + height for gap, height in zip([0.0, *gaps], heights, strict=True)))
        return [(bottom - height, bottom) for bottom, height in zip(bottoms, heights, strict=True)]

    def _paths(self, place: int, xs: list[float], bands: list[tuple[float, float]]) -> tuple[tuple[Point, ...], ...]:
        """The lines of a rail: upright in each row, slanted between two."""
        rail, chain, items = self.level.rails[place], self.chains[place], self.level.items
        first = self.rank[chain[0]]
        top, start_x = 0.0, xs[chain[0]]
        if rail.source is not None:
            top = bands[first][0] + items[chain[0]].height
            start_x += items[chain[0]].bottoms[rail.source[1]]
        trunk = [(start_x, top), (start_x, bands[first][1])]
        for vertex in chain[1:]:
            trunk += [(xs[vertex], y) for y in bands[self.rank[vertex]]]
        ends = [(item, xs[item] + items[item].tops[slot]) for item, slot in rail.targets]
        if rail.leaves:
            ends.append((self.ports[place], xs[self.ports[place]]))
        paths = []
        for end, x in ends:
            rows = self.rank[end] - first
            paths.append((*trunk[: 2 * rows], (x, bands[self.rank[end]][0])))
        return tuple(paths)


def _ranks(level: Level) -> list[int]:
    """The row of each box, from 1: below everything it reads; what reads nothing stands just above its first reader."""
    ranks = [1] * len(level.items)
    readers: list[list[int]] = [[] for _ in level.items]
    reads: list[list[int]] = [[] for _ in level.items]
    enters = set()
    for rail in level.rails:
        for target, _ in rail.targets:
            if rail.source is None:
                enters.add(target)
            else:
                reads[target].append(rail.source[0])
                readers[rail.source[0]].append(target)
    for item in range(len(ranks)):
        ranks[item] = max((ranks[source] + 1 for source in reads[item]), default=1)
    for item in range(len(ranks)):
        if readers[item] and not reads[item] and item not in enters:
            ranks[item] = min(ranks[reader] for reader in readers[item]) - 1
    return ranks
