"""``ImageTaker``: a widget on which a user can drop or paste an image of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interp_widgets.widgets.kit.browser_widget import BrowserWidget

__all__ = ["ImageTaker"]


class ImageTaker(BrowserWidget):
    """Hears of the images that ``images.js`` sends."""

    def __init__(self, **traits: Any) -> None:
        self._image_callbacks: list[Callable[[str, bytes | None], object]] = []
        super().__init__(**traits)
        self.on_msg(self._receive_image)

    def on_image(self, callback: Callable[[str, bytes | None], object]) -> None:
        """Call ``callback(name, content)`` with each file; without content where it is too large to be sent."""
        self._image_callbacks.append(callback)

    def _receive_image(self, _widget: Any, content: dict[str, Any], buffers: Any) -> None:
        if content.get("type") != "image":
            return
        file = bytes(buffers[0]) if buffers else None
        for callback in tuple(self._image_callbacks):
            callback(str(content.get("name", "")), file)

    def close(self) -> None:
        """Close the widget."""
        self._image_callbacks.clear()
        super().close()
