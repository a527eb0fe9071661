"""What the line below a map advises."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.explainers import Attribution, ErrorKind, Explainer, IntegratedGradients, SmoothGrad
from interp_widgets.trace import ClassScore
from interp_widgets.widgets.views.attribution_state import AttributionState, way_on

MISS = "the values miss the score's change by 23%"
SEED = "another seed would change the map by about 23%"


def _asked(explainer: Explainer, tolerance: float) -> AttributionState:
    return AttributionState(1, "", 0, 3, 3, explainer, at_layer=False, tolerance=tolerance)


def _found(explainer: Explainer, kind: ErrorKind, error: float | None, *, done: int = 0) -> Attribution:
    return Attribution(
        values=torch.ones(2, 2),
        method="some method",
        layer="input",
        target=ClassScore(3),
        score=1.0,
        signed=True,
        label="cat",
        done=done or explainer.effort,
        total=explainer.effort,
        error=error,
        error_kind=kind,
    )


@pytest.mark.parametrize(
    ("explainer", "kind", "tolerance", "reason", "remedy"),
    [
        (
            IntegratedGradients(steps=8),
            ErrorKind.COMPLETENESS_GAP,
            0.05,
            f"{MISS}: go on, or raise steps",
            "go on, with 16 evaluations",
        ),
        (
            SmoothGrad(samples=8),
            ErrorKind.STANDARD_ERROR,
            0.05,
            f"{SEED}: go on, or raise samples",
            "go on, with 16 evaluations",
        ),
        (SmoothGrad(samples=8), ErrorKind.STANDARD_ERROR, 0.0, f"{SEED}: raise samples", ""),
        (SmoothGrad(samples=2000), ErrorKind.STANDARD_ERROR, 0.05, f"{SEED}: compare with another method", ""),
    ],
)
def test_a_large_error_comes_with_what_to_do(
    explainer: Explainer, kind: ErrorKind, tolerance: float, reason: str, remedy: str
) -> None:
    advice = way_on(_asked(explainer, tolerance), _found(explainer, kind, 0.23))
    assert advice is not None
    assert (advice.reason, advice.remedy) == (reason, remedy)


def test_an_error_that_nobody_minds_and_an_unfinished_map_come_without_advice() -> None:
    kind = ErrorKind.STANDARD_ERROR
    few, most = SmoothGrad(samples=8), SmoothGrad(samples=2000)
    assert way_on(_asked(few, 0.3), _found(few, kind, 0.04)) is None
    assert way_on(_asked(few, 0.0), _found(few, kind, 0.19)) is None  # not large, and nobody asked for less
    assert way_on(_asked(most, 0.05), _found(most, kind, 0.19)) is None  # nothing to be done, and not large
    assert way_on(_asked(few, 0.05), _found(few, kind, None)) is None
    assert way_on(_asked(few, 0.05), _found(few, kind, 0.23, done=4)) is None
