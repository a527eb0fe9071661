"""The kinds of target: a class, a difference, a sum, a value at a site, a function of the output."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import nn

from interp_widgets.errors import TargetError
from interp_widgets.trace.arguments import shown
from interp_widgets.trace.target import Names, Recorded, Target, Values
from interp_widgets.words import did_you_mean, say

__all__ = [
    "Against",
    "ClassScore",
    "ClassSum",
    "Contrast",
    "ObjectScore",
    "OutputScore",
    "SiteScore",
    "TargetLike",
    "as_target",
    "predicted",
]


@dataclass(frozen=True)
class ClassScore(Target):
    """The score of one class before the softmax or sigmoid, summed over the batch and averaged over positions.

    Args:
        index: the class, in ``0..K-1``, or its name, which a trace with class names turns into its index.
    """

    index: int

    def __init__(self, index: int | str) -> None:
        object.__setattr__(self, "index", _class(index, "ClassScore"))

    def each(self, values: Values) -> torch.Tensor:
        logits = values.logits
        classes = logits.shape[1] if logits.ndim > 1 else logits.numel()
        index = _index_of(self.index, None)
        if not 0 <= index < classes:
            raise TargetError(
                say(
                    "target must be in 0..{last} (the model has {classes} classes), got {index}",
                    last=classes - 1,
                    classes=classes,
                    index=index,
                )
            )
        if logits.ndim <= 1:
            return logits.reshape(-1)[index : index + 1]
        scores = logits.select(1, index)  # (N, ...)
        return scores if scores.ndim == 1 else scores.flatten(1).mean(dim=1)

    def label(self, names: Names) -> str:
        return _name_of(self.index, names)

    def numbered(self, names: Names) -> Target:
        return ClassScore(_index_of(self.index, names))


@dataclass(frozen=True)
class Against(Target):
    """What speaks against a class: its score with the sign turned.

    It is what explains a "no" of a model that says yes or no, by a single score before the sigmoid.

    Args:
        index: the class, by index or name.
    """

    index: int

    def __init__(self, index: int | str) -> None:
        object.__setattr__(self, "index", _class(index, "Against"))

    def each(self, values: Values) -> torch.Tensor:
        return -ClassScore(self.index).each(values)

    def label(self, names: Names) -> str:
        return say("not {name}", name=_name_of(self.index, names))

    def numbered(self, names: Names) -> Target:
        return Against(_index_of(self.index, names))


@dataclass(frozen=True)
class Contrast(Target):
    """Why class ``a`` rather than class ``b``: the difference of their scores.

    Args:
        a: a class, by index or name.
        b: another class, by index or name.
        weight: how much of the score of ``b`` is taken off; 0 explains ``a`` alone.
    """

    a: int
    b: int
    weight: float = 1.0

    def __init__(self, a: int | str, b: int | str, weight: float = 1.0) -> None:
        object.__setattr__(self, "a", _class(a, "Contrast"))
        object.__setattr__(self, "b", _class(b, "Contrast"))
        object.__setattr__(self, "weight", _weight(weight))

    def each(self, values: Values) -> torch.Tensor:
        return ClassScore(self.a).each(values) - self.weight * ClassScore(self.b).each(values)

    def label(self, names: Names) -> str:
        a, b = _name_of(self.a, names), _name_of(self.b, names)
        if self.weight == 1:
            return say("{a} rather than {b}", a=a, b=b)
        return say("{a} rather than {b}, by {weight:.0%}", a=a, b=b, weight=self.weight)

    def numbered(self, names: Names) -> Target:
        return Contrast(_index_of(self.a, names), _index_of(self.b, names), self.weight)


@dataclass(frozen=True)
class ClassSum(Target):
    """The sum of the scores of several classes: what speaks for any of them.

    Args:
        indices: the classes, each by index or name; at least one.
    """

    indices: tuple[int, ...]

    def __init__(self, indices: Iterable[int | str]) -> None:
        if not _is_sequence(indices):
            raise TargetError(
                say("ClassSum takes a sequence of classes, such as (3, 5), got {given}", given=shown(indices))
            )
        classes = tuple(_class(index, "ClassSum") for index in indices)
        if not classes:
            raise TargetError(
                say("ClassSum needs at least one class, such as ClassSum((3, 5)), got {given}", given=shown(indices))
            )
        object.__setattr__(self, "indices", classes)

    @classmethod
    def top(cls, trace: Recorded, count: int) -> Self:
        """The sum of the scores of the first input's likeliest classes.

        Raises:
            TargetError: the model has not so many classes.
        """
        if not hasattr(trace, "class_count"):
            raise TargetError(say("ClassSum.top takes a trace and a count, got {given}", given=shown(trace)))
        if not _is_whole(count):
            raise TargetError(say("count must be a whole number, got {given}", given=shown(count)))
        number, classes = int(count), trace.class_count
        if not 1 <= number <= classes:
            raise TargetError(
                say(
                    "count must be in 1..{classes} (the model's classes), got {given}",
                    classes=classes,
                    given=shown(count),
                )
            )
        return cls(trace.probabilities[0].topk(number).indices.tolist())

    def each(self, values: Values) -> torch.Tensor:
        return torch.stack([ClassScore(index).each(values) for index in self.indices]).sum(dim=0)

    def label(self, names: Names) -> str:
        return " + ".join(_name_of(index, names) for index in self.indices)

    def numbered(self, names: Names) -> Target:
        return ClassSum(_index_of(index, names) for index in self.indices)


@dataclass(frozen=True)
class SiteScore(Target):
    """The sum of a recorded site, or of one of its channels: any unit of the network can be the target.

    Of a batch it is the sum over all inputs; an attribution has the score of its own input.
    """

    site: str
    channel: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.site, str):
            raise TargetError(
                say("the site of a SiteScore is a name such as 'layer4.2', got {given}", given=shown(self.site))
            )
        if self.channel is not None:
            if not _is_whole(self.channel):
                raise TargetError(
                    say("the channel of a SiteScore must be a whole number, got {given}", given=shown(self.channel))
                )
            object.__setattr__(self, "channel", int(self.channel))

    def each(self, values: Values) -> torch.Tensor:
        chosen = self._chosen(values)
        rows = len(chosen) if values.has_rows(self.site) else 1
        return chosen.reshape(rows, -1).sum(dim=1)

    def _chosen(self, values: Values) -> torch.Tensor:
        tensor = values.value(self.site)
        if self.channel is None:
            return tensor
        axis = values.channel_axis(self.site)
        channels = tensor.shape[axis] if tensor.ndim else 1
        if not 0 <= self.channel < channels:
            raise TargetError(
                say(
                    "channel must be in 0..{last} ({site!r} has {channels} channels), got {channel}",
                    last=channels - 1,
                    site=self.site,
                    channels=channels,
                    channel=self.channel,
                )
            )
        return tensor.select(axis, self.channel) if tensor.ndim else tensor

    def label(self, names: Names) -> str:
        del names  # a unit is no class
        if self.channel is None:
            return self.site
        return say("channel {channel} of {site}", channel=self.channel, site=self.site)


@dataclass(frozen=True)
class OutputScore(Target):
    """A user's function of what the model returned, ``function(output) -> ()``."""

    adds_up: ClassVar[bool] = False  # the function may read the first input only

    function: Callable[[Any], torch.Tensor]

    def __post_init__(self) -> None:
        if isinstance(self.function, type) or not callable(self.function):
            raise TargetError(
                say("OutputScore takes a function of the model's output, got {given}", given=shown(self.function))
            )
        _hashable(self.function)

    def each(self, values: Values) -> torch.Tensor:
        return _scalar(self.function(values.output)).reshape(1)

    def label(self, names: Names) -> str:
        del names  # a function says by its own name what it is
        return str(getattr(self.function, "__name__", type(self).__name__))


