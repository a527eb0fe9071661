"""What every explainer shares: hyper-parameters as fields with limits, one call, one stream of estimates."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch

from interp_widgets.errors import InputError, LayerError, ParameterError
from interp_widgets.explainers.attribution import Attribution
from interp_widgets.explainers.estimate import ErrorKind, Estimate
from interp_widgets.explainers.hyper_parameters import allowed, is_allowed, limits
from interp_widgets.explainers.question import Question, pick
from interp_widgets.trace import TargetLike, Trace
from interp_widgets.trace.arguments import check_example, check_is, shown
from interp_widgets.trace.target import Values
from interp_widgets.trace.targets import as_target, predicted
from interp_widgets.words import missing_extra, say

__all__ = ["CAM", "Explainer", "limits"]


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
    images_only: ClassVar[bool] = False  # explains an input with height and width only
    needs_gradient: ClassVar[bool] = True
    own_pass: ClassVar[bool] = False  # goes over the recording in its own way, so a cached gradient is not enough
    refines: ClassVar[bool] = False  # runs the model many times and yields better and better estimates
    error_kind: ClassVar[ErrorKind | None] = None  # what ``Estimate.error`` measures

    def __init_subclass__(cls, **options: Any) -> None:
        """An explainer without a title or summary of its own goes by the name of its class."""
        super().__init_subclass__(**options)
        cls.title = getattr(cls, "title", cls.__name__)
        cls.summary = getattr(cls, "summary", "")

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            convert = field.metadata.get("convert")
            if convert is not None:
                object.__setattr__(self, field.name, convert(value))
            elif not is_allowed(value, field):
                sentence = say(
                    "{explainer}: {name} must be {allowed}, got {value}",
                    explainer=type(self).__name__,
                    name=field.name,
                    allowed=allowed(field),
                    value=shown(value),
                )
                raise ParameterError(sentence)

    @classmethod
    def missing(cls) -> str:
        """Why it cannot be used here: the package that is not installed, and how to get it; empty when it can."""
        if cls.requires and importlib.util.find_spec(cls.requires) is None:
            needs = say("{method} needs {package}", method=cls.title, package=cls.requires)
            return str(missing_extra(needs, cls.requires))
        return ""

    def unmet(self, question: Question) -> str:
        """What it needs and the question does not have, in a few words and without a pass; empty where it has all.

        What only a pass can tell, such as whether DeepLift adds up, is not told here.
        """
        if self.missing():
            return say("not installed")
        if self.at_layer and not question.is_spatial:
            return say("needs maps")
        if self.images_only and not any(question.at(site).is_spatial for site in question.trace.input_sites):
            return say("needs an image")
        if self.input_only and not question.is_input:
            return say("needs an input of numbers")
        site = question.trace.site(question.layer)
        is_derived = site.dtype.is_floating_point if self.refines else site.differentiable  # a new pass begins there
        return say("needs a gradient") if self.needs_gradient and not is_derived else ""

    @property
    def signed(self) -> bool:
        """Whether values below zero mean evidence against the target; otherwise there are none."""
        return False

    @property
    def effort(self) -> int:
        """How much it does in one go, by its own hyper-parameter: its steps, or its samples; 0 for other methods."""
        field = self._effort
        return 0 if field is None else int(getattr(self, field.name))

    @property
    def effort_name(self) -> str:
        """The hyper-parameter that says how much it does, ``"steps"`` or ``"samples"``; empty for other methods."""
        field = self._effort
        return "" if field is None else field.name

    def finer(self) -> Self | None:
        """The same method with twice as much to do, at most as much as is allowed; ``None`` where that is no more."""
        field = self._effort
        if field is None:
            return None
        doubled = min(2 * self.effort, field.metadata.get("high") or 2 * self.effort)
        return replace(self, **{field.name: doubled}) if doubled > self.effort else None

    @property
    def _effort(self) -> Field[Any] | None:
        if not self.refines:
            return None
        return next((field for field in fields(self) if field.name in ("steps", "samples")), None)

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
            raise ParameterError(
                say("{explainer} gave no map: it must yield at least one", explainer=type(self).__name__)
            )
        return estimate

    def stream(
        self, trace: Trace, target: TargetLike = None, layer: str | None = None, *, example: int = 0
    ) -> Iterator[Attribution]:
        """Estimates that converge; a method that needs one step yields once. The last one is what a call returns."""
        if self.missing():
            needs = say("{method} needs {package}", method=type(self).title, package=self.requires)
            raise missing_extra(needs, self.requires)
        name = type(self).__name__
        wanted = say(
            "{explainer} explains a recording: trace = iw.record(model, inputs), then {explainer}()(trace)",
            explainer=name,
        )
        check_is(trace, Trace, wanted)
        trace.tape.check_open()
        example = check_example(example, trace.examples)
        if target is None and example != 0:
            target = predicted(trace, check_example(example, len(trace.probabilities)))
        question = Question(
            trace=trace,
            target=as_target(target, trace),
            layer=self.default_layer(trace) if layer is None else layer,
            example=example,
        )
        if self.input_only and not question.is_input:
            sentence = say(
                "{method} explains the input only, not the layer {layer!r}: leave layer out",
                method=type(self).title,
                layer=question.layer,
            )
            raise LayerError(sentence)
        score = _score(question)
        for estimate in self.estimates(question):
            what = say("the {explainer} map of {layer!r}", explainer=name, layer=question.layer)
            trace.check_finite(estimate.values, what)
            yield self._attribution(question, estimate, score)

    def _attribution(self, question: Question, estimate: Estimate, score: float) -> Attribution:
        return Attribution(
            values=estimate.values.detach(),
            method=type(self).title,
            layer=question.layer,
            target=question.target,
            score=score,
            signed=self.signed,
            label=question.target.label(question.trace.score_names),
            background=_background(question.trace, question.example),
            done=estimate.done,
            total=estimate.total,
            error=estimate.error,
            error_kind=type(self).error_kind,
            change=estimate.change,
            parts=MappingProxyType({name: part.detach() for name, part in estimate.parts.items()}),
            **_features(question, estimate.values),
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
            raise InputError(say("no input or layer of this model has a gradient"))
        return floating[0]  # token ids have no gradient; their embedding has

    @abstractmethod
    def estimates(self, question: Question) -> Iterator[Estimate]:
        """Estimates of the map, in the shape the class documents; a method that needs one step yields once."""


class CAM(Explainer):
    """A class activation map: a formula over one layer's activation and gradient."""

    family: ClassVar[str] = "Class activation maps"
    at_layer = True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        activation = question.maps  # first: it refuses a layer without maps before the backward pass
        yield Estimate(self.attribute(activation, question.gradient_maps))

    @abstractmethod
    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The map ``(H', W')`` from a layer's activation and gradient, both ``(C, H', W')``."""


