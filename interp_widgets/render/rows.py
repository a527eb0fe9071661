"""``arrange``: the boxes of one scope in rows, few crossings, straight lines (Sugiyama et al. 1981, without cycles)."""

from __future__ import annotations

import statistics
from bisect import bisect_right, insort
from functools import lru_cache
from itertools import pairwise

from interp_widgets.render.level import APART, Arranged, Grid, Level

__all__ = ["arrange"]

SWEEPS = 12  # over the rows, for an order with fewer crossings
PASSES = 4  # over the rows, down and up, for straight lines
STEADY = 1e9  # weight of a box against a rail's 1: rails give way


@lru_cache(maxsize=4096)
def arrange(level: Level) -> Arranged:
    """The layout of a scope; repeated blocks of a model are the same level, and are arranged once."""
    grid = Grid(level)
    rows = _ordered(grid)
    lefts = _placed(grid, rows)
    return grid.arranged(lefts)


# Order within the rows


def _ordered(grid: Grid) -> list[list[int]]:
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


def _swept(grid: Grid, rows: list[list[int]], *, is_down: bool) -> list[list[int]]:
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


def _point(grid: Grid, places: dict[int, float], vertex: int, x: float) -> float:
    """Where in its row the end of a line is: the vertex's place, and a share for the point on its edge."""
    return places[vertex] + x / (grid.widths[vertex] + 1)


def _crossings(grid: Grid, rows: list[list[int]]) -> int:
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


def _placed(grid: Grid, rows: list[list[int]]) -> list[float]:
    """The left end of each vertex, such that lines are upright where they can be."""
    lefts = [0.0] * len(grid.rank)
    for row in rows:
        _set_row(grid, row, lefts, [0.0] * len(row))
    for is_down in [*(True, False) * PASSES, True]:
        for row in rows if is_down else reversed(rows):
            _set_row(grid, row, lefts, [_wanted(grid, lefts, vertex, is_down=is_down) for vertex in row])
    for _ in range(2):
        _straighten(grid, rows, lefts)
    leaving = [port for port in grid.ports if port >= 0]
    if len(rows[0]) == len(leaving) == 1:
        lefts[rows[0][0]] = lefts[leaving[0]]  # so that a chain of scopes does not drift to one side
    return lefts


def _wanted(grid: Grid, lefts: list[float], vertex: int, *, is_down: bool) -> float:
    """Where a vertex would stand straight below (or above) what it is joined to; boxes heed boxes before rails."""
    ends = grid.ends(vertex, is_down=is_down)
    if not ends:
        return lefts[vertex]
    own = statistics.fmean(x for x, _, _ in ends)  # the middle of its ports: aligning one would push it aside
    heeded = [end for end in ends if end[1] not in grid.passing] or ends
    return statistics.median(lefts[other] + other_x for _, other, other_x in heeded) - own


def _set_row(grid: Grid, row: list[int], lefts: list[float], wanted: list[float]) -> None:
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


def _straighten(grid: Grid, rows: list[list[int]], lefts: list[float]) -> None:
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
