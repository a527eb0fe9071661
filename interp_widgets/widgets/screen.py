"""``Screen``: what Explorer and Comparison have in common: how they are shown, saved as a picture, and closed."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Sequence
from threading import RLock, Timer
from typing import Any, Self

import ipywidgets as widgets
from IPython.display import Image as StillImage
from IPython.display import display, update_display

from interp_widgets.session.turn import TURN
from interp_widgets.widgets.kit.browser_widget import close_whole

__all__ = ["Screen"]

REST = 2.0  # s without a change, after which a saved notebook gets the present picture


class Screen(widgets.VBox):
    """Linked widgets that fill a cell.

    When a cell shows it, an output of its own follows with a still picture, so that the saved notebook shows something
    without a kernel. The page hides it as long as the widgets are there; it follows the state, two seconds behind.

    Args:
        children: the widgets.
        still: whether there is such an output.
    """

    _closed = True  # until it is made: ipywidgets closes what is half made, too

    def __init__(self, children: Sequence[widgets.Widget], *, still: bool = True) -> None:
        self._has_still = still
        self._timer: Timer | None = None  # one at a time, however often something changes during a drag
        self._due = 0.0  # when the still may be made anew, by the monotonic clock
        self._lock = RLock()
        self._is_shown = False
        super().__init__(children, layout={"width": "100%", "overflow": "hidden"})
        self.add_class("iw-explorer")

    # What a screen has to say

    def _png(self) -> bytes:
        """The present state as a PNG file, from what the widgets hold: the models need not be there any more."""
        raise NotImplementedError

    def _alt(self) -> str:
        """The same in words."""
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing is being computed; whether that was reached in ``timeout`` seconds."""
        raise NotImplementedError

    def _free(self) -> None:
        """Close what is no child: sessions, views, links."""

    # What a user asks of it

    def snapshot(self) -> StillImage:
        """A still picture of the present state, as an output of its own that needs no kernel."""
        return StillImage(data=self._png(), format="png", alt=self._alt())  # type: ignore[no-untyped-call]  # partly typed

    def close(self) -> None:
        """Free the traces and close every child widget. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self._free()
        for child in self.children:
            close_whole(child)
        self.layout.close()
        super().close()
        self.__dict__.pop("_repr_mimebundle_", None)  # ipywidgets puts None there

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # How it is shown and saved

    def _ipython_display_(self) -> None:
        found = self._repr_mimebundle_()
        data, metadata = found if isinstance(found, tuple) else (found, {})
        live = {kind: value for kind, value in data.items() if kind != "image/png"}  # the still is the only picture
        display(live, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]  # IPython has no types
        if self._has_still and not self._closed:
            display(self._still(), raw=True, display_id=self.model_id)  # type: ignore[no-untyped-call]
            self._is_shown = True
            self._changed()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if self._closed:
            return {"text/plain": repr(self)}
        found = super()._repr_mimebundle_(**options)
        data = found[0] if isinstance(found, tuple) else found
        if data is not None:
            data["image/png"] = self._png()
        return found

    def _still(self) -> dict[str, str]:
        """The picture with its text alternative."""
        picture, alt = base64.b64encode(self._png()).decode(), html.escape(self._alt())
        image = f'<img class="iw-still" alt="{alt}" style="max-width: 100%" src="data:image/png;base64,{picture}">'
        return {"text/html": image, "text/plain": self._alt()}

    def _changed(self, _change: object = None) -> None:
        """Make the still anew when nothing has changed for a while."""
        self._due = time.monotonic() + REST
        with self._lock:
            if self._is_shown and self._timer is None:
                self._start(REST)

    def _start(self, seconds: float) -> None:
        if not self._closed:
            self._timer = Timer(seconds, self._renew)
            self._timer.daemon = True
            self._timer.start()

    def _renew(self) -> None:
        rest = self._due - time.monotonic()
        if rest <= 0 and not self.wait(0):
            rest = REST
        with self._lock:
            self._timer = None
            if rest > 0:
                self._start(rest)
                return
        with TURN:
            if not self._closed:
                update_display(self._still(), raw=True, display_id=self.model_id)  # type: ignore[no-untyped-call]
