"""`LookControls` without a browser: what it offers, and what it remembers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest

from interp_widgets.render.look import Look
from interp_widgets.widgets.kit.look_controls import LookControls

CAM, PIXELS = Look(), Look(smoothing=0.01, photo="grey", by_strength=True)


@pytest.fixture
def controls() -> Iterator[LookControls]:
    made = LookControls()
    yield made
    made.close()


def _choose(controls: LookControls, look: Look) -> None:
    """As the browser does."""
    controls.set_state({"look": asdict(look)})


def test_a_map_is_offered_the_look_that_is_usual_for_its_kind(controls: LookControls) -> None:
    controls.offer(PIXELS, 0.25)
    assert (controls.look, controls.usual, controls.reach) == (PIXELS, PIXELS, 0.25)


def test_what_was_chosen_for_maps_of_a_kind_is_kept_for_that_kind_alone(controls: LookControls) -> None:
    controls.offer(PIXELS, 1.0)
    chosen = replace(PIXELS, percentile=95, smoothing=0.0)
    _choose(controls, chosen)
    controls.offer(CAM, 1.0)
    assert controls.look == CAM
    controls.offer(PIXELS, 2.0)
    assert controls.look == chosen
    assert controls.usual == PIXELS
    _choose(controls, PIXELS)
    controls.offer(CAM, 1.0)
    controls.offer(PIXELS, 2.0)
    assert controls.look == PIXELS
