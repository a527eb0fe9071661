"""``Picture``: an image with one of many maps over it, drawn by the browser.

The browser holds the image, the colour table and a stack of *frames*: maps at the layer's resolution, one byte per
value (or four: float32, where the values are to be read and their range is to be chosen), each under a key
``(row, column)``. Choosing another key, opacity, look or table redraws without the kernel.

How frames travel. The trait ``frames`` is the whole stack, and every new front end (page reload, second window, saved
notebook) gets it. A front end that is already there is only sent what was added and dropped, in one message with one
binary buffer. Each message names the revision it builds on; a front end that missed one says ``hello`` with the
revision it has and is sent the whole trait. Until the first ``hello`` nobody is known to listen: the trait is sent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import traitlets as t
from numpy.typing import ArrayLike, NDArray

from interp_widgets.errors import InputError
from interp_widgets.render.blend import enlarge, grid_factor, render_pixels
from interp_widgets.render.look import Display
from interp_widgets.session.turn import TURN
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.frame import Frame, block, framed
from interp_widgets.widgets.kit.image_taker import ImageTaker
from interp_widgets.widgets.kit.look_trait import look_trait
from interp_widgets.words import say

__all__ = ["Picture"]

_GREY = bytes(np.repeat(np.arange(256, dtype=np.uint8), 3))


class _Stack(t.TraitType[dict[str, Any], dict[str, Any]]):
    """The trait ``frames``: put together from the widget's frames when somebody reads it."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        return obj.stack() if isinstance(obj, Picture) else super().get(obj, cls)


