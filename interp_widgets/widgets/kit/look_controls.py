"""``LookControls``: where a map's colours end, its smoothing, the photo under it, opacity by strength."""

from __future__ import annotations

from dataclasses import fields, replace
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

    def offer_anew(self, usual: Look, reach: float) -> None:
        """Show the controls for more maps, with another usual look; what was chosen, other than usual, stays.

        >>> controls = LookControls()
        >>> controls.offer(Look(), 0.5)
        >>> controls.look = Look(smoothing=0.02)
        >>> controls.offer_anew(Look(photo="grey"), 0.5)
        >>> controls.look
        Look(percentile=99.0, limit=None, smoothing=0.02, photo='grey', by_strength=False)
        """
        names = [field.name for field in fields(Look)]
        chosen = {name: getattr(self.look, name) for name in names if self._differs(name)}
        with self.hold_sync():
            self.usual = usual
            self.look = replace(usual, **chosen)
            self.reach = reach

    def _differs(self, name: str) -> bool:
        return bool(getattr(self.look, name) != getattr(self.usual, name))

    @t.observe("look")
    def _remember(self, change: dict[str, Any]) -> None:
        self._chosen[self.usual] = change["new"]
