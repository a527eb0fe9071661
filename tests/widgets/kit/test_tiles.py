"""`Tiles` without a browser: its state, and the sentences of its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from traitlets import TraitError

from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.figures import figures
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
    tiles.show_tiles(np.zeros((1, 2, 2), np.uint8), numbers=[0], captions=["0.5"], details=["0.512345"])
    assert tiles.details == ["0.512345"]
    tiles.show_bars([0.5, -0.25], numbers=[4, 2], limit=2.0)
    assert (tiles.mode, tiles.values, tiles.numbers, tiles.data) == ("bars", [0.5, -0.25], [4, 2], b"")
    assert tiles.details == []
    tiles.close()


@pytest.mark.parametrize(
    ("value", "digits", "words"),
    [
        (-0.0000123456, 3, "-1.23e-5"),
        (-0.0000123456, 2, "-1.2e-5"),
        (0.000123456, 3, "0.000123"),
        (12345.6, 3, "12346"),
        (123456.0, 3, "1.23e5"),
        (999.4, 3, "999"),
        (4.98765432, 6, "4.98765"),
        (0.0, 3, "0"),
        (float("nan"), 3, "nan"),
    ],
)
def test_figures_take_as_few_letters_as_they_can(value: float, digits: int, words: str) -> None:
    assert figures(value, digits) == words


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
