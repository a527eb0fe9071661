"""A profile through depth: a box for each layer, in execution order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interp_widgets.render.fonts import families
from interp_widgets.render.still import StillFigure
from interp_widgets.words import say

__all__ = ["profile_figure"]

WIDEST = 24.0  # inches
MOST_NAMES = 100  # on the axis: more cannot be read
LINEAR = 1e-4  # of the largest size: nearer to zero a logarithmic scale is linear
BOX, LINE = "#9ecae1", "#08519c"


def profile_figure(
    names: Sequence[str],
    boxes: NDArray[np.float64],
    norms: NDArray[np.float64] | None = None,
    *,
    title: str,
    log: bool = False,
) -> StillFigure:
    """Boxes from the 25 % to the 75 % quantile with a line at the median and whiskers to 5 % and 95 %.

    Args:
        boxes: ``(L, 5)``, these quantiles in ascending order.
        norms: ``(L,)``, drawn below on a logarithmic scale; NaN where there is none.
        log: a scale of values that is logarithmic on both sides of zero.
    """
    fonts = families()
    count = len(names)
    figure = StillFigure(min(WIDEST, 3 + 0.2 * count), 4.5 if norms is None else 6.5)
    panels = figure.subplots(1 if norms is None else 2, 1, sharex=True, squeeze=False)[:, 0]
    keys = ("whislo", "q1", "med", "q3", "whishi")
    known = [place for place in range(count) if np.isfinite(boxes[place]).all()]
    if log:
        largest = float(np.abs(boxes[known]).max(initial=0.0))
        panels[0].set_yscale("symlog", linthresh=LINEAR * largest or 1.0)
    panels[0].bxp(
        [dict(zip(keys, boxes[place], strict=True)) for place in known],
        positions=known,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": BOX, "edgecolor": LINE},
        medianprops={"color": LINE},
        manage_ticks=False,
    )
    panels[0].axhline(0, color="grey", linewidth=0.6)
    panels[0].set_ylabel(say("value"), fontsize=8, fontfamily=fonts)
    if norms is not None:
        panels[1].plot(np.arange(count), np.where(norms > 0, norms, np.nan), color=LINE, marker=".")
        panels[1].set_yscale("log")
        panels[1].set_ylabel(say("norm of the gradient"), fontsize=8, fontfamily=fonts)
    panels[-1].set_xlim(-1, count)
    step = math.ceil(count / MOST_NAMES)
    places = range(0, count, step)
    panels[-1].set_xticks(places, [names[place] for place in places], rotation=90, fontsize=7, parse_math=False)
    figure.suptitle(title, fontsize=10, fontfamily=fonts, parse_math=False)
    return figure
