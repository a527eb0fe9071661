"""What every explainer shares: hyper-parameters as fields with limits, one call, one stream of estimates."""

from __future__ import annotations

import importlib.util
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar

import torch

from interp_widgets.errors import InputError, LayerError, ParameterError, missing_extra
from interp_widgets.explainers.attribution import Attribution
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.trace import Target, TargetLike, Trace
from interp_widgets.trace.arguments import check_example, check_is, shown
from interp_widgets.trace.target import Values, as_target

__all__ = ["CAM", "Explainer", "as_map", "limits", "pick", "precise", "value_of"]


def limits(
    low: float | None = None,
    high: float | None = None,
    *,
    options: tuple[Any, ...] = (),
    help: str = "",  # noqa: A002 - the word users know
    convert: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    """Metadata of a hyper-parameter, from which widgets build its control: what is allowed, and what it does.

    ``convert`` makes the hyper-parameter of what a user gives, and refuses what cannot be; ``options`` are then the
    choices to show, not all there are.
    """
    return {"low": low, "high": high, "options": options, "help": help, "convert": convert}


@dataclass(frozen=True)
class Explainer(ABC):
    """A method that turns a trace and a target into an ``Attribution``.

    Hyper-parameters are fields; their ``metadata`` says what is allowed. An explainer holds no model, hook or cache.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    family: ClassVar[str] = "Others"  # the heading it stands under in a menu
    requires: ClassVar[str] = ""  # an optional package, which is also the name of the extra that brings it
    at_layer: ClassVar[bool] = False  # explains a layer (its map has the layer's resolution) rather than the input
    input_only: ClassVar[bool] = False  # cannot explain a layer
    needs_gradient: ClassVar[bool] = True
    own_pass: ClassVar[bool] = False  # goes over the recording in its own way, so a cached gradient is not enough
    refines: ClassVar[bool] = False  # runs the model many times and yields better and better estimates
    error_name: ClassVar[str] = ""  # what ``Estimate.error`` measures

    def __post_init__(self) -> None:
        for field in fields(self):
            value, convert = getattr(self, field.name), field.metadata.get("convert")
            if convert is not None:
                object.__setattr__(self, field.name, convert(value))
            elif not _is_allowed(value, field):
                raise ParameterError(
                    f"{type(self).__name__}: {field.name} must be {_allowed(field)}, got {shown(value)}"
                )

    @classmethod
    def missing(cls) -> str:
        """Why it cannot be used here: the package that is not installed, and how to get it; empty when it can."""
        if cls.requires and importlib.util.find_spec(cls.requires) is None:
            return str(missing_extra(f"{cls.title} needs {cls.requires}", cls.requires))
        return ""

    @property
    def signed(self) -> bool:
        """Whether values below zero mean evidence against the target; otherwise there are none."""
        return False

    def __call__(
        self, trace: Trace, target: TargetLike = None, layer: str | None = None, *, example: int = 0
    ) -> Attribution:
        """The attribution of one input of the trace.

        Args:
            target: class index or name, target object, function of the output; ``None`` for the predicted class.
            layer: module path; ``None`` for the method's sensible default.
            example: which input of a batch, in ``0..N-1``.

        Raises:
            TargetError, LayerError: no such target or layer.
            LayoutError: the layer has no maps, which this method needs.
            GradientError: the layer has no gradient, which this method needs.
            InputError: no such example.
            NonFiniteError: a NaN or an infinity; the first layer where it appears is named.
            MissingExtraError: the method needs an optional package that is not installed.
        """
        estimate = None
        for estimate in self.stream(trace, target, layer, example=example):  # noqa: B007 - the last one is the result
            pass
        if estimate is None:
            raise RuntimeError(f"{type(self).__name__}.stream yielded nothing")
        return estimate

    def stream(
        self, trace: Trace, target: TargetLike = None, layer: str | None = None, *, example: int = 0
    ) -> Iterator[Attribution]:
        """Estimates that converge; a method that needs one step yields once. The last one is what a call returns."""
        if self.missing():
            raise missing_extra(f"{type(self).title} needs {self.requires}", self.requires)
        name = type(self).__name__
        check_is(trace, Trace, f"{name} explains a recording: trace = iw.record(model, inputs), then {name}()(trace)")
        example = check_example(example, trace.examples)
        goal = as_target(target if target is not None or example == 0 else _prediction(trace, example), trace)
        place = self.default_layer(trace) if layer is None else layer
        if self.input_only and trace.site(place).name not in trace.input_sites:
            raise LayerError(f"{type(self).title} explains the input only, not the layer {place!r}: leave layer out")
        score = _score(goal, trace, example)
        for found in self.estimates(trace, goal, place, example):
            estimate = found if isinstance(found, Estimate) else Estimate(found)
            trace.check_finite(estimate.values, f"the {type(self).__name__} map of {place!r}")
            yield Attribution(
                values=estimate.values.detach(),
                method=type(self).title,
                layer=place,
                target=goal,
                score=score,
                signed=self.signed,
                label=goal.label(trace.class_names),
                background=_background(trace, example),
                done=estimate.done,
                total=estimate.total,
                error=estimate.error,
                error_name=type(self).error_name,
                change=estimate.change,
                names=_names(trace, place, estimate.values),
            )

    def default_layer(self, trace: Trace) -> str:
        """The layer explained when none is named: the last spatial feature map, or the input."""
        if self.at_layer:
            return trace.default_layer()
        followed = [name for name in trace.input_sites if trace.sites[name].differentiable]
        if followed:
            return followed[0]
        floating = [layer for layer in trace.layers if trace.site(layer).differentiable]
        if not floating:
            raise InputError("no input or layer of this model has a gradient")
        return floating[0]  # token ids have no gradient; their embedding has

    @abstractmethod
    def estimates(
        self, trace: Trace, target: Target, layer: str, example: int
    ) -> Iterator[torch.Tensor] | Iterator[Estimate]:
        """The values of each estimate, in the shape the class documents; as an ``Estimate`` where they get better."""


class CAM(Explainer):
    """A class activation map: a formula over one layer's activation and gradient."""

    family: ClassVar[str] = "Class activation maps"
    at_layer = True

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[torch.Tensor]:
        activation = pick(trace.maps(layer), example)  # first: it refuses a layer without maps before the backward pass
        gradient = pick(trace.maps(layer, trace.gradient(layer, target)), example)
        yield self.attribute(activation, gradient)

    @abstractmethod
    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The map ``(H', W')`` from a layer's activation and gradient, both ``(C, H', W')``."""


def pick(batch: torch.Tensor, example: int) -> torch.Tensor:
    """One of a batch.

    Raises:
        InputError: there are not so many.
    """
    count = batch.shape[0]
    if not 0 <= example < count:
        raise InputError(f"example must be in 0..{count - 1} (the trace holds {count} inputs), got {example}")
    return precise(batch[example])


def as_map(trace: Trace, layer: str, values: torch.Tensor, channels: str = "sum") -> torch.Tensor:
    """One relevance per position, ``(H, W)``, from the values of one input at a spatial layer; others as they are.

    Args:
        values: the layer's shape without its batch axis.
        channels: how the channels of one position are joined: ``sum``, or ``max`` or ``mean`` of their sizes.
    """
    if not trace.is_spatial(layer):
        return values.abs() if channels != "sum" else values
    maps = trace.maps(layer, values if values.ndim == len(trace.site(layer).shape) else values[None])[0]
    if channels == "sum":
        return maps.sum(dim=0)
    return maps.abs().amax(dim=0) if channels == "max" else maps.abs().mean(dim=0)


def value_of(trace: Trace, layer: str, example: int) -> torch.Tensor:
    """What was recorded there for one input, without its batch axis."""
    value = precise(trace.activation(layer))
    return value[example] if trace.is_batch else value


def precise(tensor: torch.Tensor) -> torch.Tensor:
    """In single precision at least: half precision is for storing, not for adding up."""
    return tensor if tensor.dtype in (torch.float64, torch.complex64, torch.complex128) else tensor.float()


def _allowed(field: Field[Any]) -> str:
    """What a hyper-parameter may be, in words."""
    meta = field.metadata
    if meta.get("options"):
        return "one of " + ", ".join(repr(option) for option in meta["options"])
    if isinstance(field.default, bool):
        return "True or False"
    low, high = meta.get("low"), meta.get("high")
    kind = "a whole number" if isinstance(field.default, int) else "a number"
    if low is not None and high is not None:
        return f"{kind} in {low}..{high}"
    return kind + ("" if low is None else f" of {low} or more") + ("" if high is None else f" of {high} or less")


def _is_allowed(value: Any, field: Field[Any]) -> bool:
    meta = field.metadata
    if meta.get("options"):
        options = meta["options"]
        return isinstance(value, tuple(map(type, options))) and value in options
    if isinstance(field.default, bool):
        return isinstance(value, bool)
    if not isinstance(field.default, (int, float)):
        return True
    kind = int if isinstance(field.default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
        return False
    low, high = meta.get("low"), meta.get("high")
    return (low is None or value >= low) and (high is None or value <= high)


def _score(target: Target, trace: Trace, example: int) -> float:
    """The score of one input of a batch, where the target is one whose score adds up over the batch."""
    score = trace.score(target)  # refuses a wrong class and a score that is not finite
    if target.adds_up and trace.is_batch:
        score = pick(target.each(Values(trace, trace.activation)), example)
    return float(score)


def _prediction(trace: Trace, example: int) -> int:
    return int(pick(trace.probabilities, example).argmax())


def _names(trace: Trace, layer: str, values: torch.Tensor) -> tuple[str, ...]:
    """What the values of an input with named features are called."""
    names = trace.feature_names or ()
    return names if trace.site(layer).name in trace.input_sites and values.shape == (len(names),) else ()


def _background(trace: Trace, example: int) -> torch.Tensor | None:
    """The input as ``(C, H, W)`` when it is an image."""
    for name in trace.input_sites:
        site = trace.sites[name]
        if len(site.shape) == 4 and site.shape[1] in (1, 3) and site.dtype.is_floating_point:
            return trace.activation(name)[example]
        if len(site.shape) == 3 and site.shape[0] in (1, 3) and site.dtype.is_floating_point:
            return trace.activation(name)
    return None
