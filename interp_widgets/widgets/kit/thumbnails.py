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
    """A row of pictures; ``selected`` is the chosen one. Arrow keys walk, Tab leaves.

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
    selected = t.Int(0, help="index of the chosen picture").tag(sync=True)
    size = t.Int(40, min=16, max=256, help="CSS pixels of the longer side").tag(sync=True)
    help = help_trait()

    def __init__(self, **traits: Any) -> None:
        self._need_callbacks: list[Callable[[list[int]], object]] = []
        super().__init__(**traits)
        self.on_msg(self._receive)

    def expect(self, names: Sequence[str], selected: int = 0) -> None:
        """Show a place for each name; pictures that are there already stay."""
        with self.hold_sync():
            kept = self.images[: len(names)] if self.names[: len(self.images)] == [*names][: len(self.images)] else []
            self.images = [*kept, *[b""] * (len(names) - len(kept))]
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

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("type") != "need":
            return
        places = [place for place in content["places"] if 0 <= place < len(self.images)]
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
            self.names = list(names)
            self.selected = selected
