"""``View``: all that decides what an Explorer draws. Made from the session's state, compared with what is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interp_widgets.errors import InterpError
from interp_widgets.explainers import Explainer
from interp_widgets.inspectors.channels import Ranking
from interp_widgets.inspectors.outline import Outline
from interp_widgets.session.session import Session

__all__ = ["View", "resolve"]


@dataclass(frozen=True)
class View:
    """What is to be drawn.

    Args:
        recording: which pass of the model; another one makes everything drawn out of date.
        layer, layer_row, channel: what the channel panel shows; ``layer_row`` is the layer's row in the ``Outline``,
            negative for the site of an operation that is no module's output.
        row, column: key of the attribution's map in the browser: the layer's row (0 for methods that explain the
            input) and the class (-1 for a target that is no class).
        at_layer: whether the layer is explained rather than the input.
        refusal: why there is no map: the sentence for the user; empty when there is one.
    """

    recording: int
    layer: str
    layer_row: int
    channel: int
    row: int
    column: int
    target: Any
    explainer: Explainer
    at_layer: bool
    refusal: str
    ranking: Ranking
    page: int

    def same_channels(self, other: View | None) -> bool:
        """Whether the other view ranks the same channels in the same way."""
        if other is None or (self.recording, self.layer, self.ranking) != (other.recording, other.layer, other.ranking):
            return False
        return self.ranking != "contribution" or self.target == other.target

    def same_map(self, other: View | None) -> bool:
        """Whether both show the same attribution."""
        return other is not None and _map_key(self) == _map_key(other)

    def same_method(self, other: View | None) -> bool:
        """Whether the other view's maps can stand beside this one's: same pass, same explainer.

        Targets that are no classes share one column, so only one of them can be there.
        """
        if other is None or _method_key(self) != _method_key(other):
            return False
        return (self.column >= 0 and other.column >= 0) or self.target == other.target


def _map_key(view: View) -> tuple[Any, ...]:
    return *_method_key(view), view.row, view.column, view.target, view.refusal


def _method_key(view: View) -> tuple[Any, ...]:
    return view.recording, view.explainer, view.at_layer


def resolve(session: Session, outline: Outline, ranking: Ranking, page: int) -> View:
    """The view of a session's present state."""
    trace = session.ready()
    method, target = session.method, session.target
    layer_row = outline.row(session.layer)
    if layer_row < 0:
        layer_row = -2 - trace.site(session.layer).index
    return View(
        recording=session.recordings,
        layer=session.layer,
        layer_row=layer_row,
        channel=session.channel,
        row=layer_row if session.explains_layer() else 0,
        column=target if isinstance(target, int) else -1,
        target=target,
        explainer=method,
        at_layer=session.explains_layer(),
        refusal=_refusal(session),
        ranking=ranking if target is not None or ranking != "contribution" else "activation",
        page=page,
    )


def _refusal(session: Session) -> str:
    if session.target is None and session.ready().has_classes:
        return "no target is chosen: choose a class to see what makes its score"
    if session.target is None:
        return "this model's output has no class scores to explain; its layers and channels are shown"
    try:
        session.place()
    except InterpError as error:
        return str(error)
    return ""
