"""What every explainer shares: hyper-parameters as fields with limits, one call, one stream of estimates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.explainers.attribution import Attribution
from interp_widgets.trace import Target, TargetLike, Trace
from interp_widgets.trace.target import as_target

__all__ = ["CAM", "Explainer", "limits"]


def limits(
    low: float | None = None, high: float | None = None, *, options: tuple[Any, ...] = (), help: str = ""  # noqa: A002 - the word users know
) -> dict[str, Any]:
    """Metadata of a hyper-parameter field: what is allowed (both ends included) and what it does; widgets build the control from it."""
    return {"low": low, "high": high, "options": options, "help": help}


@dataclass(frozen=True)
class Explainer:
    """A method that turns a trace and a target into an ``Attribution``.

    Hyper-parameters are fields; their ``metadata`` says what is allowed. An explainer holds no model, hook or cache.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    signed: ClassVar[bool] = False
    at_layer: ClassVar[bool] = False  # explains a layer (its map has the layer's resolution) rather than the input

    def __post_init__(self) -> None:
        for field in fields(self):
            value, meta = getattr(self, field.name), field.metadata
            low, high, options = meta.get("low"), meta.get("high"), meta.get("options")
            wrong = (options and value not in options) or (low is not None and value < low) or (high is not None and value > high)
            if wrong:
                allowed = f"one of {options}" if options else f"in {low}..{high}"
                raise ParameterError(f"{type(self).__name__}: {field.name} must be {allowed}, got {value!r}")

    def __call__(self, trace: Trace, target: TargetLike = None, layer: str | None = None, *, example: int = 0) -> Attribution:
        """The attribution of one input of the trace.

        Args:
            target: class index or name, target object, function of the output; ``None`` for the predicted class.
            layer: module path; ``None`` for the method's sensible default.
            example: which input of a batch, in ``0..N-1``.
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
        goal = as_target(target if target is not None or example == 0 else _prediction(trace, example), trace)
        place = self.default_layer(trace) if layer is None else layer
        score = float(trace.score(goal))
        for values in self.estimates(trace, goal, place, example):
            trace.check_finite(values, f"the {type(self).__name__} map of {place!r}")
            yield Attribution(
                values=values.detach(),
                method=type(self).title,
                layer=place,
                target=goal,
                score=score,
                signed=self.signed,
                label=_label(goal, trace),
                background=_background(trace, example),
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
    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[torch.Tensor]:
        """The values of each estimate, in the shape the class documents."""


class CAM(Explainer):
    """A class activation map: a formula over one layer's activation and gradient."""

    at_layer = True

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[torch.Tensor]:
        trace.layout(layer)  # refuse a layer without maps before the backward pass
        gradient = trace.maps(layer, trace.gradient(layer, target))
        yield self.attribute(pick(trace.maps(layer), example), pick(gradient, example))

    @abstractmethod
    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The map ``(H', W')`` from a layer's activation and gradient, both ``(C, H', W')``."""


def pick(batch: torch.Tensor, example: int) -> torch.Tensor:
    if not 0 <= example < batch.shape[0]:
        raise InputError(f"example must be in 0..{batch.shape[0] - 1} (the trace holds {batch.shape[0]} inputs), got {example}")
    picked = batch[example]
    return picked if picked.dtype in (torch.float64, torch.complex64, torch.complex128) else picked.float()


def _prediction(trace: Trace, example: int) -> int:
    return int(pick(trace.probabilities, example).argmax())


def _label(target: Target, trace: Trace) -> str:
    index = getattr(target, "index", None)
    if index is not None and trace.class_names is not None:
        return trace.class_names[index]
    return str(target)


def _background(trace: Trace, example: int) -> torch.Tensor | None:
    """The input as ``(C, H, W)`` when it is an image."""
    for name in trace.input_sites:
        site = trace.sites[name]
        if len(site.shape) == 4 and site.shape[1] in (1, 3) and site.dtype.is_floating_point:
            return trace.activation(name)[example]
        if len(site.shape) == 3 and site.shape[0] in (1, 3) and site.dtype.is_floating_point:
            return trace.activation(name)
    return None
