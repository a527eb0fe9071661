"""``arrange``: the boxes of one scope in rows, and the lines between them (Sugiyama et al. 1981, without their cycles).

A *rail* is a tensor inside the scope: it comes from one point and goes to one or several boxes below. It passes the
rows between them as one vertical line, however many boxes read it, so a dense block stays narrow. Lines slant only in
the gaps between rows, where there are no boxes.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right, insort
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

__all__ = ["Arranged", "Item", "Level", "Point", "Rail", "arrange"]

Point = tuple[float, float]  # x to the right, y downwards

GAP = 26.0  # between two rows
PAD = 12.0  # between a scope's border and what is in it
BESIDE, APART = 20.0, 12.0  # between two boxes of a row; between a rail and whatever is beside it
SWEEPS = 12  # over the rows, for an order with fewer crossings
PASSES = 4  # over the rows, down and up, for straight lines
STEADY = 1e9  # weight of a box against a rail's 1: rails give way


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


@lru_cache(maxsize=4096)
def arrange(level: Level) -> Arranged:
    """The layout of a scope; repeated blocks of a model are the same level, and are arranged once."""
    grid = _Grid(level)
    rows = _ordered(grid)
    lefts = _placed(grid, rows)
    return grid.arranged(lefts)


class _Joint(NamedTuple):
    """A line between neighbouring rows: its upper and lower vertex, and the place on each, from its left."""

    upper: int
    upper_x: float
    lower: int
    lower_x: float


class _Grid:
    """Boxes, ports and rails as vertices in rows: the boxes first, then what each rail needs.

    A port, where a rail enters or leaves, is a vertex without width in the first or the last row; so is a rail in each
    row that it passes.
    """

    def __init__(self, level: Level) -> None:
        self.level = level
        self.rank = _ranks(level)
        self.widths = [item.width for item in level.items]
        self.passing: set[int] = set()  # rails, in the rows that they pass
        self.joints: list[_Joint] = []
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
            self.joints.append(_Joint(chain[-1], 0.0 if chain[1:] else start_x, vertex, 0.0))
            chain.append(vertex)
        for end, x in ends:
            above = chain[self.rank[end] - self.rank[start] - 1]
            self.joints.append(_Joint(above, start_x if above == start else 0.0, end, x))
        self.chains.append(chain)
        self.ports.append(port)

    def _vertex(self, rank: int) -> int:
        self.rank.append(rank)
        self.widths.append(0.0)
        return len(self.rank) - 1

    @cached_property
    def above(self) -> list[list[_Joint]]:
        """Of each vertex the lines that come from the row above."""
        listed: list[list[_Joint]] = [[] for _ in self.rank]
        for joint in self.joints:
            listed[joint.lower].append(joint)
        return listed

    @cached_property
    def below(self) -> list[list[_Joint]]:
        """Of each vertex the lines that go to the row below."""
        listed: list[list[_Joint]] = [[] for _ in self.rank]
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


# Order within the rows


def _ordered(grid: _Grid) -> list[list[int]]:
    """The rows with their vertices from left to right, with few crossings: barycentres, downwards and upwards."""
    rows = [list(row) for row in grid.rows]
    best, fewest = rows, _crossings(grid, rows)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        rows = _swept(grid, rows, is_down=sweep % 2 == 0)
        crossings = _crossings(grid, rows)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _swept(grid: _Grid, rows: list[list[int]], *, is_down: bool) -> list[list[int]]:
    """Each row sorted by the mean place of what its vertices are joined to in the row before it."""
    ordered = [list(row) for row in rows]
    places = _places(ordered)
    for row in ordered if is_down else reversed(ordered):
        keys = {}
        for vertex in row:
            ends = [_point(grid, places, other, other_x) for _, other, other_x in grid.ends(vertex, is_down=is_down)]
            keys[vertex] = statistics.fmean(ends) if ends else places[vertex]
        row.sort(key=keys.__getitem__)
        places.update({vertex: float(place) for place, vertex in enumerate(row)})
    return ordered


def _places(rows: list[list[int]]) -> dict[int, float]:
    return {vertex: float(place) for row in rows for place, vertex in enumerate(row)}


def _point(grid: _Grid, places: dict[int, float], vertex: int, x: float) -> float:
    """Where in its row the end of a line is: the vertex's place, and a share for the point on its edge."""
    return places[vertex] + x / (grid.widths[vertex] + 1)


