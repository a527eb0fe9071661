"""``LookControls``: where a map's colours end, its smoothing, the photo under it, opacity by strength."""

from __future__ import annotations

from typing import Any

import traitlets as t

from interp_widgets.render.look import Look
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.look_trait import look_trait

__all__ = ["LookControls"]


class LookControls(BrowserWidget):
    """A folded row that sets a ``Look``; a link in the browser carries it to a ``Picture``, without the kernel.

    What was chosen for maps of one kind is there again when a map of that kind is shown.

    >>> controls = LookControls()
    >>> controls.offer(Look(smoothing=0.01), 0.5)
    >>> controls.look
    Look(percentile=99.0, limit=None, smoothing=0.01, photo='colour', by_strength=False)
    """

    _text = module("look_controls")

    look = look_trait()
    usual = look_trait()
    reach = t.Float(1.0, help="where colours end now: a value to begin with").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._chosen: dict[Look, Look] = {}  # by the usual look of the maps it was chosen for
        super().__init__(**traits)

    def offer(self, usual: Look, reach: float) -> None:
        """Show the controls for maps with this usual look, at what was chosen for them before.

        Args:
            reach: where colours end in this look.
        """
        with self.hold_sync():
            self.usual = usual
            self.look = self._chosen.get(usual, usual)
            self.reach = reach

    @t.observe("look")
    def _remember(self, change: dict[str, Any]) -> None:
        self._chosen[self.usual] = change["new"]