class Picture(ImageTaker):
    """A base image with the map ``(row, column)`` over it.

    Values are interpolated first and coloured afterwards; ``interp_widgets.render.blend.render_pixels`` says how, and
    ``as_array`` computes the same pixels in Python.

    >>> picture = Picture(base=bytes(2 * 2 * 3), base_size=(2, 2), size=32, opacity=1.0)
    >>> picture.put(0, 0, [[0.0, 1.0]])
    >>> picture.as_array().shape
    (32, 32, 3)
    """

    _text = module("picture")

    base = t.Bytes(b"", help="the image, RGB uint8, row by row; empty: the map alone is drawn, opaque").tag(sync=True)
    base_size = t.Tuple(t.Int(), t.Int(), default_value=(0, 0), help="(width, height) of the base").tag(sync=True)
    row = t.Int(0, help="which frame: first part of its key (a layer, a class)").tag(sync=True)
    column = t.Int(0, help="which frame: second part of its key (a channel)").tag(sync=True)
    opacity = t.Float(0.6, min=0.0, max=1.0, help="of the map over the base, 0..1").tag(sync=True)
    look = look_trait(percentile=100)
    colormap = t.Unicode("gray", help="name of the colour table, for text alternatives").tag(sync=True)
    table = t.Bytes(_GREY, help="256 colours, RGB uint8: 768 bytes").tag(sync=True)
    signed = t.Bool(False, help="colours are symmetric around 0").tag(sync=True)
    smooth = t.Bool(True, help="interpolate between the map's cells; False: show the cells").tag(sync=True)
    view = t.Enum(("overlay", "map", "base"), "overlay", help="what is drawn").tag(sync=True)
    size = t.Int(320, min=16, max=2048, help="CSS pixels of the longer side").tag(sync=True)
    fluid = t.Bool(False, help="as wide as there is room, no higher than --iw-room; False: ``size``").tag(sync=True)
    accepts = t.Bool(False, help="an image may be dropped or pasted here: ``on_image``").tag(sync=True)
    label = t.Unicode("", help="caption, plain text").tag(sync=True)
    alt = t.Unicode("", help="text alternative: what the picture shows").tag(sync=True)
    busy = t.Bool(False, help="say 'computing…' after 100 ms").tag(sync=True)
    doing = t.Unicode("", help="said in place of 'computing…', and in place of ``alt``: what it is").tag(sync=True)
    units = t.Unicode("", help="unit at the colour bar").tag(sync=True)
    colorbar = t.Bool(True, help="show the colour bar").tag(sync=True)
    noted = t.Bool(False, help="say below the colour bar what the look does").tag(sync=True)
    cursor = t.Tuple(
        t.Float(), t.Float(), default_value=(-1.0, -1.0), help="crosshair, x and y in 0..1; (-1, -1): none"
    ).tag(sync=True)
    frames = _Stack(read_only=True, help="all frames, for a front end that has none").tag(sync=True)
    byte_limit = t.Int(8_000_000, min=1, help="frames used longest ago are dropped above this many bytes")

    def __init__(self, **traits: Any) -> None:
        self._frames: OrderedDict[tuple[int, int], Frame] = OrderedDict()
        self._revision = 0
        self._greeted = False
        self._need_callbacks: list[Callable[[int, int], object]] = []
        super().__init__(**traits)
        self.on_msg(self._receive)

    def set_base(self, image: NDArray[np.uint8]) -> None:
        """Show another base: ``(H, W, 3)`` uint8, sent in one message with its size.

        Raises:
            InputError: the image has another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise InputError(
                say(
                    "base must be a uint8 array of shape (height, width, 3), got {dtype} {shape}",
                    dtype=image.dtype,
                    shape=image.shape,
                )
            )
        with self.hold_sync():
            self.base_size = (image.shape[1], image.shape[0])
            self.base = np.ascontiguousarray(image).tobytes()

    def put(
        self,
        row: int,
        column: int,
        array: ArrayLike,
        *,
        lo: float | None = None,
        hi: float | None = None,
        exact: bool = False,
    ) -> None:
        """Hold ``array`` ``(h, w)`` as the frame ``(row, column)``, quantised to 256 steps over ``lo..hi``.

        ``lo`` and ``hi`` default to the array's own extremes. A uint8 array with both given is taken as it is.
        ``exact`` keeps the values in float32: for a look whose colours span a small part of the range.
        Many frames are sent much cheaper by one ``put_many``.
        """
        self.put_many([(row, column, array)], lo=lo, hi=hi, exact=exact)

    def put_many(
        self,
        frames: Iterable[tuple[int, int, ArrayLike]],
        *,
        lo: float | None = None,
        hi: float | None = None,
        exact: bool = False,
    ) -> None:
        """Hold many frames ``(row, column, array)`` and send them in one message.

        Raises:
            InputError: an array is not a finite ``(h, w)`` map, or larger than ``byte_limit``.
        """
        added = {}
        for row, column, array in frames:
            name = say("frame ({row}, {column})", row=row, column=column)
            added[int(row), int(column)] = framed(
                np.asarray(array), (lo, hi), exact=exact, name=name, limit=self.byte_limit
            )
        if not added:
            return
        with TURN:
            for key, frame in added.items():
                self._frames[key] = frame
                self._frames.move_to_end(key)
            dropped = self._trim()
            kept = {key: frame for key, frame in added.items() if key in self._frames}
            self._announce(kept, dropped)

    def clear(self, rows: Iterable[int] | None = None) -> None:
        """Forget all frames, or those of some rows."""
        wanted = None if rows is None else set(rows)
        with TURN:
            dropped = [key for key in self._frames if wanted is None or key[0] in wanted]
            for key in dropped:
                del self._frames[key]
            if dropped:
                self._announce({}, dropped)

    def drop(self, row: int, column: int) -> None:
        """Forget the frame ``(row, column)``, where it is held."""
        with TURN:
            if self._frames.pop((row, column), None) is not None:
                self._announce({}, [(row, column)])

    def has(self, row: int, column: int) -> bool:
        """Whether the frame ``(row, column)`` is held."""
        return (row, column) in self._frames

    def resolution(self, row: int, column: int) -> tuple[int, int] | None:
        """Height and width of the frame ``(row, column)``, ``None`` when it is not held."""
        frame = self._frames.get((row, column))
        return None if frame is None else (frame.height, frame.width)

    @property
    def nbytes(self) -> int:
        """Bytes of all held frames."""
        return sum(len(frame.data) for frame in self._frames.values())

    def on_need(self, callback: Callable[[int, int], object], *, remove: bool = False) -> None:
        """Call ``callback(row, column)`` when the browser wants a frame that it does not have (once for each)."""
        if remove:
            self._need_callbacks.remove(callback)
        else:
            self._need_callbacks.append(callback)

    def stack(self) -> dict[str, Any]:
        """All frames as the trait ``frames`` holds them: one block with one buffer."""
        with TURN:
            # the revision last: the browser compares old and new from the end, and need not look at the bytes
            return {"blocks": [block(self._frames)] if self._frames else [], "revision": self._revision}

    def as_array(self) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8: the pixels shown now; without the chosen frame the base alone, without either white."""
        frame = None if self.view == "base" else self._frames.get((self.row, self.column))
        width, height = self.base_size
        if not (width and height):
            width, height = (frame.width, frame.height) if frame else (1, 1)
        factor = grid_factor(width, height, self.size)
        has_base = self.view != "map" and len(self.base) == 3 * width * height
        if has_base:
            base = enlarge(np.frombuffer(self.base, dtype=np.uint8).reshape(height, width, 3), factor)
        else:
            base = np.full((height * factor, width * factor, 3), 255, dtype=np.uint8)
        if frame is None:
            return base
        table = np.frombuffer(self.table, dtype=np.uint8).reshape(256, 3)
        display = self._displayed(frame)
        if has_base:
            return display.over(base, table, self.opacity, smooth=self.smooth)
        return render_pixels(base, display.values, table, display.low, display.high, smooth=self.smooth)

    @property
    def note(self) -> str:
        """What the look does to the frame shown, in words; empty when no frame is."""
        frame = None if self.view == "base" else self._frames.get((self.row, self.column))
        return "" if frame is None else self._displayed(frame).note

    def _displayed(self, frame: Frame) -> Display:
        return self.look.applied_to(frame.values(), signed=self.signed, ends=(frame.lo, frame.hi))

    def close(self) -> None:
        """Close the widget and free its frames."""
        self._frames.clear()
        self._need_callbacks.clear()
        super().close()

    @t.validate("table")
    def _validate_table(self, proposal: dict[str, Any]) -> bytes:
        value: bytes = proposal["value"]
        if len(value) != 768:
            raise t.TraitError(say("table must be 768 bytes (256 colours, RGB), got {count}", count=len(value)))
        return value

    @t.validate("base_size")
    def _validate_base_size(self, proposal: dict[str, Any]) -> tuple[int, int]:
        value: tuple[int, int] = proposal["value"]
        if min(value) < 0:
            raise t.TraitError(say("base_size must be (width, height), both 0 or more, got {value}", value=value))
        return value

    @t.observe("row", "column")
    def _use(self, _change: dict[str, Any]) -> None:
        with TURN:
            if (self.row, self.column) in self._frames:
                self._frames.move_to_end((self.row, self.column))

    def _trim(self) -> list[tuple[int, int]]:
        """Drop the frames used longest ago, but not the one shown, until the rest fits; their keys."""
        dropped = []
        total = self.nbytes
        shown = (self.row, self.column)
        oldest_first = [key for key in self._frames if key != shown]
        for key in oldest_first:
            if total <= self.byte_limit:
                break
            total -= len(self._frames.pop(key).data)
            dropped.append(key)
        return dropped

    def _announce(self, added: dict[tuple[int, int], Frame], dropped: list[tuple[int, int]]) -> None:
        """Send what was added and dropped to the browser; everything to one that has not said what it holds."""
        before = self._revision
        self._revision += 1
        if not self._greeted:
            self.send_state("frames")
            return
        sent = block(added)
        message = {
            "type": "frames",
            "since": before,
            "revision": self._revision,
            "index": sent["index"],
            "drop": dropped,
        }
        self.send(message, buffers=[sent["data"]])

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        kind = content.get("type")
        if kind == "hello":
            self._greet(content["revision"])
        elif kind == "need":
            self._ask(int(content["row"]), int(content["column"]))

    def _greet(self, revision: int) -> None:
        """A browser says which revision of the frames it holds."""
        with TURN:
            self._greeted = True
            if revision != self._revision:
                self.send_state("frames")

    def _ask(self, row: int, column: int) -> None:
        """A browser wants a frame; it may be here by now, when the question crossed it on the way."""
        if self.has(row, column):
            return
        for callback in tuple(self._need_callbacks):
            callback(row, column)
