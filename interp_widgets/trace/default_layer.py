"""Which layer to explain when the user names none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interp_widgets.errors import LayoutError

if TYPE_CHECKING:
    from interp_widgets.trace.trace import Trace

__all__ = ["choose"]

# What a head is made of: operations that only move, average or rescale what the trunk found.
HEAD_OPERATIONS = ("Pool", "Norm", "Permute", "Dropout", "Flatten", "Identity", "Softmax", "ReLU", "Upsample")


def choose(trace: Trace) -> str:
    """The last layer whose map tells where, see ``Trace.default_layer``.

    Candidates are the module outputs with a height and a width, the outermost module where several share one value. The last
    one is taken whose positions the output reads: in a ViT with a class token the last block's output does not qualify,
    because only its class token is read, and what enters the last attention does.
    """
    by_value: dict[int, str] = {}
    for layer in trace.layers:  # an outer module ends after the inner one, so it wins
        site = trace.site(layer)
        if site.differentiable and trace.is_spatial(layer) and trace.reads_positions(layer):
            by_value[site.index] = layer
    if not by_value:
        raise LayoutError(
            f"no layer of this {type(trace.model).__name__} has maps (an output with height and width that the result depends on), "
            "so there is no default layer; a method on the input, such as Gradient, needs none"
        )
    layers = [by_value[index] for index in sorted(by_value)]
    trunk = [layer for layer in layers if not _is_head(trace, layer)]
    return (trunk or layers)[-1]


def _is_head(trace: Trace, layer: str) -> bool:
    """A leaf without weights of its own directly under the root, while other layers sit inside blocks."""
    kind = trace.site(layer).operation
    return "." not in layer and any(part in kind for part in HEAD_OPERATIONS) and any("." in other for other in trace.layers)
