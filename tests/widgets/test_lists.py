"""`Tiles`, `ClassList` and `LayerTree` without a browser: their state, and the sentences of their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from traitlets import TraitError

from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.class_list import ClassList
from interp_widgets.widgets.kit.layer_tree import LayerTree
from interp_widgets.widgets.kit.tiles import Tiles


def test_a_page_of_tiles_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = Tiles()
    sent: list[Any] = []
    monkeypatch.setattr(tiles, "_send", lambda message, buffers=None: sent.append((message, buffers)))
    tiles.show_tiles(np.full((2, 3, 4), 7, np.uint8), numbers=[9, 1], captions=["a", "b"], page=1, pages=3, offset=2)
    ((message, buffers),) = sent
    assert message["state"]["numbers"] == [9, 1]
    assert message["state"]["shape"] == (2, 3, 4)
    assert buffers == [bytes([7]) * 24]
    tiles.close()


def test_bars_replace_tiles() -> None:
    tiles = Tiles()
    tiles.show_tiles(np.zeros((1, 2, 2), np.uint8), numbers=[0])
    tiles.show_bars([0.5, -0.25], numbers=[4, 2], limit=2.0)
    assert (tiles.mode, tiles.values, tiles.numbers, tiles.data) == ("bars", [0.5, -0.25], [4, 2], b"")
    tiles.close()


def test_tiles_refuse_what_does_not_fit_together() -> None:
    tiles = Tiles()
    with pytest.raises(
        InputError, match=r"maps must be a uint8 array of shape \(n, height, width\), got float64 \(2, 2\)"
    ):
        tiles.show_tiles(np.zeros((2, 2)), numbers=[0, 1])
    with pytest.raises(InputError, match="2 channels need 2 numbers and 2 captions or none, got 1 and 0"):
        tiles.show_bars([0.1, 0.2], numbers=[0])
    with pytest.raises(InputError, match="values must be finite"):
        tiles.show_bars([float("nan")], numbers=[0])
    with pytest.raises(TraitError, match="table must be 768 bytes"):
        tiles.table = b""
    tiles.close()


def test_classes_are_replaced_as_a_whole() -> None:
    classes = ClassList()
    classes.show(["a", "b", "c"], [0.1, 0.2, 0.7], selected=2, markers=[1])
    assert classes.selected == 2
    np.testing.assert_allclose(classes.probabilities(), [0.1, 0.2, 0.7], rtol=1e-6)
    classes.show(["only"])
    assert (classes.selected, classes.scores, classes.markers) == (-1, b"", [])
    classes.close()


def test_classes_refuse_what_does_not_fit_together() -> None:
    classes = ClassList(names=["a", "b"])
    with pytest.raises(InputError, match="2 classes need as many probabilities, got 3"):
        classes.set_scores([0.1, 0.2, 0.7])
    with pytest.raises(TraitError, match=r"selected must be in -1\.\.1 \(there are 2 classes\), got 2"):
        classes.selected = 2
    with pytest.raises(TraitError, match="scores must be float32 values, 4 bytes each, got 3 bytes"):
        classes.scores = b"abc"
    classes.close()


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