@dataclass(frozen=True)
class ObjectScore(Target):
    """An object of another package with a method ``score(values, value)``; ``value(site)`` is ``values.value``."""

    adds_up: ClassVar[bool] = False  # it may read the first input only

    given: Any

    def each(self, values: Values) -> torch.Tensor:
        name = f"{type(self.given).__name__}.score"
        return _scalar(self.given.score(values, values.value), name).reshape(1)

    def label(self, names: Names) -> str:
        del names  # the object says by its class what it is
        return type(self.given).__name__


TargetLike = int | str | Target | Callable[[Any], torch.Tensor] | None


def as_target(target: TargetLike, trace: Recorded) -> Target:
    """A ``Target`` from what a user writes: a class index or name, an object, a function; ``None``: the prediction.

    Raises:
        TargetError: no such class; a name although the class names are not known; some other type.
    """
    if target is None:
        target = predicted(trace)
    if type(target) is int:  # what is common first: this is asked for every look-up
        return ClassScore(target)
    found = target if isinstance(target, Target) else _made_of(target)
    return found.numbered(trace.class_names)


def predicted(trace: Recorded, example: int = 0) -> int | Against:
    """The class that the model says of one input; of a single class that it does not see, what speaks against it."""
    if trace.says_no(example):
        return Against(0)
    return int(trace.probabilities[example].argmax())


