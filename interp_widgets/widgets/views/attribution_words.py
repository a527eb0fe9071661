"""What the line below an attribution says."""

from __future__ import annotations

from interp_widgets.explainers import Attribution, Explainer
from interp_widgets.session.session import Session

__all__ = ["is_blank", "progress", "sentence"]


def is_blank(found: Attribution) -> bool:
    """Whether every value is zero."""
    return not bool(found.values.any())


def sentence(
    found: Attribution, explainer: Explainer, session: Session, *, layer: str, seconds: float, is_cached: bool
) -> str:
    """What is shown and where, the score, and what it took.

    Args:
        layer: the layer that was asked for, which may have no maps; empty when the input is explained.
        is_cached: whether the recording had what it takes.
    """
    if explainer.refines:
        return progress(found, None if is_cached else seconds)
    where = f"at {found.layer}"
    if layer and found.layer != layer:
        where += f" ({layer} has no maps)"
    if found.values.ndim != 2:
        where += ", values and no map"
    elif not session.ready().is_spatial(found.layer):
        where += ", a matrix and no map of the input"
    source = "from the recording" if is_cached else "one backward pass"
    return (
        f"{found.method} for “{found.label}” {where}, score {found.score:.3g}; {source}, {seconds * 1000:.1f} ms "
        f"(recording the input took {session.record_seconds * 1000:.0f} ms)"
    )


def progress(found: Attribution, seconds: float | None) -> str:
    """How far a refinement is, how sure, and how long it will take; ``seconds`` is ``None`` when it was done before."""
    sure = "" if found.error is None else f"; {found.error_name} {found.error:.1%}"
    sure += f"; {found.additivity}" if found.additivity else ""
    if seconds is None:
        so_far = f"{found.total} evaluations, done before{sure}"
    elif found.done < found.total:
        so_far = f"{found.progress(seconds)}{sure}"
    else:
        so_far = f"{found.total} evaluations in {seconds:.1f} s{sure}"
    return f"{found.method} for “{found.label}” at {found.layer}, score {found.score:.3g}; {so_far}"