def _crossings(grid: _Grid, rows: list[list[int]]) -> int:
    """How many pairs of lines cross."""
    places = _places(rows)
    lines: list[list[tuple[float, float]]] = [[] for _ in rows]
    for joint in grid.joints:
        upper = _point(grid, places, joint.upper, joint.upper_x)
        lower = _point(grid, places, joint.lower, joint.lower_x)
        lines[grid.rank[joint.upper]].append((upper, lower))
    count = 0
    for between in lines:
        seen: list[float] = []
        for _, lower in sorted(between):
            count += len(seen) - bisect_right(seen, lower)
            insort(seen, lower)
    return count


# Places within the rows


def _placed(grid: _Grid, rows: list[list[int]]) -> list[float]:
    """The left end of each vertex, such that lines are upright where they can be."""
    lefts = [0.0] * len(grid.rank)
    for row in rows:
        _set_row(grid, row, lefts, [0.0] * len(row))
    for is_down in [*(True, False) * PASSES, True]:
        for row in rows if is_down else reversed(rows):
            _set_row(grid, row, lefts, [_wanted(grid, lefts, vertex, is_down=is_down) for vertex in row])
    for _ in range(2):
        _straighten(grid, rows, lefts)
    return lefts


def _wanted(grid: _Grid, lefts: list[float], vertex: int, *, is_down: bool) -> float:
    """Where a vertex would stand straight below (or above) what it is joined to; boxes heed boxes before rails."""
    ends = grid.ends(vertex, is_down=is_down)
    if not ends:
        return lefts[vertex]
    own = statistics.fmean(x for x, _, _ in ends)  # the middle of its ports: aligning one would push it aside
    heeded = [end for end in ends if end[1] not in grid.passing] or ends
    return statistics.median(lefts[other] + other_x for _, other, other_x in heeded) - own


def _set_row(grid: _Grid, row: list[int], lefts: list[float], wanted: list[float]) -> None:
    """Put a row's vertices as near as can be to where they want to be, in their order and without an overlap.

    Least squares by pooling adjacent violators: vertices that push each other become a block at their mean.
    """
    offsets = [0.0]  # of each vertex, from the first, when they stand as close as they may
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + grid.widths[left] + grid.gap(left, right))
    blocks: list[tuple[float, float, int]] = []  # mean, weight, count
    for vertex, place, offset in zip(row, wanted, offsets, strict=False):
        mean, weight, count = place - offset, 1.0 if vertex in grid.passing else STEADY, 1
        while blocks and blocks[-1][0] > mean:
            other, other_weight, other_count = blocks.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, count = weight + other_weight, count + other_count
        blocks.append((mean, weight, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    for vertex, mean, offset in zip(row, means, offsets, strict=False):
        lefts[vertex] = mean + offset


def _straighten(grid: _Grid, rows: list[list[int]], lefts: list[float]) -> None:
    """Make each rail upright over as many rows as its neighbours leave free."""
    neighbours = {
        vertex: (before, after)
        for row in rows
        for before, vertex, after in zip([-1, *row], row, [*row[1:], -1], strict=False)
    }
    for chain in grid.chains:
        run: list[int] = []
        low, high = float("-inf"), float("inf")
        for vertex in chain[1:]:
            before, after = neighbours[vertex]
            least = lefts[before] + grid.widths[before] + APART if before >= 0 else float("-inf")
            most = lefts[after] - APART if after >= 0 else float("inf")
            if max(low, least) > min(high, most):
                _align(run, lefts, low, high)
                run, low, high = [], least, most
            else:
                low, high = max(low, least), min(high, most)
            run.append(vertex)
        _align(run, lefts, low, high)


def _align(run: list[int], lefts: list[float], low: float, high: float) -> None:
    if run:
        place = min(max(statistics.median(lefts[vertex] for vertex in run), low), high)
        for vertex in run:
            lefts[vertex] = place
