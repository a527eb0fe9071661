"""``Thumbnails``: small pictures in a row, one of them chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import traitlets as t
from numpy.typing import NDArray

from interp_widgets.render.snapshot import png, reduced
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget

__all__ = ["Thumbnails"]


class Thumbnails(BrowserWidget):
    """A row of pictures; ``selected`` is the chosen one. Arrow keys walk, Tab leaves.

    >>> strip = Thumbnails()
    >>> strip.show([np.zeros((4, 4, 3), np.uint8)], ["black"])
    >>> strip.names
    ['black']
    """

    _text = module("thumbnails")

    images = t.List(t.Bytes(), help="PNG files").tag(sync=True)
    names = t.List(t.Unicode(), help="what each shows, as plain text").tag(sync=True)
    selected = t.Int(0, help="index of the chosen picture").tag(sync=True)
    size = t.Int(40, min=16, max=256, help="CSS pixels of the longer side").tag(sync=True)

    def show(self, pictures: Sequence[NDArray[np.uint8] | None], names: Sequence[str], selected: int = 0) -> None:
        """Show these ``(H, W, 3)`` uint8 pictures; ``None`` for an input that is no image."""
        with self.hold_sync():
            self.images = [b"" if picture is None else png(reduced(picture, 2 * self.size)) for picture in pictures]
            self.names = list(names)
            self.selected = selected