def _made_of(given: Any) -> Target:
    """A target from anything but a target: a number, a name, an object with a score, a function."""
    if isinstance(given, str) or _is_whole(given):
        return ClassScore(given)
    if not isinstance(given, type):  # a class is callable too, but nobody means it as a function of the output
        is_trace = hasattr(given, "logits_site")  # it has a score too, but is none
        if callable(getattr(given, "score", None)) and not is_trace:
            return ObjectScore(_hashable(given))
        if callable(given) and not isinstance(given, nn.Module):
            return OutputScore(given)
    raise TargetError(
        say(
            "target must be a class index, a class name, a target object or a function of the output, "
            "got {given} ({kind})",
            given=shown(given),
            kind=type(given).__name__,
        )
    )


def _hashable(given: Any) -> Any:
    try:
        hash(given)
    except TypeError as error:
        raise TargetError(
            say("a target must be hashable, because results are kept by it, got {given}", given=shown(given))
        ) from error
    return given


def _scalar(score: Any, method: str = "") -> torch.Tensor:
    """A tensor with one element, as ``()``; ``method`` names what returned it, where it was not a function."""
    if isinstance(score, torch.Tensor) and score.numel() == 1:
        return score.reshape(())
    given = tuple(score.shape) if isinstance(score, torch.Tensor) else type(score).__name__
    if method:
        raise TargetError(
            say(
                "{method} must return a tensor with one element, got {given}: sum or select first",
                method=method,
                given=given,
            )
        )
    raise TargetError(
        say("a target function must return a tensor with one element, got {given}: sum or select first", given=given)
    )


def _class(index: Any, where: str) -> Any:
    """A class as a target keeps it: a name or a whole number."""
    if isinstance(index, str):
        return str(index)
    if not _is_whole(index):
        raise TargetError(
            say("a class of {where} must be an index or a class name, got {given}", where=where, given=shown(index))
        )
    return int(index)


def _is_whole(number: Any) -> bool:
    """Whether it stands for a whole number: an ``int``, numpy's integers, a tensor of one integer."""
    if isinstance(number, (bool, type)):
        return False
    if isinstance(number, torch.Tensor):
        is_integer = not (number.dtype.is_floating_point or number.dtype.is_complex or number.dtype == torch.bool)
        return is_integer and number.numel() == 1
    try:
        operator.index(number)
    except TypeError:
        return False
    return True


def _is_sequence(given: Any) -> bool:
    """Whether it has items one after the other; text and what has no axis or several is none."""
    if isinstance(given, (str, bytes, dict, type)) or getattr(given, "ndim", 1) != 1:
        return False
    return isinstance(given, Iterable)


def _weight(number: Any) -> float:
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not is_number or not abs(number) <= sys.float_info.max:
        raise TargetError(say("the weight of a Contrast must be a finite number, got {given}", given=shown(number)))
    return float(number)


def _index_of(name: int | str, names: Names) -> int:
    """The index of a class by its name; an index is taken as it is."""
    if not isinstance(name, str):
        return name
    if names is None:
        raise TargetError(
            say(
                "target {name!r} is a class name, but the trace has no class names: "
                "give class_names= to record, or an index",
                name=name,
            )
        )
    if name not in names:
        raise TargetError(
            say(
                "no class is named {name!r}{hint} ({count} classes: trace.class_names)",
                name=name,
                hint=did_you_mean(name, names),
                count=len(names),
            )
        )
    return names.index(name)


def _name_of(index: int | str, names: Names) -> str:
    if isinstance(index, str):
        return index
    return str(names[index]) if names is not None and index < len(names) else say("class {index}", index=index)
