"""``Thumbnails``: small pictures in a row, one of them chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets as t
from numpy.typing import NDArray

from interp_widgets.render.snapshot import png, reduced
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait

__all__ = ["Thumbnails"]


class Thumbnails(BrowserWidget):
    """A row of pictures; ``selected`` is the chosen one. Arrow keys walk, Delete asks to remove it, Tab leaves.

    ``show`` gives all pictures at once; after ``expect`` the browser asks for each one (``on_need``) when it comes into
    sight, and ``put`` answers.

    >>> strip = Thumbnails()
    >>> strip.show([np.zeros((4, 4, 3), np.uint8)], ["black"])
    >>> strip.names
    ['black']
    """

    _text = module("thumbnails")

    images = t.List(t.Bytes(), help="PNG files; empty: not here yet, or no image").tag(sync=True)
    names = t.List(t.Unicode(), help="what each shows, as plain text").tag(sync=True)
    numbers = t.List(t.Int(), help="what stands where there is no picture").tag(sync=True)
    removable = t.Bool(False, help="whether the Delete key and a small cross ask to remove a picture").tag(sync=True)
    selected = t.Int(0, help="index of the chosen picture").tag(sync=True)
    size = t.Int(40, min=16, max=256, help="CSS pixels of the longer side").tag(sync=True)
    help = help_trait()

    def __init__(self, **traits: Any) -> None:
        self._need_callbacks: list[Callable[[list[int]], object]] = []
        self._remove_callbacks: list[Callable[[int], object]] = []
        super().__init__(**traits)
        self.on_msg(self._receive)

    def expect(self, names: Sequence[str], selected: int = 0, *, numbers: Sequence[int] | None = None) -> None:
        """Show a place for each name; pictures that are there already, of the same name and number, stay.

        Args:
            numbers: what stands in each place until its picture comes; by default its position, from 1.
        """
        numbered = range(1, len(names) + 1) if numbers is None else numbers
        held = dict(zip(zip(self.numbers, self.names, strict=True), self.images, strict=True))
        with self.hold_sync():
            self.images = [held.get(each, b"") for each in zip(numbered, names, strict=True)]
            self.numbers = [*numbered]
            self.names = [*names]
            self.selected = selected

    def put(self, place: int, picture: NDArray[np.uint8] | None) -> None:
        """Show one picture, sent by itself; ``None`` for an input that is no image."""
        if place >= len(self.images):
            return
        image = b"" if picture is None else png(reduced(picture, 2 * self.size))
        # a page that is here is sent this picture alone; one that comes later reads the trait
        self._trait_values["images"] = [*self.images[:place], image, *self.images[place + 1 :]]
        self._send_image(place)

    def on_need(self, callback: Callable[[list[int]], object]) -> None:
        """Call ``callback(places)`` when pictures that are not here have come into sight."""
        self._need_callbacks.append(callback)

    def on_remove(self, callback: Callable[[int], object]) -> None:
        """Call ``callback(place)`` when somebody wants a picture away."""
        self._remove_callbacks.append(callback)

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        kind = content.get("type")
        if kind == "need":
            self._answer([place for place in content["places"] if 0 <= place < len(self.images)])
        elif kind == "remove" and self.removable and 0 <= content["place"] < len(self.images):
            for callback in tuple(self._remove_callbacks):
                callback(content["place"])

    def _answer(self, places: Sequence[int]) -> None:
        """Send the pictures that are here, ask for the others."""
        for place in places:
            if self.images[place]:
                self._send_image(place)
        missing = [place for place in places if not self.images[place]]
        for callback in tuple(self._need_callbacks):
            callback(missing)

    def _send_image(self, place: int) -> None:
        self.send({"type": "image", "place": place}, buffers=[self.images[place]])

    def show(self, pictures: Sequence[NDArray[np.uint8] | None], names: Sequence[str], selected: int = 0) -> None:
        """Show these ``(H, W, 3)`` uint8 pictures; ``None`` for an input that is no image."""
        with self.hold_sync():
            self.images = [b"" if picture is None else png(reduced(picture, 2 * self.size)) for picture in pictures]
            self.numbers = list(range(1, len(pictures) + 1))
            self.names = list(names)
            self.selected = selected
