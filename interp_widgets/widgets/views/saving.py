"""``saving``: the menu that takes home what an attribution's view shows, as it shows it."""

from __future__ import annotations

from functools import partial

import numpy as np

from interp_widgets.errors import InputError
from interp_widgets.explainers import Attribution
from interp_widgets.render.colours import default_colormap
from interp_widgets.render.look import USUAL_OPACITY
from interp_widgets.render.sheet import WIDTH, Sheet
from interp_widgets.render.svg import svg_of
from interp_widgets.widgets.kit.save import Kind, Save
from interp_widgets.widgets.views.attribution import AttributionView
from interp_widgets.words import say

__all__ = ["saving"]


def saving(view: AttributionView, title: str = "") -> Save:
    """A ``Save`` of the map, or of the list of values, that a view shows when it is asked.

    Args:
        title: what the model is called, for the names of files.
    """
    return Save(make=partial(_made, view), name=partial(_name, view, title))


def _made(view: AttributionView, kind: Kind) -> bytes | str:
    found = _shown(view)
    if kind == "code":
        return _code(view, found)
    if found.values.ndim == 1:
        figure = found.figure()
        return figure.svg() if kind == "svg" else figure.png(WIDTH)
    sheet = _sheet(view, found)
    return svg_of(sheet) if kind == "svg" else sheet.png()


def _shown(view: AttributionView) -> Attribution:
    """The attribution on the screen, also an estimate.

    Raises:
        InputError: there is none.
    """
    state = view.drawn
    is_current = state is not None and state.recording == view.session.recordings
    if not is_current or state.refusal or state.found is None:
        raise InputError(say("there is nothing to save: {reason}", reason=view.alt))
    found: Attribution = state.found
    return found


def _sheet(view: AttributionView, found: Attribution) -> Sheet:
    """The map in the look on the screen, computed from its own values at the input's own resolution."""
    picture = view.picture
    table = np.frombuffer(picture.table, dtype=np.uint8).reshape(256, 3)
    display = found.display(picture.look)
    return found.sheet(display, view.session.picture(), table, opacity=picture.opacity, smooth=picture.smooth)


def _code(view: AttributionView, found: Attribution) -> str:
    if found.values.ndim != 2:
        return view.session.code()
    colours, look = view.picture.colormap, view.picture.look
    is_usual = colours == default_colormap(signed=found.signed)
    opacity = view.picture.opacity
    return view.session.code(
        colormap=None if is_usual else colours,
        opacity=None if opacity == USUAL_OPACITY else opacity,
        look=None if look == found.look else look,
    )


def _name(view: AttributionView, title: str) -> str:
    found = _shown(view)
    return f"{title} {found.method} {found.label}"
