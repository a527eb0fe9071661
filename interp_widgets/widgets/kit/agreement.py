"""``Agreement``: the difference of two maps, where all of them disagree, and how much each two do."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike, NDArray

from interp_widgets.evaluation.agreement import Evidence, disagreement, on_shared_cells, rank_correlations, ranks
from interp_widgets.render.colours import colour_table
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.words import say

__all__ = ["Agreement"]

Map = NDArray[np.float32]  # (h, w)


class Agreement(widgets.HBox):
    """All by the rank of their evidence in common cells, so that neither units nor resolutions matter.

    Args:
        titles: what the maps are called.
        size: CSS pixels of a picture.
    """

    def __init__(self, titles: Sequence[str], size: int) -> None:
        self._titles = list(titles)
        self._maps: dict[int, Map] = {}
        self.difference = _picture(size, "RdBu_r", signed=True)
        self.disagreement = _picture(size, "cividis")
        self.matrix = widgets.HTML(layout={"min_width": "0", "flex": "1 1 300px", "overflow": "auto"})
        names = [(title, str(place)) for place, title in enumerate(titles)]
        growing = {"flex": "1 1 0%", "min_width": "0", "width": "auto"}
        last = str(min(1, len(titles) - 1))
        self.first = Menu(options=names, value="0", label=say("the map that the other is taken from"), layout=growing)
        self.second = Menu(options=names, value=last, label=say("the map that is taken off"), layout=growing)
        kinds = [(kind.words, kind.value) for kind in Evidence]
        self.kind = Menu(
            options=kinds, value=Evidence.POSITIVE.value, label=say("what of the maps is compared"), layout=growing
        )
        less = widgets.Label(say("less"), layout={"flex": "0 0 auto"})
        chosen = widgets.HBox([self.first, less, self.second], layout={"width": f"{2 * size + 8}px"})
        beside = widgets.HBox([self.difference, self.disagreement], layout={"grid_gap": "8px"})
        wrapped = {
            "width": "100%",
            "margin": "8px 0 0",
            "flex_flow": "row wrap",
            "grid_gap": "8px",
            "align_items": "flex-start",
        }
        super().__init__([widgets.VBox([self.kind, chosen, beside]), self.matrix], layout=wrapped)
        self._show_none()
        self.kind.observe(lambda _change: self.show(self._maps), "value")
        for menu in (self.first, self.second):
            menu.observe(lambda _change: self._subtract(), "value")

    @property
    def evidence(self) -> Evidence:
        """Which part of the maps is compared."""
        return Evidence(self.kind.value or Evidence.POSITIVE.value)

    def cells(self, maps: Sequence[ArrayLike]) -> NDArray[np.float64]:
        """What is compared of some maps, ``(n, H, W)``."""
        return on_shared_cells(maps, self.evidence)

    def show(self, maps: Mapping[int, Map]) -> None:
        """Show how these maps agree, by their place among the titles; nothing as long as there are fewer than two."""
        self._maps = dict(maps)
        if len(maps) < 2:
            self._show_none()
            return
        arrays = list(self.cells(list(maps.values())))
        apart = disagreement(arrays)
        correlations = rank_correlations(arrays)
        self.disagreement.put(0, 0, apart, lo=0.0)
        self.disagreement.label = say("disagreement of {count} maps", count=len(maps))
        self.disagreement.alt = say(
            "standard deviation of the ranks over {count} maps, mean {mean:.2f}", count=len(maps), mean=apart.mean()
        )
        rows, columns = apart.shape
        caption = say(
            "rank correlation of each two maps: {evidence}, mean of each of {rows} by {columns} cells",
            evidence=self.evidence.words,
            rows=rows,
            columns=columns,
        )
        titles = [self._titles[place] for place in maps]
        constant = [(title, cells) for title, cells in zip(titles, arrays, strict=True) if np.ptp(cells) == 0]
        reasons = [self._why_none(title, cells) for title, cells in constant]
        self.matrix.value = _table(titles, correlations, caption, reasons)
        self._subtract()

    def _show_none(self) -> None:
        _empty(self.difference, say("first less second"))
        _empty(self.disagreement, say("disagreement of all"))
        self.matrix.value = ""

    def _why_none(self, title: str, cells: NDArray[np.float64]) -> str:
        """Why a map whose cells are all the same has no correlations."""
        if self.evidence is Evidence.POSITIVE and not cells.any():
            return say("none: {title} has no evidence for the target", title=title)
        return say("none: {title} is the same everywhere, so its cells have no order", title=title)

    def _subtract(self) -> None:
        first, second = (int(menu.value or 0) for menu in (self.first, self.second))
        if first not in self._maps or second not in self._maps:
            _empty(self.difference, say("first less second"))
            return
        chosen = dict(zip(self._maps, self.cells(list(self._maps.values())), strict=True))
        a, b = ranks(chosen[first]), ranks(chosen[second])
        self.difference.put(0, 0, a - b)
        self.difference.label = say("first less second")
        self.difference.alt = say(
            "{first} less {second}, by rank: {low} to {high}",
            first=self._titles[first],
            second=self._titles[second],
            low=_signed((a - b).min()),
            high=_signed((a - b).max()),
        )


def _empty(picture: Picture, label: str) -> None:
    """Say that there is nothing to compare yet."""
    picture.clear()
    picture.label = picture.alt = say("{label}: it takes two maps", label=label)


def _picture(size: int, colours: str, *, signed: bool = False) -> Picture:
    return Picture(
        size=size,
        view="map",
        units=say("ranks"),
        signed=signed,
        colormap=colours,
        table=colour_table(colours).tobytes(),
    )


def _table(titles: Sequence[str], correlations: NDArray[np.float64], caption: str, reasons: Sequence[str]) -> str:
    """The matrix as an HTML table: numbers, and a shade for how large they are; below it why some are none."""
    head = "".join(f"<th scope='col'>{number + 1}</th>" for number in range(len(titles)))
    rows = [
        f"<tr><th scope='row'>{number + 1} {html.escape(title)}</th>{''.join(map(_cell, row.tolist()))}</tr>"
        for number, (title, row) in enumerate(zip(titles, correlations, strict=True))
    ]
    table = f"<table class='iw iw-correlations'><caption>{html.escape(caption)}</caption><tr><td></td>{head}</tr>"
    below = "".join(f"<p class='iw iw-muted'>{html.escape(reason)}</p>" for reason in reasons)
    return f"{table}{''.join(rows)}</table>{below}"


def _cell(correlation: float) -> str:
    if np.isnan(correlation):
        return f"<td>{html.escape(say('none'))}</td>"
    shade = max(0.0, correlation) / 2
    return f"<td style='background:rgba(33,113,181,{shade:.2f})'>{_signed(correlation)}</td>"


def _signed(value: float) -> str:
    """Two decimals, with a minus as wide as a plus, and none before a zero."""
    rounded = round(value, 2) or 0.0  # a negative zero is no number of its own
    return f"{rounded:.2f}".replace("-", "\N{MINUS SIGN}")
