"""``Explorer``: input, prediction, network and channels of one model on one screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import nn

from interp_widgets import zoo
from interp_widgets.errors import InputError
from interp_widgets.explainers import Attribution
from interp_widgets.inputs import Preprocess
from interp_widgets.render.sheet import WIDTH
from interp_widgets.render.snapshot import snapshot_png
from interp_widgets.session.session import Session
from interp_widgets.trace.arguments import as_names, check_is, check_text, plain_module
from interp_widgets.widgets.kit.heading import heading
from interp_widgets.widgets.kit.links import BrowserLinks
from interp_widgets.widgets.kit.panels import Panels
from interp_widgets.widgets.screen import Screen
from interp_widgets.widgets.views.activations import ActivationView
from interp_widgets.widgets.views.attribution import AttributionView
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.widgets.views.channels import ChannelsView
from interp_widgets.widgets.views.graph import ModelGraph
from interp_widgets.widgets.views.help import explorer_help
from interp_widgets.widgets.views.histogram import HistogramView
from interp_widgets.widgets.views.inputs import InputsView
from interp_widgets.widgets.views.intervention import InterventionView
from interp_widgets.widgets.views.network import NetworkView
from interp_widgets.widgets.views.prediction import PredictionView
from interp_widgets.widgets.views.saving import saving
from interp_widgets.widgets.views.status_bar import StatusBar
from interp_widgets.widgets.views.summary import SummaryTable
from interp_widgets.widgets.views.weights import WeightView
from interp_widgets.words import say

__all__ = ["Explorer", "explore"]


class Explorer(Screen):
    """The flagship; made by ``explore``. All state is on ``session``: a trait set there moves the widget, and back.

    Usable as a context manager; ``close`` frees the trace and every child widget.

    Args:
        session: what is looked at; it may be shared by several widgets.
        title: what the model is called.
        owned: whether ``close`` closes the session too.
        still: whether a saved notebook shows a picture of it, which follows the state.
    """

    def __init__(self, session: Session, title: str = "", *, owned: bool = False, still: bool = True) -> None:
        check_is(session, Session, say("an Explorer shows a Session: iw.explore(model, inputs) makes both"))
        self.session = session
        self._owned = owned
        self._title = check_text(title, "title") or type(session.model).__name__
        self._bar = StatusBar()
        self._channels = ChannelsView(session, bar=self._bar)  # the first to send ahead what may be asked for next
        self._attribution = AttributionView(session, bar=self._bar)
        self._inputs = InputsView(session, bar=self._bar)
        self._prediction = PredictionView(session, bar=self._bar)
        self._network = NetworkView(session, bar=self._bar)
        self._links = BrowserLinks()
        self._more: list[SessionView] = []  # in panels that were opened
        super().__init__([self._arrange()], still=still)
        self._closed = False
        self._link()
        session.observe(self._changed)
        self._attribution.picture.observe(self._changed, ["look", "opacity", "table"])

    @property
    def views(self) -> tuple[SessionView, ...]:
        """What it is made of, in the order of the page."""
        return self._inputs, self._attribution, self._prediction, self._channels, self._network

    # What a user asks of it in Python

    @property
    def controls(self) -> Mapping[str, widgets.Widget]:
        """The child widgets by name, to link two explorers in the browser without the kernel.

        ``ipywidgets.jslink((a.controls["depth"], "value"), (b.controls["depth"], "value"))``; through the kernel, link
        the traits of ``session``.
        """
        return MappingProxyType(
            {
                "attribution": self._attribution.picture,
                "channel": self._channels.picture,
                "channel_slider": self._channels.slider,
                "classes": self._prediction.classes,
                "colormap": self._attribution.colormap,
                "depth": self._network.depth,
                "goal": self._prediction.goal.menu,
                "help": self._help,
                "look": self._attribution.look,
                "method": self._attribution.method,
                "opacity": self._attribution.opacity,
                "path": self._inputs.path,
                "panels": self._panels.tabs,
                "ranking": self._channels.ranking,
                "remedy": self._bar.remedy,
                "save": self._save,
                "stop": self._bar.stop,
                "strip": self._network.strip,
                "thumbnails": self._inputs.thumbnails,
                "tiles": self._channels.tiles,
                "tree": self._network.tree,
                "upload": self._inputs.upload,
            }
        )

    @property
    def attribution(self) -> Attribution:
        """What the map shows, computed now if need be."""
        return self.session.attribution()

    @property
    def error(self) -> str:
        """The sentence shown for the last thing that went wrong; empty when nothing did."""
        return self._bar.error

    @property
    def status(self) -> str:
        """What is shown, in words."""
        return self._bar.text

    @property
    def strongest_channel(self) -> int:
        """The channel of the layer that ranks first."""
        return self._channels.strongest()

    def wait(self, timeout: float | None = 60.0) -> bool:
        """Block until nothing is being computed; whether that was reached in ``timeout`` seconds."""
        return self.session.jobs.wait(timeout)

    def _free(self) -> None:
        self.session.unobserve(self._changed)
        self._links.close()
        for view in (*self.views, *self._more):
            view.close()
        if self._owned:
            self.session.close()

    def __repr__(self) -> str:
        return f"<Explorer of {self._title}{': closed' if self._closed else ''}>"

    def _alt(self) -> str:
        return str(self._attribution.picture.alt)

    def _png(self) -> bytes:
        """From what the widgets hold: the model need not be there any more. Of a list of values its chart."""
        state = self._attribution.drawn
        if state is not None and state.found is not None and state.found.values.ndim == 1:
            found: Attribution = state.found
            return found.figure().png(WIDTH)
        shown, channel = self._attribution.picture, self._channels.picture
        pictures = [(shown.label, shown.as_array())]
        if self._channels.tiles.mode == "tiles":
            pictures.append((channel.label, channel.as_array()))
        classes = self._prediction.classes
        probabilities = classes.probabilities()
        top = np.argsort(-probabilities, kind="stable")[:8]
        bars = [(classes.names[i], float(probabilities[i])) for i in top]
        captions = [words for words in (self.status, shown.note) if words]
        return snapshot_png(pictures, bars, self._title, captions)

    # The screen

    def _arrange(self) -> widgets.Widget:
        """Each part of a view in its area of ``theme.css``, which says for every width where the areas lie."""
        column, parameters = self._attribution.parts
        *network, tree = self._network.parts
        self._network.children = network
        self._save = saving(self._attribution, self._title)
        self._save.layout.flex = "none"
        self._help = explorer_help()
        head = widgets.Box([heading(self._title), self._inputs, self._save, self._help])
        head.add_class("iw-top")
        self._inputs.add_class("iw-inputs")
        panels = {
            say("Layers"): lambda: tree,
            say("Activations"): lambda: self._make(HistogramView),
            say("Profile"): lambda: self._make(ActivationView),
            say("Summary"): lambda: self._make(SummaryTable),
            say("Graph"): lambda: self._make(ModelGraph),
            say("Weights"): lambda: self._make(WeightView),
            say("Edits"): lambda: self._make(InterventionView),
        }
        self._panels = Panels(panels, say("the model"))
        areas = {
            "head": head,
            "map": column,
            "prediction": self._prediction,
            "channels": self._channels,
            "parameters": parameters,
            "network": self._network,
            "panel": self._panels,
            "bar": self._bar,
        }
        for name, widget in areas.items():
            widget.layout.grid_area, widget.layout.min_width = name, "0"
        inside = self._attribution.layout  # its parts have areas of their own
        inside.display, inside.overflow = "contents", "visible"
        shown = [head, self._bar, self._attribution, self._prediction, self._channels, self._network, self._panels]
        screen = widgets.Box(shown)
        screen.add_class("iw-screen")
        return screen

    def _make(self, kind: type[SessionView]) -> SessionView:
        """A view in a panel that is opened."""
        self._more.append(kind(self.session, bar=self._bar))
        return self._more[-1]

    def _link(self) -> None:
        """What follows what across the views, in the browser, without the kernel."""
        shown, channel = self._attribution.picture, self._channels.picture
        self._links.one_way((self._prediction.classes, "selected"), (shown, "column"))
        self._links.one_way((self._network.depth, "value"), (channel, "row"))
        self._links.both_ways((shown, "cursor"), (channel, "cursor"))
        shown.on_image(self._inputs.take_file)
        self._link_depth()
        self._attribution.listen(self._attribution, "follows_layer", lambda _change: self._link_depth())

    def _link_depth(self) -> None:
        """The depth slider chooses the map too, but not for methods that explain the input."""
        link = ((self._network.depth, "value"), (self._attribution.picture, "row"))
        self._links.remove(*link)
        if self._attribution.follows_layer:
            self._links.one_way(*link)


def explore(
    model: nn.Module | str,
    inputs: Any = None,
    *,
    class_names: Iterable[object] | None = None,
    preprocess: Preprocess | Callable[[Any], torch.Tensor] | None = None,
    still: bool = True,
    **state: Any,
) -> Explorer:
    """An ``Explorer`` on a model and an input.

    Args:
        model: an ``nn.Module``, or the name of a zoo or torchvision model: with its examples, classes, preprocessing.
        inputs: a path, image, array, data frame or tensor, or a list of those to choose from, as the rows of a table
            are; optional for a zoo model.
        class_names: one per class.
        preprocess: how an image becomes the model's input.
        still: whether a saved notebook shows a picture of it, which follows the state two seconds behind.
        state: where to begin: ``layer``, ``channel``, ``target``, ``explainer``, ``at_layer``, ``follow``; and
            ``memory_limit``, ``feature_names``.

    Raises:
        InputError: no input, or one that the model cannot take.
        ZooError, DownloadError: no such model, or its weights cannot be had.
        Whatever the model's forward raises.
    """
    if not isinstance(model, str):
        model = plain_module(model)
        if inputs is None:
            raise InputError(say("give an input to explore the model on: a path, image, array or tensor"))
        session = Session(model, inputs, class_names=class_names, preprocess=preprocess, **state)
        return _opened(session, "", state, still=still)
    entry = zoo.load(model)
    options: dict[str, Any] = {
        "class_names": as_names(class_names) or entry.class_names,
        "preprocess": preprocess or entry.preprocess,
    }
    if inputs is None:
        if not entry.examples:
            raise InputError(
                say("{model!r} comes without examples: give an input, a path, image, array or tensor", model=model)
            )
        inputs = [example.image for example in entry.examples]
        options |= {"labels": [e.label for e in entry.examples], "names": [e.name for e in entry.examples]}
    return _opened(Session(entry.model, inputs, **options, **state), model, state, still=still)


def _opened(session: Session, title: str, state: dict[str, Any], *, still: bool) -> Explorer:
    explorer = Explorer(session, title, owned=True, still=still)
    if "channel" not in state:
        session.channel = explorer.strongest_channel
    return explorer
