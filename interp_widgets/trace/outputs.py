"""``Outputs``: what the model said: class scores, probabilities, the prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import torch

from interp_widgets.errors import TargetError
from interp_widgets.trace.axes.axes import Axes
from interp_widgets.trace.ending import SIGMOID, Ending, Scale
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.values import map_structure
from interp_widgets.words import say

__all__ = ["Outputs", "Scores"]


class Scores(NamedTuple):
    """Where the class scores are: their site, that of what the model said, and how that was made of them."""

    site: str
    said: str
    ending: Ending


class Outputs:
    """The output of a recorded pass; all that a ``Target`` asks of a recording (``target.Recorded``).

    Args:
        output: what the model returned, its tensors detached.
        sites: the site of each returned tensor, by its path in the output.
        scores: where the class scores are, ``None`` without any.
        class_names: one per class.
    """

    def __init__(
        self,
        tape: Tape,
        axes: Axes,
        *,
        output: Any,
        sites: Mapping[str, str],
        scores: Scores | None,
        class_names: tuple[str, ...] | None,
    ) -> None:
        self.sites = sites
        self.class_names = class_names
        self._tape = tape
        self._axes = axes
        self._output = output
        self._scores = scores

    @property
    def output(self) -> Any:
        """What the model returned."""
        self._tape.check_open()
        return self._output

    @property
    def has_classes(self) -> bool:
        """Whether the output has a tensor of class scores."""
        return self._scores is not None

    @property
    def scores(self) -> Scores:
        """Where the class scores are.

        Raises:
            TargetError: the output has none.
        """
        if self._scores is None:
            raise TargetError(
                say(
                    "the model's output has no tensor of class scores, so a class cannot be the target: "
                    "give target_output= to record, or a function of the output as target"
                )
            )
        return self._scores

    @property
    def logits_site(self) -> str:
        """Name of the site of the class scores; see ``Trace.logits_site``."""
        return self.scores.site

    @cached_property
    def class_count(self) -> int:
        """Number of classes."""
        shape = self.logits.shape
        return shape[1] if len(shape) > 1 else shape[0]

    @property
    def logits(self) -> torch.Tensor:
        """The class scores, ``(N, K)`` or ``(N, K, ...)``; ``(K,)`` without a batch."""
        return self.class_scores(self._value(self.logits_site))

    def class_scores(self, value: torch.Tensor) -> torch.Tensor:
        """The class scores, from what stands at their site in this pass or another one."""
        return self._classes_second(self.scores.ending.scores(value))

    def _classes_second(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores or probabilities with their classes along the second axis, the first without a batch."""
        ending = self.scores.ending
        if scores.ndim == 0:
            return scores.reshape(1)
        if scores.ndim == 1 and (ending.rows or self._axes.is_batch):
            return scores[:, None]  # one value for each input
        return scores.movedim(ending.axis, 1) if ending.axis > 1 else scores

    @property
    def scale(self) -> Scale:
        """What the numbers are that the model gives out."""
        is_sigmoid = self.scores.ending.squash in SIGMOID
        if self.class_count > 1:
            return Scale.LABELS if is_sigmoid else Scale.SOFTMAX
        return Scale.YES_OR_NO if is_sigmoid or self.class_names is not None else Scale.VALUE

    @property
    def score_names(self) -> tuple[str, ...] | None:
        """What the class scores are called; see ``Trace.score_names``."""
        if self.has_classes and self.scale is Scale.VALUE:
            return (self.scale.words,)
        return self.class_names

    @property
    def probabilities(self) -> torch.Tensor:
        """Probability of each class for each input, ``(N, K)``; see ``Trace.probabilities``."""
        return self.probabilities_from(self._value)

    def probabilities_from(self, value: Callable[[str], torch.Tensor]) -> torch.Tensor:
        """The probabilities ``(N, K)`` in another pass, from the value there of each site that is asked for."""
        if self.scores.ending.squash:
            probabilities = self._said_probabilities(value(self.scores.said))
        else:
            probabilities = self._assumed_probabilities(self.class_scores(value(self.logits_site)))
        if probabilities.ndim <= 1:
            return probabilities.reshape(1, -1)
        return probabilities.reshape(*probabilities.shape[:2], -1).mean(dim=2)

    def _assumed_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """What a softmax, of one class a sigmoid, would make of plain class scores."""
        logits = logits.float()
        return logits.softmax(dim=min(1, logits.ndim - 1)) if self.class_count > 1 else logits.sigmoid()

    def _said_probabilities(self, said: torch.Tensor) -> torch.Tensor:
        """What the model itself said, in the shape of the class scores."""
        ending, picks = self.scores.ending, self.scores.ending.picks
        said = said.float()
        if ending.is_logarithm:
            said = said.exp()
        if ending.rows:  # the output may have lost the axis of its one input
            before = self._tape.site(self.logits_site).shape
            said = said.reshape(before[0], *(before[1:] if picks is None else picks.shape))
        return self._classes_second(said)

    def _value(self, site: str) -> torch.Tensor:
        return self._tape.value(self._tape.site(site).index, site)

    @property
    def prediction(self) -> int:
        """The likeliest class for the first input."""
        return int(self.probabilities[0].argmax())

    def says_no(self, example: int) -> bool:
        """Whether a model that says yes or no says no to one of its inputs."""
        return self.scale is Scale.YES_OR_NO and bool(self.probabilities[example, 0] < 0.5)

    @property
    def is_batch(self) -> bool:
        """Whether the first axis of inputs and scores counts examples."""
        return self._axes.is_batch

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
        names = tuple(self.sites.values()) if self._scores is None else (self._scores.site,)
        return [self._tape.site(name).index for name in names]

    def close(self) -> None:
        """Let go of what the model returned."""
        self._output = None
