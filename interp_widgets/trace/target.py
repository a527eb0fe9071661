"""What is explained: a scalar of the model's output, or of any recorded site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import torch

from interp_widgets.errors import TargetError, did_you_mean

if TYPE_CHECKING:
    from interp_widgets.trace.trace import Trace

__all__ = [
    "ClassScore",
    "ClassSum",
    "Contrast",
    "OutputScore",
    "SiteScore",
    "Target",
    "TargetLike",
    "as_target",
    "each_score",
]

Value = Callable[[str], torch.Tensor]


@runtime_checkable
class Target(Protocol):
    """A scalar to explain. Equal targets give equal scores, so a target is hashable and serves as a cache key."""

    def score(self, trace: Trace, value: Value) -> torch.Tensor:
        """The scalar, ``()``, as a differentiable function of recorded values; ``value(site)`` gives one of them."""


@dataclass(frozen=True)
class ClassScore:
    """The score of one class before the softmax, summed over the batch and averaged over positions.

    Args:
        index: the class, in ``0..K-1``.
    """

    index: int

    def score(self, trace: Trace, value: Value) -> torch.Tensor:
        """See ``Target.score``."""
        return self.each(trace, value).sum()

    def each(self, trace: Trace, value: Value) -> torch.Tensor:
        """The score of each input of a batch, ``(N,)``."""
        logits = value(trace.logits_site)
        classes = trace.class_count
        if not 0 <= self.index < classes:
            raise TargetError(f"target must be in 0..{classes - 1} (the model has {classes} classes), got {self.index}")
        if logits.ndim <= 1:
            return logits.reshape(-1)[self.index : self.index + 1]
        scores = logits.select(1, self.index)
        return scores if scores.ndim == 1 else scores.flatten(1).mean(dim=1)


@dataclass(frozen=True)
class Contrast:
    """Why class ``a`` rather than class ``b``: the difference of their scores.

    Args:
        weight: how much of the score of ``b`` is taken off; 0 explains ``a`` alone.
    """

    a: int
    b: int
    weight: float = 1.0

    def score(self, trace: Trace, value: Value) -> torch.Tensor:
        """See ``Target.score``."""
        return self.each(trace, value).sum()

    def each(self, trace: Trace, value: Value) -> torch.Tensor:
        """The difference for each input of a batch, ``(N,)``."""
        return ClassScore(self.a).each(trace, value) - self.weight * ClassScore(self.b).each(trace, value)


@dataclass(frozen=True)
class ClassSum:
    """The sum of the scores of several classes: what speaks for any of them."""

    indices: tuple[int, ...]

    @classmethod
    def top(cls, trace: Trace, count: int) -> Self:
        """The sum of the scores of the first input's likeliest classes.

        Raises:
            TargetError: the model has not so many classes.
        """
        if not 1 <= count <= trace.class_count:
            raise TargetError(f"count must be in 1..{trace.class_count} (the model's classes), got {count}")
        return cls(tuple(trace.probabilities[0].topk(count).indices.tolist()))

    def score(self, trace: Trace, value: Value) -> torch.Tensor:
        """See ``Target.score``."""
        return self.each(trace, value).sum()

    def each(self, trace: Trace, value: Value) -> torch.Tensor:
        """The sum for each input of a batch, ``(N,)``."""
        return torch.stack([ClassScore(index).each(trace, value) for index in self.indices]).sum(dim=0)


@dataclass(frozen=True)
class SiteScore:
    """The sum of a recorded site, or of one of its channels: any unit of the network can be the target."""

    site: str
    channel: int | None = None

    def score(self, trace: Trace, value: Value) -> torch.Tensor:
        """See ``Target.score``."""
        return self._chosen(trace, value).sum()

    def each(self, trace: Trace, value: Value) -> torch.Tensor:
        """The sum for each input of a batch, ``(N,)``."""
        chosen = self._chosen(trace, value)
        return chosen.reshape(1) if chosen.ndim == 0 else chosen.reshape(chosen.shape[0], -1).sum(dim=1)

    def _chosen(self, trace: Trace, value: Value) -> torch.Tensor:
        tensor = value(self.site)
        if self.channel is None:
            return tensor
        channels, axis = trace.channels(self.site), trace.channel_axis(self.site)
        if not 0 <= self.channel < channels:
            raise TargetError(
                f"channel must be in 0..{channels - 1} ({self.site!r} has {channels} channels), got {self.channel}"
            )
        return tensor.select(axis, self.channel)


@dataclass(frozen=True)
class OutputScore:
    """A user's function of what the model returned, ``function(output) -> ()``."""

    function: Callable[[Any], torch.Tensor]

    def score(self, trace: Trace, value: Value) -> torch.Tensor:
        """See ``Target.score``."""
        score: Any = self.function(trace.map_output(value))
        if not isinstance(score, torch.Tensor) or score.numel() != 1:
            shown = tuple(score.shape) if isinstance(score, torch.Tensor) else type(score).__name__
            raise TargetError(
                f"a target function must return a tensor with one element, got {shown}: sum or select first"
            )
        return score.reshape(())


def each_score(target: Target, trace: Trace, value: Value) -> torch.Tensor:
    """The score of each input of a batch, ``(N,)``; of a target that has only one score for all of them, ``(1,)``."""
    each = getattr(target, "each", None)
    scores: torch.Tensor = target.score(trace, value).reshape(1) if each is None else each(trace, value)
    return scores


TargetLike = int | str | Target | Callable[[Any], torch.Tensor] | None


def as_target(target: TargetLike, trace: Trace) -> Target:
    """A ``Target`` from what a user writes: a class index or name, an object, a function; ``None``: the prediction.

    Raises:
        TargetError: no such class; a name although the class names are not known; some other type.
    """
    # what is common first: a runtime check of the protocol costs more than the rest of a look-up
    if target is None or type(target) is int:
        return ClassScore(trace.prediction if target is None else target)
    if isinstance(target, str):
        return ClassScore(_class_index(target, trace.class_names))
    if isinstance(target, (ClassScore, ClassSum, Contrast, SiteScore, OutputScore)) or isinstance(target, Target):  # noqa: SIM101
        return target
    given: Any = target  # numpy's integers and tensors of one element are no ``int``, but stand for one
    if isinstance(given, torch.Tensor) and given.numel() == 1 and not given.is_floating_point():
        return ClassScore(int(given))
    if hasattr(given, "__index__") and not isinstance(given, (bool, torch.Tensor)):
        return ClassScore(given.__index__())
    if callable(given):
        return OutputScore(given)
    raise TargetError(
        "target must be a class index, a class name, a target object or a function of the output, "
        f"got {target!r} ({type(target).__name__})"
    )


def _class_index(name: str, names: tuple[str, ...] | None) -> int:
    if names is None:
        raise TargetError(
            f"target {name!r} is a class name, but the trace has no class names: "
            "give class_names= to record, or an index"
        )
    if name not in names:
        raise TargetError(
            f"no class is named {name!r}{did_you_mean(name, names)} ({len(names)} classes: trace.class_names)"
        )
    return names.index(name)
