"""``Outputs``: what the model said: class scores, probabilities, the prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from interp_widgets.errors import TargetError
from interp_widgets.trace.axes.axes import Axes
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.values import map_structure
from interp_widgets.words import say

__all__ = ["Outputs"]


class Outputs:
    """The output of a recorded pass; all that a ``Target`` asks of a recording (``target.Recorded``).

    Args:
        output: what the model returned, its tensors detached.
        sites: the site of each returned tensor, by its path in the output.
        logits: the site of the class scores before a final softmax, ``None`` without any.
        class_names: one per class.
    """

    def __init__(
        self,
        tape: Tape,
        axes: Axes,
        *,
        output: Any,
        sites: Mapping[str, str],
        logits: str | None,
        class_names: tuple[str, ...] | None,
    ) -> None:
        self.sites = sites
        self.class_names = class_names
        self._tape = tape
        self._axes = axes
        self._output = output
        self._logits = logits

    @property
    def output(self) -> Any:
        """What the model returned."""
        self._tape.check_open()
        return self._output

    @property
    def has_classes(self) -> bool:
        """Whether the output has a tensor of class scores."""
        return self._logits is not None

    @property
    def logits_site(self) -> str:
        """Name of the site of the class scores; see ``Trace.logits_site``."""
        if self._logits is None:
            raise TargetError(
                say(
                    "the model's output has no tensor of class scores, so a class cannot be the target: "
                    "give target_output= to record, or a function of the output as target"
                )
            )
        return self._logits

    @property
    def class_count(self) -> int:
        """Number of classes."""
        shape = self._tape.site(self.logits_site).shape
        return shape[1] if len(shape) > 1 else (shape[0] if shape else 1)

    @property
    def logits(self) -> torch.Tensor:
        """The class scores, ``(N, K)`` or ``(N, K, ...)``."""
        return self._tape.value(self._tape.site(self.logits_site).index, self.logits_site)

    @property
    def probabilities(self) -> torch.Tensor:
        """Probability of each class for each input, ``(N, K)``; see ``Trace.probabilities``."""
        logits = self.logits.float()
        if logits.ndim <= 1:
            logits = logits.reshape(1, -1)
        if logits.shape[1] == 1:
            return logits.sigmoid().reshape(logits.shape[0], 1, -1).mean(dim=2)
        return logits.softmax(dim=1).reshape(*logits.shape[:2], -1).mean(dim=2)

    @property
    def prediction(self) -> int:
        """The likeliest class for the first input."""
        return int(self.probabilities[0].argmax())

    def channel_axis(self, layer: str) -> int:
        """The axis that counts a site's channels."""
        return self._axes.channel_axis(layer)

    def has_rows(self, layer: str) -> bool:
        """Whether the first axis of a layer or input counts the examples."""
        return self._axes.has_rows(layer)

    def map_output(self, value: Callable[[str], torch.Tensor]) -> Any:
        """What the model returned, with ``value(site)`` in place of each of its tensors."""
        names = iter(self.sites.values())
        return map_structure(lambda _tensor: value(next(names)), self.output)

    def read_last(self) -> list[int]:
        """The values that the result is: the class scores, or all that was returned."""
        names = (self._logits,) if self._logits is not None else tuple(self.sites.values())
        return [self._tape.site(name).index for name in names]

    def close(self) -> None:
        """Let go of what the model returned."""
        self._output = None
