"""Which layer to explain when the user names none."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from interp_widgets.errors import LayoutError
from interp_widgets.trace.values import Site
from interp_widgets.words import say

__all__ = ["Layers", "choose"]


class Layers(Protocol):
    """What of a recording decides which layer is the default; a ``Trace`` has it."""

    @property
    def model(self) -> nn.Module:
        """The recorded model."""

    @property
    def layers(self) -> list[str]:
        """Module paths in execution order."""

    def site(self, layer: str) -> Site:
        """The site that a layer stands for."""

    def is_spatial(self, layer: str) -> bool:
        """Whether a layer can be drawn as maps of more than one position."""

    def reads_positions(self, layer: str) -> bool:
        """Whether the output depends on a layer's positions."""


def choose(trace: Layers) -> str:
    """The last layer whose map tells where, see ``Trace.default_layer``.

    Candidates are the module outputs with a height and a width whose positions the output reads: in a ViT with a class
    token the last block's output does not qualify, because only its class token is read, and what enters the last
    attention does. Where several modules share one value, the outermost names it. Of a model without a gradient
    (``torch.no_grad()`` in its forward, quantised values) it is the last one all the same: methods that need no
    gradient can look there, and others say why there is none.
    """
    with_maps = [layer for layer in trace.layers if _tells_where(trace, layer)]
    spatial = [layer for layer in with_maps if trace.site(layer).differentiable] or with_maps
    if not spatial:
        raise LayoutError(
            say(
                "no layer of this {kind} has maps (an output with height and width that the result depends on), "
                "so there is no default layer; a method on the input, such as Gradient, needs none",
                kind=type(trace.model).__name__,
            )
        )
    nested = any("." in layer for layer in spatial)
    heads = {child for child in set(map(_child, spatial)) if nested and _is_head(trace.model, child)}
    trunk = [layer for layer in spatial if _child(layer) not in heads] or spatial
    # an outer module ends after the inner one, so it wins
    by_value = {trace.site(layer).index: layer for layer in trunk}
    layers = [by_value[index] for index in sorted(by_value)]
    return _outermost(trace, layers)


def _tells_where(trace: Layers, layer: str) -> bool:
    return trace.is_spatial(layer) and trace.reads_positions(layer)


def _child(layer: str) -> str:
    """The child of the model that a layer belongs to."""
    return layer.split(".", maxsplit=1)[0]


def _is_head(model: nn.Module, child: str) -> bool:
    """Whether a child of the model has no kernel and no matrix: a pool, a norm, a permutation."""
    return not any(parameter.ndim > 1 for parameter in model.get_submodule(child).parameters())


def _outermost(trace: Layers, layers: list[str]) -> str:
    """The last layer; in a part of a part of a block, the last part of that block: of an attention its input."""
    block = layers[-1].rpartition(".")[0].rpartition(".")[0]
    if not block or isinstance(trace.model.get_submodule(block), (nn.Sequential, nn.ModuleList)):
        return layers[-1]
    return next((layer for layer in reversed(layers) if layer.rpartition(".")[0] == block), layers[-1])
