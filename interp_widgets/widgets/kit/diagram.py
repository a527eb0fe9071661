"""``Diagram``: boxes and lines that Python has laid out, moved, zoomed and searched in the browser.

A message goes to the kernel when a box is chosen, or a scope opened or closed; none while something moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import traitlets as t

from interp_widgets.render import diagram as laid_out
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait

__all__ = ["Diagram"]


class Diagram(BrowserWidget):
    """A nested graph; ``selected`` is the name of the chosen entry, which may lie in a closed scope.

    An entry is a box that there is when everything around it is open: a dict of ``name`` (unique), ``kind`` and
    ``parent`` (the place of an entry before it, or -1).

    >>> from interp_widgets.render.diagram import Diagram as Drawing, Plate
    >>> plates = [Plate("conv", "8", "conv · Conv2d · 8", "#3b8fc4", name="conv"), Plate("out", "8", "", "#7f8790")]
    >>> diagram = Diagram()
    >>> diagram.show(Drawing(plates, [(0, 1)], title="", alt=""))
    >>> diagram.boxes[0]["name"], diagram.links
    ('conv', [[0, 1]])
    """

    _text = module("diagram")

    boxes = t.List(t.Dict(), help="what is drawn, a scope before what is in it").tag(sync=True)
    links = t.List(t.List(t.Int()), help="places of the two boxes that each line joins").tag(sync=True)
    routes = t.List(t.List(t.Float()), help="x and y of each line's corners").tag(sync=True)
    size = t.Tuple(t.Float(), t.Float(), default_value=(0.0, 0.0), help="width and height of all of it").tag(sync=True)
    measures = t.List(t.Tuple(t.Unicode(), t.Unicode()), help="what the boxes can be coloured by, and its name").tag(
        sync=True
    )
    measure = t.Unicode("", help="which of them they are coloured by").tag(sync=True)
    measure_help = help_trait()
    colours = t.List(t.Unicode(), help="#rrggbb of each box").tag(sync=True)
    solid = t.Bool(False, help="whether boxes are filled with their colour, not with a tint of it").tag(sync=True)
    legend = t.List(t.Tuple(t.Unicode(), t.Unicode()), help="colours and what they mean").tag(sync=True)
    entries = t.List(t.Dict(), help="all boxes that there can be, for the search").tag(sync=True)
    opened = t.List(t.Unicode(), help="names of the open scopes").tag(sync=True)
    selected = t.Unicode("", help="name of the chosen entry; empty: none").tag(sync=True)
    card = t.List(t.Tuple(t.Unicode(), t.Unicode()), help="facts about the chosen entry").tag(sync=True)
    height = t.Int(420, min=120, max=4000, help="CSS pixels of the drawing").tag(sync=True)
    label = t.Unicode("", help="what is drawn, for screen readers").tag(sync=True)
    help = help_trait()

    def show(self, diagram: laid_out.Diagram, reasons: Mapping[str, str] = {}) -> None:
        """Replace boxes and lines in one message.

        Args:
            diagram: its plates have unique names.
            reasons: why a box cannot be chosen, by its name; the others can.
        """
        with self.hold_sync():
            layout = diagram.layout
            self.size = (layout.width, layout.height)
            self.links = [list(line) for line in diagram.lines]
            self.routes = [[value for point in route for value in point] for route in layout.routes]
            self.colours = [plate.colour for plate in diagram.plates]
            self.opened = [plate.name for plate in diagram.plates if plate.role == "open"]
            self.boxes = [_box(diagram, place, reasons) for place in range(len(diagram.plates))]

    def paint(self, colours: Iterable[str], legend: Sequence[tuple[str, str]], *, solid: bool) -> None:
        """Give the boxes that are shown other colours."""
        with self.hold_sync():
            self.colours, self.legend, self.solid = list(colours), list(legend), solid


def _box(diagram: laid_out.Diagram, place: int, reasons: Mapping[str, str]) -> dict[str, Any]:
    """A box as the browser draws it: its sheets, the front one last, and its words where they stand."""
    plate = diagram.plates[place]
    captions = diagram.captions(place)
    return {
        "name": plate.name,
        "tip": plate.tip,
        "parent": plate.parent,
        "role": plate.role,
        "reason": reasons.get(plate.name, ""),
        "head": laid_out.HEADER if plate.role == "open" else 0.0,
        "sheets": [list(sheet) for sheet in diagram.sheets(place)],
        "words": [[caption.words, caption.size, caption.x, caption.y] for caption in captions],
    }
