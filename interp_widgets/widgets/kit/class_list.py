"""``ClassList``: class names with probability bars, to choose what is explained.

The browser sorts and searches; typing never waits for the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets as t
from numpy.typing import ArrayLike, NDArray

from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait
from interp_widgets.words import say

__all__ = ["ClassList"]


class ClassList(BrowserWidget):
    """Classes by falling probability; ``selected`` is the chosen class, ``follow`` whether it follows the prediction.

    >>> classes = ClassList(names=["cat", "dog"])
    >>> classes.set_scores([0.25, 0.75])
    >>> classes.probabilities().tolist()
    [0.25, 0.75]
    """

    _text = module("class_list")

    names = t.List(t.Unicode(), help="class names, shown as plain text").tag(sync=True)
    scores = t.Bytes(b"", help="probabilities in the order of names, float32 little-endian; empty: no bars").tag(
        sync=True
    )
    selected = t.Int(-1, min=-1, help="the chosen class; -1: none").tag(sync=True)
    follow = t.Bool(False, help="the check box 'follow the prediction'").tag(sync=True)
    query = t.Unicode("", help="what is typed into the search field").tag(sync=True)
    limit = t.Int(8, min=1, max=100, help="rows seen without scrolling").tag(sync=True)
    markers = t.List(t.Int(min=0), help="classes tagged as the true label").tag(sync=True)
    value = t.Unicode(
        "", help="the value of a model without classes, in words: nothing to count, search or follow"
    ).tag(sync=True)
    help = help_trait()

    def set_scores(self, probabilities: ArrayLike | None) -> None:
        """Show these probabilities, one per class; ``None`` takes the bars away.

        Raises:
            InputError: there are not as many as names.
        """
        if probabilities is None:
            self.scores = b""
            return
        values = np.asarray(probabilities, dtype="<f4").ravel()
        if len(values) != len(self.names):
            raise InputError(
                say("{count} classes need as many probabilities, got {got}", count=len(self.names), got=len(values))
            )
        self.scores = values.tobytes()

    def show(
        self,
        names: Sequence[str],
        probabilities: ArrayLike | None = None,
        *,
        selected: int = -1,
        markers: Sequence[int] = (),
    ) -> None:
        """Replace classes, probabilities and selection in one message."""
        with self.hold_sync():
            self.scores = b""
            self.selected = -1
            self.names = list(names)
            self.markers = list(markers)
            self.set_scores(probabilities)
            self.selected = selected

    def probabilities(self) -> NDArray[np.float32]:
        """The probabilities shown, one per class; empty when there are none."""
        return np.frombuffer(self.scores, dtype="<f4")

    @t.validate("selected")
    def _validate_selected(self, proposal: dict[str, Any]) -> int:
        value: int = proposal["value"]
        if self.names and value >= len(self.names):
            raise t.TraitError(
                say(
                    "selected must be in -1..{last} (there are {count} classes), got {value}",
                    last=len(self.names) - 1,
                    count=len(self.names),
                    value=value,
                )
            )
        return value

    @t.validate("scores")
    def _validate_scores(self, proposal: dict[str, Any]) -> bytes:
        value: bytes = proposal["value"]
        if len(value) % 4:
            raise t.TraitError(say("scores must be float32 values, 4 bytes each, got {count} bytes", count=len(value)))
        return value
