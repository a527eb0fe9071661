"""The Explorer's child widgets and where they stand on the screen; no state, no computation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType

import ipywidgets as widgets
import numpy as np

from interp_widgets.evaluation import Finding
from interp_widgets.explainers import EXPLAINERS, Attribution, Explainer
from interp_widgets.inspectors.outline import Outline, tail, times
from interp_widgets.render.colours import SEQUENTIAL, colour_table
from interp_widgets.session.session import Session
from interp_widgets.trace import Trace
from interp_widgets.widgets.kit.browser_widget import close_whole
from interp_widgets.widgets.kit.class_list import ClassList
from interp_widgets.widgets.kit.goal import Goal
from interp_widgets.widgets.kit.layer_tree import LayerTree
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.parameters import Parameters
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.status_line import StatusLine
from interp_widgets.widgets.kit.strip import NetworkStrip
from interp_widgets.widgets.kit.thumbnails import Thumbnails
from interp_widgets.widgets.kit.tiles import Tiles

__all__ = ["Panel"]

VECTOR = 12  # values shown of an attribution that is no map, the largest first
RANKINGS = [("by activation", "activation"), ("by contribution", "contribution"), ("by number", "number")]
GROWING = {"width": "auto", "flex": "1 1 0%", "min_width": "0"}
BYTE_LIMIT = 4_000_000  # of frames per picture; an Explorer that is left alone keeps no more than two of these


class Panel:
    """Every control, arranged in ``root``."""

    def __init__(self, title: str) -> None:
        self.attribution = Picture(size=240, byte_limit=BYTE_LIMIT)
        self.channel = Picture(
            size=148, byte_limit=BYTE_LIMIT, view="map", table=colour_table("gray").tobytes(), colormap="gray"
        )
        self.vector = Tiles(mode="bars", measure="value", layout={"width": "240px", "display": "none"})
        self.classes = ClassList(limit=10, layout={"width": "100%"})
        self.tiles = Tiles(
            columns=3, tile_size=44, table=colour_table("gray").tobytes(), layout={"flex": "1 1 0%", "min_width": "0"}
        )
        self.tree = LayerTree(height=108, layout={"width": "100%"})
        self.strip = NetworkStrip(width=464, height=104)
        self.thumbnails = Thumbnails(layout={"width": "100%"})
        self.status = StatusLine(layout={"flex": "1 1 0%", "min_width": "0"})
        self.stop = widgets.Button(
            description="Stop",
            tooltip="stop what is being computed",
            layout={"width": "56px", "visibility": "hidden"},
        )
        self.remedy = widgets.Button(layout={"display": "none", "width": "auto", "flex": "0 0 auto"})
        self.method = _menu([(kind.title, name) for name, kind in EXPLAINERS.items()], "method", "2 1 0%")
        self.method.groups = {name: kind.family for name, kind in EXPLAINERS.items()}
        self.method.unavailable = {name: "not installed" for name, kind in EXPLAINERS.items() if kind.missing()}
        self.colormap = _menu([(name, name) for name in SEQUENTIAL], "colours")
        self.ranking = _menu(RANKINGS, "order of the channels", "0 0 124px")
        self.opacity = Slider(label="opacity", value=0.6, step=0.01, layout=GROWING)
        self.depth = Slider(label="depth", max=0.0, layout=GROWING)
        self.channel_slider = Slider(label="channel", max=0.0, readout=True, layout=GROWING)
        self.upload = widgets.FileUpload(
            accept="image/*",
            description="Image",
            tooltip="look at an image of your own",
            layout={"width": "116px", "flex": "0 0 auto"},
        )
        self.path = widgets.Text(
            continuous_update=False,
            description="or",
            placeholder="path, then Enter",
            tooltip="path of an image file",
            style={"description_width": "16px"},
            layout={"width": "180px", "flex": "0 0 auto"},
        )
        self.layer_name = _heading("")
        self.layer_name.layout.flex = "1 1 0%"
        self.parameters = Parameters()
        self.goal = Goal()
        self._links: list[widgets.Widget] = []
        self._depth_link: widgets.Widget | None = None
        self._extra: list[widgets.Widget] = []
        self._drawn = (
            self.attribution,
            self.channel,
            self.channel_slider,
            self.classes,
            self.tiles,
            self.layer_name,
            self.status,
            self.stop.layout,
        )
        self.root = self._arrange(title)
        self.root.add_class("iw-explorer")

    @property
    def controls(self) -> Mapping[str, widgets.Widget]:
        """The controls by name, for links in the browser."""
        names = (
            "attribution",
            "channel",
            "channel_slider",
            "classes",
            "colormap",
            "depth",
            "method",
            "opacity",
            "tiles",
            "tree",
        )
        return MappingProxyType({name: getattr(self, name) for name in names})

    def link(self) -> None:
        """What follows what in the browser, without the kernel.

        Called when the first state is set: a link that arrives before it would copy the controls' defaults back.
        """
        self._links = [
            widgets.jsdlink((self.opacity, "value"), (self.attribution, "opacity")),
            widgets.jsdlink((self.classes, "selected"), (self.attribution, "column")),
            widgets.jsdlink((self.depth, "value"), (self.channel, "row")),
            widgets.jslink((self.tiles, "selected"), (self.channel_slider, "value")),
            widgets.jsdlink((self.channel_slider, "value"), (self.channel, "column")),
            widgets.jslink((self.attribution, "cursor"), (self.channel, "cursor")),
        ]

    def link_depth(self, *, linked: bool) -> None:
        """Whether the depth slider chooses the attribution's row; not for methods that explain the input."""
        if linked and self._depth_link is None:
            self._depth_link = widgets.jsdlink((self.depth, "value"), (self.attribution, "row"))
        elif not linked and self._depth_link is not None:
            self._depth_link.unlink()
            self._depth_link.close()
            self._depth_link = None

    def _arrange(self, title: str) -> widgets.VBox:
        head = _row([_heading(title), self.thumbnails, self.upload, self.path], align="center")
        self._opacity_row = _row([self.opacity])
        choice = _row([self.method, self.colormap])
        maps = _column([choice, self.attribution, self.vector, self._opacity_row], width="248px")
        prediction = _column([_heading("Prediction"), self.classes, self.goal.root], width="252px")
        self._channel_box = _column([self.channel, _row([self.channel_slider])], width="156px")
        self._channel_box.layout.align_self = "flex-start"
        channels = _column(
            [_row([self.layer_name, self.ranking], align="center"), _row([self._channel_box, self.tiles], gap="8px")],
            grow=True,
        )
        network = _column([self.strip, _row([self.depth])], width="472px")
        tree = _column([self.tree], grow=True)
        beside = _column([_row([prediction, channels], gap="12px"), self.parameters.root], grow=True)
        return _column(
            [
                head,
                _row([maps, beside], gap="12px"),
                _row([network, tree], gap="12px"),
                _row([self.status, self.remedy, self.stop]),
            ]
        )

    @contextmanager
    def hold(self) -> Iterator[None]:
        """One message per widget for everything that is changed inside."""
        with ExitStack() as stack:
            for widget in self._drawn:
                stack.enter_context(widget.hold_sync())
            yield

    # What is shown

    def show_method(self, explainer: Explainer) -> None:
        """The chosen method in the menu; one that is not there yet is added."""
        name = type(explainer).__name__
        if name not in [value for _, value in self.method.options]:
            with self.method.hold_sync():
                self.method.groups = {**self.method.groups, name: explainer.family}
                self.method.options = [*self.method.options, (explainer.title, name)]
        self.method.value = name

    def show_network(self, outline: Outline, layer: str) -> None:
        """The strip, the tree and the range of the depth slider."""
        self.depth.max = float(max(0, len(outline.rows) - 1))
        self.strip.show(outline, layer)
        nodes = [
            {
                "path": module.path,
                "parent": module.parent,
                "name": module.name,
                "kind": module.type,
                "shape": times(module.shape[1:]),
                "parameters": module.parameters,
                "layer": module.row,
            }
            for module in outline.modules
        ]
        if self.tree.nodes != nodes:
            self.tree.nodes = nodes

    def show_inputs(self, session: Session) -> None:
        """The inputs to choose from."""
        count = len(session.inputs)
        if len(self.thumbnails.images) != count:
            shown = [session.picture(i) for i in range(count)]
            self.thumbnails.show(shown, [session.name_of(i) for i in range(count)], self.thumbnails.selected)

    def show_attribution(self, found: Attribution) -> None:
        """The picture for a map, bars for an attribution that is a list of values."""
        is_map = found.values.ndim == 2
        self.attribution.view = "overlay"
        self.attribution.layout.display = "" if is_map else "none"
        self.vector.layout.display = "none" if is_map else ""
        self._opacity_row.layout.visibility = "visible" if is_map else "hidden"
        if not is_map:
            values = found.array.ravel()
            order = np.argsort(-np.abs(values), kind="stable")[:VECTOR]
            captions = [f"{values[i]:.3g}" for i in order]
            self.vector.alt = found.describe()
            names = [found.names[i] for i in order] if found.names else []
            self.vector.show_bars(values[order].tolist(), numbers=order.tolist(), captions=captions, names=names)

    def describe_layer(self, trace: Trace, layer: str) -> None:
        """The heading of the channels, and whether there are maps."""
        spatial = trace.is_spatial(layer)
        site = trace.site(layer)
        size = times(site.shape[1:])
        self.layer_name.value = f"{tail(layer, 23 - len(size))} · {size}" + ("" if spatial else " (no maps)")
        self.layer_name.tooltip = layer
        self._channel_box.layout.display = "" if spatial else "none"

    def set_busy(self, *, busy: bool, shown: bool = False) -> None:
        """Say that something is being computed; ``shown``: an estimate of it is on the screen already."""
        self.attribution.busy = busy and not shown
        self.stop.layout.visibility = "visible" if busy else "hidden"

    def offer(self, finding: Finding | None) -> None:
        """A button for the way out of a map that says nothing."""
        offered = finding is not None and bool(finding.remedy)
        self.remedy.layout.display = "" if offered else "none"
        if finding is not None and offered:
            self.remedy.description = finding.remedy[:1].upper() + finding.remedy[1:]
            self.remedy.tooltip = finding.reason

    def close(self) -> None:
        """Close every widget, its layout and its style."""
        self.link_depth(linked=False)
        for link in self._links:
            link.close()
        close_whole(self.root)


def _menu(options: list[tuple[str, str]], label: str, flex: str = "1 1 0%") -> Menu:
    layout = {"width": "auto", "flex": flex, "margin": "0 2px 4px 2px", "min_width": "0"}
    return Menu(options=options, value=options[0][1], label=label, layout=layout)


def _heading(text: str) -> widgets.Label:
    return widgets.Label(
        text, style={"font_weight": "600", "font_size": "13px"}, layout={"margin": "0 4px", "flex": "0 0 auto"}
    )


def _row(children: list[widgets.Widget], *, align: str = "stretch", gap: str = "4px") -> widgets.HBox:
    return widgets.HBox(children, layout={"width": "100%", "align_items": align, "grid_gap": gap, "overflow": "hidden"})


def _column(children: list[widgets.Widget], *, width: str = "100%", grow: bool = False) -> widgets.VBox:
    flex = "1 1 0%" if grow else "0 0 auto"
    return widgets.VBox(
        children, layout={"width": "auto" if grow else width, "flex": flex, "min_width": "0", "overflow": "hidden"}
    )