def _score(question: Question) -> float:
    """The score of the one input that is explained, as if it had been recorded alone."""
    trace, target = question.trace, question.target
    score = trace.score(target)  # refuses a wrong class and a score that is not finite
    if trace.examples == 1:
        return float(score)
    scores = target.of_examples(Values(trace, trace.activation))
    if target.adds_up and len(scores) == trace.examples:
        return float(pick(scores, question.example))
    at_input = question.at(trace.input_sites[0])
    try:
        return float(at_input.probe(at_input.value[None]).scores)
    except IndexError:  # a function of several inputs of the batch has one score for all
        return float(score)


def _features(question: Question, values: torch.Tensor) -> dict[str, Any]:
    """What the values of an input with named features are called, and what the input has there."""
    names = question.trace.feature_names or ()
    if not question.is_input or values.shape != (len(names),):
        return {}
    given = question.value.detach().cpu().reshape(-1)
    return {"names": names, "given": given} if len(given) == len(names) else {"names": names}


def _background(trace: Trace, example: int) -> torch.Tensor | None:
    """The input as ``(C, H, W)`` when it is an image."""
    for name in trace.input_sites:
        site = trace.sites[name]
        if len(site.shape) == 4 and site.shape[1] in (1, 3) and site.dtype.is_floating_point:
            return trace.activation(name)[example]
        if len(site.shape) == 3 and site.shape[0] in (1, 3) and site.dtype.is_floating_point:
            return trace.activation(name)
    return None
