"""Why a map is blank or says nothing, and what to look at instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from interp_widgets.errors import GradientError, InterpError
from interp_widgets.evaluation.surroundings import surroundings_of
from interp_widgets.evaluation.zeros import end_of_gradient, is_zero, origin_of_zeros
from interp_widgets.explainers import Attribution, Explainer, Question
from interp_widgets.explainers.baselines import BASELINES
from interp_widgets.trace import Trace
from interp_widgets.trace.targets import predicted
from interp_widgets.words import say

__all__ = ["Finding", "diagnose", "is_odd"]


NO_CHANGE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Finding:
    """What is wrong with a map.

    Args:
        reason: why, in words.
        remedy: the way out in two or three words, empty when none is known; it does not lead to another blank map.
        change: the traits of a session that take it: ``{"layer": "layer4"}``.
    """

    reason: str
    remedy: str = ""
    change: Mapping[str, Any] = field(default_factory=lambda: NO_CHANGE)


def is_odd(trace: Trace, explainer: Explainer, attribution: Attribution) -> bool:
    """Whether a map is blank, the same everywhere, or of positions that nobody reads: to say why takes passes."""
    values = attribution.values
    return not values.any() or _is_constant(values) or _is_unread(trace, explainer, attribution.layer)


def diagnose(trace: Trace, explainer: Explainer, attribution: Attribution) -> Finding | None:
    """What is wrong with an attribution of the first input, ``None`` when nothing is seen.

    Read off the recording. Of a map that ``is_odd`` it takes backward passes: one to find where the gradient ends, one
    to find layers that have it; and passes of the model, where the value of a layer is compared with its baseline.
    """
    noise, strangeness = surroundings_of(trace)
    if strangeness:
        return Finding(strangeness)
    question = Question(trace, attribution.target, attribution.layer)
    if _is_flat_input(question):  # its differences from a baseline may be those of rounding
        found = _is_the_baseline(question, explainer)
        if found is not None:
            return found
    if not attribution.values.any():
        return _why_blank(trace, explainer, attribution)
    if _is_constant(attribution.values):
        remedy = _other_layer(trace, explainer, attribution)
        return Finding(say("the map has one value everywhere, so it does not tell where"), *remedy)
    if _is_unread(trace, explainer, attribution.layer):
        return Finding(
            say("the output reads one token or an average behind this layer, so the positions of its map mean little"),
            *_other_layer(trace, explainer, attribution),
        )
    return Finding(noise) if noise else None


def _is_constant(values: torch.Tensor) -> bool:
    return values.numel() > 1 and float(values.min()) == float(values.max())


def _is_unread(trace: Trace, explainer: Explainer, layer: str) -> bool:
    return explainer.at_layer and trace.is_spatial(layer) and not trace.reads_positions(layer)


def _why_blank(trace: Trace, explainer: Explainer, attribution: Attribution) -> Finding:
    layer, target = attribution.layer, attribution.target
    if getattr(explainer, "relu", False):
        signed = dataclasses.replace(explainer, relu=False)  # type: ignore[call-arg]  # it has that field
        if signed(trace, target, layer).values.any():
            return Finding(
                say(
                    "all that this layer says is evidence against the target, "
                    "and the method keeps only what speaks for it"
                ),
                say("show evidence against"),
                MappingProxyType({"explainer": signed}),
            )
    question = Question(trace, target, layer)
    found = _is_the_baseline(question, explainer)
    if found is not None:
        return found
    if is_zero(trace, layer):
        origin = origin_of_zeros(trace, layer)
        reason = say("every activation of this layer is zero for this input")
        reason = say("{reason}: {cause}", reason=reason, cause=origin) if origin else reason
        return Finding(origin if question.is_input else reason, *_other_layer(trace, explainer, attribution))
    try:
        return _why_no_gradient(trace, explainer, attribution)
    except InterpError as error:
        return Finding(str(error) if explainer.needs_gradient else say("every value of the map is zero"))


def _is_flat_input(question: Question) -> bool:
    """Whether an input is explained that is the same everywhere, in each channel."""
    if not question.is_input or question.value.ndim < 2:
        return False
    positions = question.value.flatten(1)
    return torch.equal(positions.amin(dim=1), positions.amax(dim=1))


def _is_the_baseline(question: Question, explainer: Explainer) -> Finding | None:
    """The finding that there is no difference between what is explained and what it is compared with."""
    baseline = getattr(explainer, "baseline", None)
    if baseline is None or not torch.equal(question.baseline(baseline), question.value):
        return None
    others = (name for name in BASELINES if not torch.equal(question.baseline(name), question.value))
    other = next(others, None)
    reason = say("the input is the baseline that the method compares it with, so there is no difference to explain")
    if other is None:
        return Finding(reason)
    changed = dataclasses.replace(explainer, baseline=other)  # type: ignore[call-arg]  # it has that field
    remedy = say("compare with the baseline {name}", name=other)
    return Finding(reason, remedy, MappingProxyType({"explainer": changed}))


def _why_no_gradient(trace: Trace, explainer: Explainer, attribution: Attribution) -> Finding:
    """Why a map is blank where the layer has activations.

    Raises:
        GradientError: there can be no gradient.
    """
    layer, target = attribution.layer, attribution.target
    if trace.gradient(layer, target).any():
        return Finding(
            say(
                "what speaks for the target and what speaks against it cancel, or only the latter is there, "
                "and the method keeps the positive part"
            )
        )
    if trace.has_classes and not trace.gradient(trace.logits_site, target).any():
        return Finding(
            say(
                "the score does not change with the class scores (a saturated softmax, a rounded or constant target): "
                "explain a class instead, whose score is taken before the softmax"
            ),
            say("explain the prediction"),
            MappingProxyType({"target": predicted(trace)}),
        )
    remedy = _other_layer(trace, explainer, attribution)
    cause = end_of_gradient(trace, layer, target)
    if cause:
        return Finding(say("no gradient of the score arrives at this layer: {cause}", cause=cause), *remedy)
    if trace.has_classes and not trace.tape.inputs_behind(trace.site(trace.logits_site).index):
        return Finding(say("the model's output does not depend on its input at all: its head is a constant"))
    return Finding(say("the score does not depend on this layer: its gradient is zero"), *remedy)


def _other_layer(trace: Trace, explainer: Explainer, attribution: Attribution) -> tuple[str, Mapping[str, Any]]:
    """The way to a layer whose map says something: the default layer, else the last such layer with maps."""
    here = trace.site(attribution.layer).index
    layers = [] if explainer.input_only else _layers_with_maps(trace)
    layers = [layer for layer in layers if trace.site(layer).index != here]
    if explainer.needs_gradient:
        layers = _with_gradient(trace, layers, attribution)
    for layer in layers:
        if _says_something(trace, explainer, attribution, layer):
            change = {"layer": layer} if explainer.at_layer else {"layer": layer, "at_layer": True}
            return say("look at {layer}", layer=layer), MappingProxyType(change)
    return "", NO_CHANGE


def _layers_with_maps(trace: Trace) -> list[str]:
    """The default layer, then all others from the last to the first."""
    layers = [layer for layer in reversed(trace.layers) if trace.is_spatial(layer) and trace.reads_positions(layer)]
    return [trace.default_layer(), *layers] if layers else []


def _with_gradient(trace: Trace, layers: list[str], attribution: Attribution) -> list[str]:
    """The layers at which the score has a gradient, by one backward pass."""
    sites = {layer: trace.site(layer) for layer in layers}
    followed = [site for site in sites.values() if site.differentiable]
    if not followed:
        return []
    try:
        gradients = trace.gradients_of.backward(attribution.target, followed)
    except GradientError:
        return []
    alive = {index for index, gradient in gradients.items() if bool(gradient.any())}
    return [layer for layer, site in sites.items() if site.index in alive]


def _says_something(trace: Trace, explainer: Explainer, attribution: Attribution, layer: str) -> bool:
    """Whether the map at another layer varies; of a method that runs the model many times, whether it can."""
    if explainer.refines:
        question = Question(trace, attribution.target, layer)
        return not is_zero(trace, layer) and _is_the_baseline(question, explainer) is None
    try:
        values = explainer(trace, attribution.target, layer).values
    except InterpError:
        return False
    return float(values.min()) != float(values.max())
