"""`Surface`: a drawing is whole, or it is not there."""

from __future__ import annotations

import math

import pytest

from interp_widgets.widgets.kit.canvas import Surface


def test_a_number_that_is_not_finite_is_refused_before_anything_is_drawn() -> None:
    surface = Surface(10, 10)
    surface.draw([("fill_rect", 0.0, 0.0, 1.0, 1.0)])
    with pytest.raises(ValueError, match="finite"):
        surface.draw([("fill_rect", math.nan, 0.0, 1.0, 1.0)])
    assert surface._commands == [("fill_rect", 0.0, 0.0, 1.0, 1.0)]
    surface.close()


def test_a_drawing_that_fails_leaves_no_canvas_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    surface = Surface(10, 10)
    manager = surface.canvas._canvas_manager
    with pytest.raises(AttributeError, match="no_such_command"):
        surface.draw([("no_such_command", 1)])
    sent: list[object] = []
    monkeypatch.setattr(manager, "send", lambda *arguments, **options: sent.append((arguments, options)))
    surface.draw([("fill_rect", 0.0, 0.0, 1.0, 1.0)])
    assert sent
    surface.close()
