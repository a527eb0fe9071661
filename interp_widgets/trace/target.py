"""``Target``: what is explained, a scalar of the model's output or of any recorded site.

A target is a function of recorded values. It sees ``Values`` and never the ``Trace``, so the same target reads a
recording, a pass with other inputs or a walk over the tape.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import torch

__all__ = ["Names", "Recorded", "Target", "Values"]

Names = Sequence[str] | None


class Recorded(Protocol):
    """What is asked of a recording to make a target of what a user writes, and to find the values it reads."""

    @property
    def class_names(self) -> Names:
        """Names of the classes, ``None`` where nobody gave them."""

    @property
    def class_count(self) -> int:
        """Number of classes."""

    @property
    def is_batch(self) -> bool:
        """Whether the first axis of inputs and scores counts examples."""

    @property
    def probabilities(self) -> torch.Tensor:
        """Probability of each class for each input, ``(N, K)``."""

    @property
    def prediction(self) -> int:
        """The likeliest class for the first input."""

    @property
    def logits_site(self) -> str:
        """Name of the site of the class scores; a ``TargetError`` where the output has none."""

    def class_scores(self, value: torch.Tensor) -> torch.Tensor:
        """The class scores, from what stands at their site."""

    def says_no(self, example: int) -> bool:
        """Whether a model that says yes or no says no to one of its inputs."""

    def channel_axis(self, layer: str) -> int:
        """The axis that counts a site's channels."""

    def has_rows(self, layer: str) -> bool:
        """Whether the first axis of a layer or input counts the examples."""

    def map_output(self, value: Callable[[str], torch.Tensor]) -> Any:
        """What the model returned, with ``value(site)`` in place of each tensor."""


class Values:
    """The values of one pass: all that a target sees.

    Args:
        recorded: where the sites are.
        value: the value at a site; a target differentiates through what it returns.
    """

    def __init__(self, recorded: Recorded, value: Callable[[str], torch.Tensor]) -> None:
        self._recorded = recorded
        self.value = value

    @property
    def is_batch(self) -> bool:
        """Whether the first axis of inputs and scores counts examples."""
        return self._recorded.is_batch

    @property
    def logits_site(self) -> str:
        """Name of the site of the class scores before the softmax.

        Raises:
            TargetError: the output has no tensor of class scores.
        """
        return self._recorded.logits_site

    @property
    def logits(self) -> torch.Tensor:
        """The class scores before a softmax or sigmoid, ``(N, K)`` or ``(N, K, ...)``, ``(K,)`` without a batch."""
        return self._recorded.class_scores(self.value(self.logits_site))

    def channel_axis(self, site: str) -> int:
        """The axis that counts a site's channels."""
        return self._recorded.channel_axis(site)

    def has_rows(self, site: str) -> bool:
        """Whether the first axis of a site counts the inputs of the batch."""
        return self._recorded.has_rows(site)

    @property
    def output(self) -> Any:
        """What the model returned, made of these values."""
        return self._recorded.map_output(self.value)


class Target(ABC):
    """A scalar to explain. Equal targets give equal scores, so a target is hashable and serves as a cache key."""

    adds_up: ClassVar[bool] = True  # the score of a batch is the sum of its inputs' scores, so a batch may be probed

    @abstractmethod
    def each(self, values: Values) -> torch.Tensor:
        """The score of each input of a batch, ``(N,)``, differentiable; ``(1,)`` where they cannot be told apart."""

    @abstractmethod
    def label(self, names: Names) -> str:
        """What the target is called.

        Args:
            names: the names of the classes, where they are known.
        """

    def of_examples(self, values: Values) -> torch.Tensor:
        """The score of each example, ``(N,)``; one score of all where no axis counts examples.

        ``each`` reads rows; in a recording without a batch these are parts of one example, such as a graph's nodes.
        """
        return self.each(values) if values.is_batch else self.score(values).reshape(1)

    def score(self, values: Values) -> torch.Tensor:
        """The scalar, ``()``, as a differentiable function of the values."""
        return self.each(values).sum()

    def numbered(self, names: Names) -> Target:
        """The same target with the index of each class that was given by name.

        Raises:
            TargetError: no class of that name; the names are not known.
        """
        del names  # nothing in this target is the name of a class
        return self
