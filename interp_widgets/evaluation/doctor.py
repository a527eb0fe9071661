"""Why a map is blank or says nothing, and what to look at instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from interp_widgets.errors import InterpError
from interp_widgets.explainers import Attribution, Explainer
from interp_widgets.trace import Trace
from interp_widgets.trace.targets import predicted
from interp_widgets.words import say

__all__ = ["Finding", "diagnose"]


@dataclass(frozen=True)
class Finding:
    """What is wrong with a map.

    Args:
        reason: why, in words.
        remedy: the way out in two or three words, empty when none is known.
        change: the traits of a session that take it: ``{"layer": "layer4"}``.
    """

    reason: str
    remedy: str = ""
    change: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def diagnose(trace: Trace, explainer: Explainer, attribution: Attribution) -> Finding | None:
    """What is wrong with an attribution of the first input, ``None`` when nothing is seen.

    Read off the recording, by one backward pass at most.
    """
    values = attribution.values
    is_constant = values.numel() > 1 and float(values.min()) == float(values.max())
    if is_constant and values.any():
        remedy = _other_layer(trace, attribution.layer)
        return Finding(say("the map has one value everywhere, so it does not tell where"), *remedy)
    if not values.any():
        return _why_blank(trace, explainer, attribution)
    if explainer.at_layer and trace.is_spatial(attribution.layer) and not trace.reads_positions(attribution.layer):
        return Finding(
            say("the output reads one token or an average behind this layer, so the positions of its map mean little"),
            *_other_layer(trace, attribution.layer),
        )
    return None


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
    if not trace.activation(layer).any():
        return Finding(say("every activation of this layer is zero for this input"), *_other_layer(trace, layer))
    try:
        gradient = trace.gradient(layer, target)
    except InterpError:
        return Finding(say("every value of the map is zero"))
    if gradient.any():
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
    return Finding(say("the score does not depend on this layer: its gradient is zero"), *_other_layer(trace, layer))


def _other_layer(trace: Trace, layer: str) -> tuple[str, Mapping[str, Any]]:
    """The way to the default layer, unless that is where we are."""
    try:
        default = trace.default_layer()
    except InterpError:
        return "", MappingProxyType({})
    if trace.site(default).index == trace.site(layer).index:
        return "", MappingProxyType({})
    return say("look at {layer}", layer=default), MappingProxyType({"layer": default})
