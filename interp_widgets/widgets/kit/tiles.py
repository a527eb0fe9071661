"""``Tiles``: one page of a layer's channels, as small pictures or, for layers without space, as bars.

Python decides which channels are on the page and in which order (their rank); the browser draws, selects, turns pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets as t
from numpy.typing import NDArray

from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait
from interp_widgets.words import say

__all__ = ["Tiles"]

_GREY = bytes(np.repeat(np.arange(256, dtype=np.uint8), 3))


class Tiles(BrowserWidget):
    """One page of channels; ``selected`` is the chosen channel's number, ``page`` the page asked for.

    Observe ``page`` and answer with ``show_tiles`` or ``show_bars``. Arrow keys walk through the tiles and over the
    page's edge; Page Up and Page Down turn it.

    >>> tiles = Tiles()
    >>> tiles.show_tiles(np.zeros((2, 4, 4), np.uint8), numbers=[17, 3], captions=["0.83", "0.41"], page=0, pages=1)
    >>> tiles.shape
    (2, 4, 4)
    """

    _text = module("tiles")

    mode = t.Enum(("tiles", "bars"), "tiles", help="small pictures, or bars for layers without space").tag(sync=True)
    data = t.Bytes(b"", help="n*h*w bytes: each map on its own 0..255").tag(sync=True)
    shape = t.Tuple(t.Int(), t.Int(), t.Int(), default_value=(0, 0, 0), help="(n, h, w) of data").tag(sync=True)
    numbers = t.List(t.Int(), help="channel numbers of this page, in order of rank").tag(sync=True)
    captions = t.List(t.Unicode(), help="a short text for each, e.g. its mean").tag(sync=True)
    details = t.List(t.Unicode(), help="the captions in full, for tooltips; empty: as they are").tag(sync=True)
    values = t.List(t.Float(), help="what the bars show").tag(sync=True)
    names = t.List(t.Unicode(), help="what the bars are called; empty: by their numbers").tag(sync=True)
    selected = t.Int(-1, help="the chosen channel's number").tag(sync=True)
    page = t.Int(0, min=0, help="the page shown, from 0").tag(sync=True)
    pages = t.Int(1, min=1, help="how many there are").tag(sync=True)
    offset = t.Int(0, min=0, help="rank of the page's first channel, from 0").tag(sync=True)
    measure = t.Unicode(help="what the captions are, for text alternatives").tag(sync=True)
    table = t.Bytes(_GREY, help="256 colours, RGB uint8: 768 bytes").tag(sync=True)
    smooth = t.Bool(True, help="interpolate between a map's cells").tag(sync=True)
    signed = t.Bool(False, help="bars: keep zero in the middle even when all values are positive").tag(sync=True)
    limit = t.Float(0.0, min=0.0, help="bars: value of the longest bar on all pages; 0: this page's own").tag(sync=True)
    columns = t.Int(8, min=1, help="tiles in a row").tag(sync=True)
    tile_size = t.Int(56, min=8, max=512, help="CSS pixels of a tile's longer side").tag(sync=True)
    fluid = t.Bool(False, help="tiles grow to fill the width that there is; columns is not heeded").tag(sync=True)
    alt = t.Unicode("", help="text alternative: whose channels these are").tag(sync=True)
    help = help_trait()

    def show_tiles(
        self,
        maps: NDArray[np.uint8],
        *,
        numbers: Sequence[int],
        captions: Sequence[str] = (),
        details: Sequence[str] = (),
        page: int = 0,
        pages: int = 1,
        offset: int = 0,
    ) -> None:
        """Show a page of maps ``(n, h, w)`` uint8, in one message; tooltips have ``details`` in place of captions.

        Raises:
            InputError: ``maps`` has another shape or type, or not as many entries as ``numbers``.
        """
        if maps.ndim != 3 or maps.dtype != np.uint8:
            raise InputError(
                say(
                    "maps must be a uint8 array of shape (n, height, width), got {dtype} {shape}",
                    dtype=maps.dtype,
                    shape=maps.shape,
                )
            )
        self._show(
            len(maps),
            numbers,
            captions,
            mode="tiles",
            data=np.ascontiguousarray(maps).tobytes(),
            shape=maps.shape,
            values=[],
            details=list(details),
            page=page,
            pages=pages,
            offset=offset,
        )

    def show_bars(
        self,
        values: Sequence[float],
        *,
        numbers: Sequence[int],
        captions: Sequence[str] = (),
        page: int = 0,
        pages: int = 1,
        offset: int = 0,
        limit: float = 0.0,
        names: Sequence[str] = (),
    ) -> None:
        """Show a page of values as bars, in one message. ``limit`` is the longest bar's value over all pages.

        Raises:
            InputError: a value is not finite, or there are not as many as ``numbers``.
        """
        if not np.isfinite(np.asarray(values, dtype=np.float64)).all():
            raise InputError(say("values must be finite, got NaN or infinity"))
        self._show(
            len(values),
            numbers,
            captions,
            mode="bars",
            data=b"",
            shape=(0, 0, 0),
            values=[float(v) for v in values],
            details=[],
            page=page,
            pages=pages,
            offset=offset,
            limit=limit,
            names=list(names),
        )

    def _show(self, count: int, numbers: Sequence[int], captions: Sequence[str], **traits: Any) -> None:
        if len(numbers) != count or len(captions) not in (0, count):
            raise InputError(
                say(
                    "{count} channels need {count} numbers and {count} captions or none, got {numbers} and {captions}",
                    count=count,
                    numbers=len(numbers),
                    captions=len(captions),
                )
            )
        with self.hold_sync():
            self.numbers = [int(number) for number in numbers]
            self.captions = list(captions)
            for name, value in traits.items():
                setattr(self, name, value)

    @t.default("measure")
    def _default_measure(self) -> str:
        return say("mean")

    @t.validate("table")
    def _validate_table(self, proposal: dict[str, Any]) -> bytes:
        value: bytes = proposal["value"]
        if len(value) != 768:
            raise t.TraitError(say("table must be 768 bytes (256 colours, RGB), got {count}", count=len(value)))
        return value
