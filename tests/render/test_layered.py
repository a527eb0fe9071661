"""The layered layout, checked by its geometry: nothing overlaps, no line crosses what it does not concern."""

from __future__ import annotations

import random
import time
from itertools import combinations, pairwise

import pytest

from interp_widgets.render.layered import Box, layered
from tests.render.geometry import check


def small(count: int, parent: int = -1) -> list[Box]:
    return [Box(100, 30, parent) for _ in range(count)]


def test_a_chain_is_one_straight_line() -> None:
    boxes, links = small(4), [(0, 1), (1, 2), (2, 3)]
    layout = layered(boxes, links)
    check(boxes, links, layout)
    assert {rectangle.x for rectangle in layout.rectangles} == {layout.rectangles[0].x}
    assert all(len(route) == 2 for route in layout.routes)


def test_a_residual_runs_beside_the_branch_that_stays_straight() -> None:
    boxes, links = small(4), [(0, 1), (1, 2), (2, 3), (0, 3)]
    layout = layered(boxes, links)
    check(boxes, links, layout)
    assert {rectangle.x for rectangle in layout.rectangles} == {layout.rectangles[0].x}
    beside = [x for x, y in layout.routes[3][1:-1] if y > layout.rectangles[1].y]
    assert len(set(beside)) == 1, "upright past both boxes"


def test_a_line_past_boxes_of_different_widths_is_upright() -> None:
    boxes = [Box(width, 30) for width in (100, 60, 160, 100, 100)]
    links = [*pairwise(range(5)), (0, 4)]
    layout = layered(boxes, links)
    check(boxes, links, layout)
    assert len({x for x, y in layout.routes[-1] if layout.rectangles[1].y <= y < layout.rectangles[4].y}) == 1


def test_a_residual_into_a_scope_enters_through_a_port() -> None:
    boxes = [*small(1), Box(60, 20, is_open=True), *small(3, parent=1), *small(1)]
    links = [(0, 2), (2, 3), (3, 4), (0, 4), (4, 5), (0, 5)]
    layout = layered(boxes, links)
    check(boxes, links, layout)
    scope = layout.rectangles[1]
    assert [x for x, y in layout.routes[0] if y == scope.y] == [x for x, y in layout.routes[3] if y == scope.y], (
        "one port for one tensor"
    )


def test_lines_of_one_source_share_their_way() -> None:
    count = 24
    boxes = small(count)
    links = list(combinations(range(count), 2))
    layout = layered(boxes, links)
    check(boxes, links, layout)
    assert layout.width < 100 + count * 14 + 60, "a lane for each source, not one for each line"


def test_repeated_blocks_look_the_same() -> None:
    boxes, links, last = small(1), [], 0
    for _ in range(5):
        place = len(boxes)
        boxes += [Box(60, 20, is_open=True), *small(3, parent=place)]
        links += [(last, place + 1), (place + 1, place + 2), (place + 2, place + 3), (last, place + 3)]
        last = place + 3
    layout = layered(boxes, links)
    check(boxes, links, layout)
    blocks = [layout.rectangles[place : place + 4] for place in range(1, len(boxes), 4)]
    shapes = {tuple((round(each.x - block[0].x, 1), each.y - block[0].y) for each in block) for block in blocks}
    assert len(shapes) == 1
    assert len({block[0].x for block in blocks}) == 1, "a chain of blocks does not drift"


def test_blocks_with_two_branches_stand_below_each_other() -> None:
    boxes, links, last = small(1), [], 0
    for _ in range(3):  # a branch of two boxes, and a wide one beside it, joined by the last
        place = len(boxes)
        boxes += [Box(60, 20, is_open=True), *small(1, place), Box(200, 30, place), *small(2, place)]
        one, wide, two, joined = range(place + 1, place + 5)
        links += [(last, one), (last, wide), (one, two), (two, joined), (wide, joined)]
        last = joined
    links.append((last, len(boxes)))
    boxes += small(1)
    layout = layered(boxes, links)
    check(boxes, links, layout)
    assert len({layout.rectangles[place].x for place in range(1, len(boxes) - 1, 5)}) == 1


def test_crossings_that_need_not_be_are_undone() -> None:
    boxes, links = small(6), [(0, 5), (1, 4), (2, 3)]  # in the order of the boxes each crosses the others
    layout = layered(boxes, links)
    check(boxes, links, layout)
    assert all(route[0][0] == route[-1][0] for route in layout.routes)


def test_boxes_without_lines_and_no_boxes_at_all_have_a_layout() -> None:
    check(small(3), [], layered(small(3), []))
    layout = layered([], [])
    assert (layout.rectangles, layout.routes) == ((), ())
    boxes = [Box(300, 20, is_open=True), *small(1, parent=0)]
    layout = layered(boxes, [])
    check(boxes, [], layout)
    assert layout.rectangles[0].width >= 300, "room for its name"


def nested(seed: int) -> tuple[list[Box], list[tuple[int, int]]]:
    """Random scopes in scopes with random lines."""
    chance = random.Random(seed)
    boxes: list[Box] = []
    leaves: list[int] = []

    def fill(parent: int, depth: int) -> None:
        for _ in range(chance.randint(1, 5)):
            if depth < 3 and chance.random() < 0.4:
                boxes.append(Box(chance.choice((40, 200)), 20, parent, is_open=True))
                fill(len(boxes) - 1, depth + 1)
            else:
                leaves.append(len(boxes))
                boxes.append(Box(chance.choice((60, 100, 160)), chance.choice((20, 40)), parent))

    fill(-1, 0)
    every = list(combinations(leaves, 2))
    links = [link for link in every if chance.random() < min(0.9, 2 * len(leaves) / max(1, len(every)))]
    return boxes, links


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_graph_nothing_overlaps_and_no_line_crosses_a_box(seed: int) -> None:
    boxes, links = nested(seed)
    layout = layered(boxes, links)
    check(boxes, links, layout)
    assert layout == layered(boxes, links), "the same each time"


@pytest.mark.slow
def test_a_chain_of_5000_boxes_takes_seconds_at_most() -> None:
    boxes = small(5000)
    start = time.process_time()
    layout = layered(boxes, list(pairwise(range(5000))))
    assert time.process_time() - start < 5  # about a tenth of that on an idle machine
    assert len({rectangle.x for rectangle in layout.rectangles}) == 1
