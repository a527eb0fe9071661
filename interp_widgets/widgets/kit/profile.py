"""``Profile``: the distribution of each layer's values through depth, as boxes; the browser draws and chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import traitlets as t

from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait
from interp_widgets.words import say

__all__ = ["Profile"]

QUANTILES = 5  # of a box: at 5, 25, 50, 75 and 95 %


class Profile(BrowserWidget):
    """Boxes of layers in execution order; ``selected`` is the name of the chosen one.

    >>> profile = Profile()
    >>> profile.show(["conv", "relu"], [[-2, -1, 0, 1, 2], []], [0.1, None])
    >>> profile.boxes
    [[-2.0, -1.0, 0.0, 1.0, 2.0], []]
    """

    _text = module("profile")

    names = t.List(t.Unicode(), help="of the layers, in execution order").tag(sync=True)
    boxes = t.List(t.List(t.Float()), help="quantiles at 5, 25, 50, 75 and 95 %; empty: no value").tag(sync=True)
    means = t.List(t.Float(allow_none=True), help="a dot for each box").tag(sync=True)
    norms = t.List(t.Float(allow_none=True), help="of gradients, below the boxes; empty: none").tag(sync=True)
    selected = t.Unicode("", help="the chosen layer's name; empty, or of no layer: none").tag(sync=True)
    log = t.Bool(False, help="a scale of values that is logarithmic on both sides of zero").tag(sync=True)
    label = t.Unicode("", help="what it is, for screen readers").tag(sync=True)
    help = help_trait()

    def show(
        self,
        names: Sequence[str],
        boxes: Sequence[Sequence[float]],
        means: Sequence[float | None],
        norms: Sequence[float | None] = (),
    ) -> None:
        """Replace all layers in one message.

        Raises:
            InputError: there is not one box and one mean for each name, or a box is not five numbers.
        """
        counts = {len(names), len(boxes), len(means), len(norms) or len(names)}
        if len(counts) > 1 or any(len(box) not in (0, QUANTILES) for box in boxes):
            raise InputError(
                say(
                    "{count} layers need a box of five quantiles, or an empty one, and a mean each, got {boxes} boxes "
                    "and {means} means",
                    count=len(names),
                    boxes=len(boxes),
                    means=len(means),
                )
            )
        state: dict[str, Any] = {"names": names, "boxes": boxes, "means": means, "norms": norms}
        with self.hold_sync():
            for name, value in state.items():
                setattr(self, name, list(value))
