"""The order in which nodes are taken."""

from __future__ import annotations

from itertools import pairwise

import pytest

from interp_widgets.explainers.estimate import spread


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13, 32, 100])
def test_the_order_of_the_nodes_covers_all_of_them_once_and_evenly_from_the_start(count: int) -> None:
    order = spread(count)
    assert sorted(order) == list(range(count))
    for known in range(2, count + 1):
        seen = sorted(order[:known])
        widest = max(after - before for before, after in pairwise([*seen, count]))
        assert widest <= 4 * count / known
