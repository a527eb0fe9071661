"""`LayerTree` without a browser: what is no tree is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets import TraitError

from interp_widgets.widgets.kit.layer_tree import LayerTree

NODE = {"path": "a", "parent": -1, "name": "a", "kind": "Conv2d", "shape": "", "parameters": 0, "layer": 0}


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        ([{"path": "a"}], r"nodes\[0\] needs 'parent' \(int\), got None"),
        ([NODE | {"shape": (3, 4)}], r"nodes\[0\] needs 'shape' \(str\), got \(3, 4\)"),
        ([NODE | {"parent": 0}], r"must be -1 or the index of a node before it, got 0"),
        ([NODE, NODE], r"nodes\[1\]\['path'\] must be unique, got 'a' twice"),
    ],
)
def test_a_tree_that_is_none_is_refused_in_words(nodes: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(TraitError, match=sentence):
        LayerTree(nodes=nodes)
