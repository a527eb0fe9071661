"""``ImageSource``: a button that brings an image of one's own."""

from __future__ import annotations

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.image_taker import ImageTaker

__all__ = ["ImageSource"]


class ImageSource(ImageTaker):
    """Choose a file, drop it on the button, or paste it there; ``on_image`` hears of it."""

    _text = module("image_source")
