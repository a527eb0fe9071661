"""What an attribution's view shows: the question, the answer as far as it is known, and the line below in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from interp_widgets.evaluation import Finding
from interp_widgets.explainers import Attribution, ErrorKind, Explainer
from interp_widgets.explainers.refinement import finer_than
from interp_widgets.session.session import Session
from interp_widgets.words import say

__all__ = ["AttributionState", "being_computed", "progress", "refusal_of", "sentence", "way_on"]


@dataclass(frozen=True)
class AttributionState:
    """One map: what is asked, and the answer as far as it is known.

    Args:
        recording: which pass of the model.
        layer: the layer that is explained, as the session says it; empty when the input is explained.
        row, column: key of the map in the browser: the layer's row (0 for the input) and the class (-1 for a target
            that is no class).
        at_layer: whether methods that have the choice explain the layer.
        tolerance: of the method's error; see ``Session.tolerance``.
        unmet: of each method that cannot explain this, what it needs.
        refusal: why there is no map; empty when there is one, or when one is on its way.
        found: the map, or the estimate so far.
        seconds: what it took.
        finding: what is wrong with the map.
        is_cached: whether the recording had what it takes.
    """

    recording: int
    layer: str
    row: int
    column: int
    target: Any
    explainer: Explainer
    at_layer: bool
    tolerance: float
    unmet: Mapping[str, str] = field(default_factory=dict)
    refusal: str = field(default="", compare=False)
    found: Attribution | None = field(default=None, compare=False)
    finding: Finding | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)
    is_cached: bool = field(default=False, compare=False)

    @property
    def explains_layer(self) -> bool:
        """Whether the map has the layer's resolution rather than the input's."""
        return bool(self.layer)

    def shares_frames(self, other: AttributionState | None) -> bool:
        """Whether both maps can be in the browser at once, each under its key.

        Targets that are no classes share one column, so only one of them can be there.
        """
        if other is None:
            return False
        ours = (self.recording, self.explainer, self.explains_layer, self.tolerance)
        if ours != (other.recording, other.explainer, other.explains_layer, other.tolerance):
            return False
        return (self.column >= 0 and other.column >= 0) or self.target == other.target


def refusal_of(session: Session) -> str:
    """Why there can be no map of what the session asks for; empty when there can.

    Raises:
        LayoutError: the method needs maps, and there are none.
    """
    if session.target is None and session.ready().has_classes:
        return say("no target is chosen: choose a class to see what makes its score")
    if session.target is None:
        return say("this model's output has no class scores to explain; its layers and channels are shown")
    session.place()  # refuses a method that needs maps where there are none
    return ""


def being_computed(state: AttributionState, session: Session) -> str:
    """What is on its way: the method, what it explains, and the layer where it explains one."""
    method, label = state.explainer.title, session.name_of_target(state.target)
    if not state.explains_layer:
        return say("computing {method} for “{label}”…", method=method, label=label)
    return say("computing {method} for “{label}” at {layer}…", method=method, label=label, layer=state.layer)


def sentence(state: AttributionState, found: Attribution, session: Session) -> str:
    """What is shown and where, the score, and what it took."""
    if state.explainer.refines:
        return progress(found, None if state.is_cached else state.seconds)
    place = found.layer
    if state.layer and found.layer != state.layer:
        place = say("{layer} ({asked} has no maps)", layer=found.layer, asked=state.layer)
    if found.values.ndim != 2:
        where = say("at {place}, values and no map", place=place)
    elif not session.ready().is_spatial(found.layer):
        where = say("at {place}, a matrix and no map of the input", place=place)
    else:
        where = say("at {place}", place=place)
    source = say("from the recording") if state.is_cached else say("one backward pass")
    return say(
        "{method} for “{label}” {where}, score {score:.3g}; "
        "{source}, {took:.1f} ms (recording the input took {recording:.0f} ms)",
        method=found.method,
        label=found.label,
        where=where,
        score=found.score,
        source=source,
        took=state.seconds * 1000,
        recording=session.record_seconds * 1000,
    )


def way_on(state: AttributionState, found: Attribution) -> Finding | None:
    """What to do about an error that is larger than was asked for, or simply large; ``None`` where it is neither.

    A way out in one click is offered where somebody asked for less of an error and the method can do more.
    """
    if found.error is None or found.done < found.total:
        return None
    is_asked = found.error > state.tolerance > 0
    if not is_asked and not found.doubt:
        return None
    reason = _shortfall(found, found.error)
    finer = finer_than(state.explainer, found.total)
    if finer is None:
        return Finding(say("{reason}: compare with another method", reason=reason), "") if found.doubt else None
    effort = say(finer.effort_name)
    if not is_asked:
        return Finding(say("{reason}: raise {name}", reason=reason, name=effort), "")
    return Finding(
        say("{reason}: go on, or raise {name}", reason=reason, name=effort),
        say("go on, with {count:,} evaluations", count=finer.effort),
        MappingProxyType({"explainer": finer}),
    )


def _shortfall(found: Attribution, error: float) -> str:
    """What the error of a map means."""
    if found.error_kind is ErrorKind.COMPLETENESS_GAP:
        return say("the values miss the score's change by {error:.0%}", error=error)
    return say("another seed would change the map by about {error:.0%}", error=error)


def progress(found: Attribution, seconds: float | None) -> str:
    """How far a refinement is, how sure, and how long it will take; ``seconds`` is ``None`` when it was done before."""
    sure = "" if found.error is None else f"; {found.error_name} {found.error:.1%}"
    sure += f"; {found.additivity}" if found.additivity else ""
    if seconds is None:
        so_far = say("{total} evaluations, done before", total=found.total)
    elif found.done < found.total:
        so_far = found.progress(seconds)
    else:
        so_far = say("{total} evaluations in {seconds:.1f} s", total=found.total, seconds=seconds)
    return say(
        "{method} for “{label}” at {layer}, score {score:.3g}; {so_far}",
        method=found.method,
        label=found.label,
        layer=found.layer,
        score=found.score,
        so_far=f"{so_far}{sure}",
    )
