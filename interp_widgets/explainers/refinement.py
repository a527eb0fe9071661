"""Go on until an estimate is as sure as somebody asks.

A method's own hyper-parameter says how much it does in one go. Where the error that it states is still too large, it is
done again with twice as much, as long as a budget of evaluations lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from interp_widgets.explainers.attribution import Attribution
from interp_widgets.explainers.base import Explainer
from interp_widgets.explainers.estimate import ErrorKind
from interp_widgets.trace import TargetLike, Trace

__all__ = ["BUDGET", "finer_than", "refined"]

BUDGET = 256  # evaluations of the model that are taken without being asked for


def refined(
    explainer: Explainer,
    trace: Trace,
    target: TargetLike = None,
    layer: str | None = None,
    *,
    example: int = 0,
    tolerance: float = 0.05,
    budget: int = BUDGET,
) -> Iterator[Attribution]:
    """Estimates as ``explainer.stream`` yields them, and finer ones until the error is at most ``tolerance``.

    While a finer one is worked on, the one before it stays. It is not begun where it cannot get there: a standard error
    falls with the root of the samples, so their number is known; a completeness gap is tried twice as fine each time.

    Args:
        tolerance: of the error, relative to the map (or to the score's change), 0..1; 0 takes the explainer as it is.
        budget: evaluations of the model in all; the explainer as it is may take more.

    Raises:
        As ``Explainer.__call__``.
    """
    spent = 0
    best: Attribution | None = None  # the last that was finished
    following: Explainer | None = explainer
    while following is not None:
        current, following = following, None
        for found in current.stream(trace, target, layer, example=example):
            done, total = spent + found.done, spent + found.total
            if found.done >= found.total:
                best = found
                following = _next(current, found, tolerance, budget - total)
                total += 0 if following is None else 1  # so that nobody takes it for the last
            shown = found if best is None else best
            is_as_given = (shown.done, shown.total) == (done, total)
            yield shown if is_as_given else replace(shown, done=done, total=total)
        spent += 0 if best is None else best.total


def finer_than(explainer: Explainer, evaluations: int) -> Explainer | None:
    """The explainer with so much to do that it takes more evaluations than these; ``None`` where it cannot have."""
    finer: Explainer | None = explainer if explainer.effort else None
    while finer is not None and finer.effort <= evaluations:
        finer = finer.finer()
    return finer


def _next(explainer: Explainer, found: Attribution, tolerance: float, left: int) -> Explainer | None:
    """The finer explainer to go on with, ``None`` where it is not needed or leads nowhere."""
    if not tolerance or found.error is None or found.error <= tolerance:
        return None
    if found.error_kind is ErrorKind.STANDARD_ERROR:
        needed = found.total * (found.error / tolerance) ** 2
        if needed > left:
            return None
        return finer_than(explainer, int(explainer.effort * (found.error / tolerance) ** 2) - 1)
    finer = explainer.finer()
    return finer if finer is not None and found.total * 2 <= left else None
