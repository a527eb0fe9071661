"""``Explorer``: input, prediction, network and channels of one model on one screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, cast

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import Image as StillImage
from torch import nn

from interp_widgets import zoo
from interp_widgets.errors import InputError, InterpError
from interp_widgets.explainers import Attribution
from interp_widgets.inputs import Preprocess
from interp_widgets.inspectors.channels import Ranking
from interp_widgets.inspectors.outline import Outline
from interp_widgets.render.colours import DIVERGING, SEQUENTIAL, colour_table, default_colormap
from interp_widgets.render.snapshot import reduced, snapshot_png
from interp_widgets.session.jobs import Worker
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.trace.arguments import as_names, check_is, check_text, plain_module
from interp_widgets.widgets.views.attribution import AttributionView
from interp_widgets.widgets.views.channels import ChannelView
from interp_widgets.widgets.views.panel import Panel
from interp_widgets.widgets.views.view import View, resolve

__all__ = ["Explorer", "explore"]

BASE_SIDE = 448  # pixels of the input's longer side in the browser; more would make every draw slower than a frame


class Explorer(widgets.VBox):
    """The flagship; made by ``explore``. All state is on ``session``: a trait set there moves the widget, and back.

    Usable as a context manager; ``close`` frees the trace and every child widget.

    Args:
        session: what is looked at; it may be shared by several widgets.
        title: what the model is called.
        owned: whether ``close`` closes the session too.
    """

    _closed = True  # until it is built, there is nothing to close

    def __init__(self, session: Session, title: str = "", *, owned: bool = False) -> None:
        check_is(session, Session, "an Explorer shows a Session: iw.explore(model, inputs) makes both")
        self.session = session
        self._owned = owned
        self._title = check_text(title, "title") or type(session.model).__name__
        self._worker = Worker(self._fail)
        self._closed = False
        self._view: View | None = None
        self._led: set[tuple[widgets.Widget, str]] = set()  # what the browser's links have already moved
        self._page = 0
        self._later: dict[object, Callable[[], object]] = {}  # what waits for the model to run, in order
        self._shown = -1  # which recording is on the screen
        self._outline = Outline(session.ready())
        self._panel = Panel(self._title)
        self._channels = ChannelView(self._panel, session)
        self._maps = AttributionView(self._panel, session, self._channels, self._worker)
        self._observers: list[tuple[Callable[[Any], None], Any]] = []
        super().__init__([self._panel.root], layout={"width": "100%", "overflow": "hidden"})
        self._bind()
        self._panel.classes.follow = session.follow
        self._update()
        self._panel.link()

    # What a user asks of it in Python

    @property
    def controls(self) -> Mapping[str, widgets.Widget]:
        """The child widgets by name, to link two explorers in the browser without the kernel.

        ``ipywidgets.jslink((a.controls["depth"], "value"), (b.controls["depth"], "value"))``; through the kernel, link
        the traits of ``session``.
        """
        return self._panel.controls

    @property
    def attribution(self) -> Attribution:
        """What the map shows, computed now if need be."""
        return self.session.attribution()

    @property
    def error(self) -> str:
        """The sentence shown for the last thing that went wrong; empty when nothing did."""
        return self._panel.status.error

    @property
    def status(self) -> str:
        """What is shown, in words."""
        return self._panel.status.text

    @property
    def strongest_channel(self) -> int:
        """The channel of the layer that ranks first."""
        return self._channels.strongest()

    def wait(self, timeout: float | None = 60.0) -> bool:
        """Block until nothing is being computed; whether that was reached in ``timeout`` seconds."""
        return self._worker.wait(timeout)

    def snapshot(self) -> StillImage:
        """A still picture of the present state, as an output of its own that needs no kernel."""
        alt = self._panel.attribution.alt
        return StillImage(data=self._png(), format="png", alt=alt)  # type: ignore[no-untyped-call]  # partly typed

    def close(self) -> None:
        """Free the trace and close every child widget. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._worker.close()
        for handler, names in self._observers:
            self.session.unobserve(handler, names)
        if self._owned:
            self.session.close()
        self._panel.close()
        self.layout.close()
        super().close()
        self.__dict__.pop("_repr_mimebundle_", None)  # ipywidgets puts None there

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if self._closed:
            return {"text/plain": f"<Explorer of {self._title}: closed>"}
        found = super()._repr_mimebundle_(**options)
        data = found[0] if isinstance(found, tuple) else found
        if data is not None:
            data["image/png"] = self._png()
        return found

    def _png(self) -> bytes:
        """From what the widgets hold: the model need not be there any more."""
        panel = self._panel
        pictures = [(panel.attribution.label, panel.attribution.as_array())]
        if panel.tiles.mode == "tiles":
            pictures.append((panel.channel.label, panel.channel.as_array()))
        probabilities = panel.classes.probabilities()
        top = np.argsort(-probabilities, kind="stable")[:8]
        bars = [(panel.classes.names[i], float(probabilities[i])) for i in top]
        return snapshot_png(pictures, bars, self._title, self.status)

    # From controls to the session

    def _bind(self) -> None:
        panel = self._panel
        rows = [(panel.depth, "value"), (panel.channel, "row"), (panel.attribution, "row")]
        channels = [(panel.channel_slider, "value"), (panel.tiles, "selected"), (panel.channel, "column")]
        self._watch(
            lambda _: self._guard(self._update), ["trace", "layer", "channel", "target", "explainer", "at_layer"]
        )
        self._watch(lambda change: panel.classes.set_trait("follow", change["new"]), ["follow"])
        self._on(panel.depth, "value", self._go_to_row, rows)
        self._on(panel.tree, "selected", self._go_to_layer)
        self._on(panel.strip, "selected", self._go_to_layer)
        self._on(panel.classes, "selected", self._choose_class, [(panel.attribution, "column")])
        self._on(panel.classes, "follow", self._follow)
        self._on(panel.tiles, "selected", self._choose_channel, channels)
        self._on(panel.channel_slider, "value", self._choose_channel, channels)
        self._on(panel.method, "value", self._choose_method)
        self._on(panel.colormap, "value", lambda _name: self._colour())
        self._on(panel.ranking, "value", lambda _name: self._turn_page(0))
        self._on(panel.tiles, "page", self._turn_page)
        self._on(panel.thumbnails, "selected", self._look_at)
        self._on(panel.upload, "value", self._take_upload)
        self._on(panel.path, "value", lambda text: self._take(text.strip()))
        panel.attribution.on_need(lambda _row, _column: self._guard(self._serve_again))
        panel.channel.on_need(lambda _row, _column: self._guard(self._serve_again))
        panel.parameters.on_change(self._choose_parameter)
        self._on(panel.parameters.at_layer, "value", lambda value: self.session.set_trait("at_layer", value))
        panel.goal.on_change(self._choose_goal, lambda: (self.session.layer, self.session.channel))
        panel.remedy.on_click(lambda _button: self._take_remedy())
        panel.stop.on_click(lambda _button: self._stop())
        panel.strip.on_leave(panel.depth.take_focus)

    def _watch(self, handler: Callable[[Any], None], names: list[str]) -> None:
        self.session.observe(handler, names)
        self._observers.append((handler, names))

    def _on(
        self,
        widget: widgets.Widget,
        name: str,
        action: Callable[[Any], object],
        leads: Sequence[tuple[widgets.Widget, str]] = (),
    ) -> None:
        """Call ``action(new value)`` when a control moves.

        When the browser moved it, the links there have already moved the traits that it ``leads``, maybe further than
        is known here: those are not sent back.
        """

        def moved(change: dict[str, Any]) -> None:
            with TURN:
                before, self._led = self._led, set(leads) if self._clicked(widget) else set()
                try:
                    self._guard(lambda: action(change["new"]))
                finally:
                    self._led = before

        widget.observe(moved, name)

    def _guard(self, action: Callable[[], object]) -> None:
        """Run a callback; what goes wrong becomes a sentence in the widget, and the controls show what is true."""
        if self._closed:
            return
        if not self.session.live and not self._worker.inside:
            self._slowly(lambda: self._guard(action))  # the model has to run first
            return
        try:
            self.session.ready()  # outside the lock: callbacks do not wait while the model runs
            with TURN:
                self._panel.status.error = ""
                action()
        except Exception as error:  # noqa: BLE001 - ipywidgets would swallow it; the user's model can raise anything
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Show what went wrong; the user's own model can raise anything, and the sentence says so."""
        if self._closed:
            return
        with TURN:
            self._panel.set_busy(busy=False)
            self._show_inputs()
            notes = " ".join(getattr(error, "__notes__", ()))
            own = isinstance(error, InterpError)
            self._panel.status.error = str(error) if own else f"{type(error).__name__}: {error} {notes}".strip()
            self._view = None

    def _go_to_row(self, place: float) -> None:
        row = int(place)
        if self._outline.row(self.session.layer) != row and 0 <= row < len(self._outline.rows):
            self.session.layer = self._outline.rows[row]

    def _go_to_layer(self, path: str) -> None:
        known = self._outline.index.get(path)
        if known is not None and self._outline.modules[known].row >= 0:
            self.session.layer = path

    def _choose_method(self, name: str) -> None:
        if name and name != type(self.session.method).__name__:
            self.session.explainer = name

    def _choose_parameter(self, name: str, value: Any) -> None:
        def replaced() -> None:
            self.session.explainer = dataclasses.replace(self.session.method, **{name: value})

        with TURN:
            self._guard(replaced)

    def _choose_goal(self, target: Any) -> None:
        with TURN:
            self._guard(lambda: setattr(self.session, "target", target))

    def _take_remedy(self) -> None:
        def taken() -> None:
            if self._maps.finding is not None:
                for name, value in self._maps.finding.change.items():
                    setattr(self.session, name, value)

        with TURN:
            self._guard(taken)

    def _choose_class(self, index: int) -> None:
        if index < 0 or index == self.session.target:
            return
        self.session.target = index

    def _follow(self, follow: bool) -> None:  # noqa: FBT001 - a trait's value
        self.session.follow = follow
        if follow:
            self.session.target = self.session.ready().prediction

    def _choose_channel(self, number: float) -> None:
        channel = int(number)
        if 0 <= channel < self.session.ready().channels(self.session.layer):
            self.session.channel = channel

    def _turn_page(self, page: int) -> None:
        self._page = page
        self._update()

    def _look_at(self, example: int) -> None:
        if self._clicked(self._panel.thumbnails) and (example != self.session.example or self._worker.first_pending):
            self._slowly(lambda: self._go_to_example(example), kind="example")

    def _go_to_example(self, example: int) -> None:
        if example == self.session.example:
            self._panel.set_busy(busy=False)  # a click back: nothing is coming
        self.session.look_at(example)

    @staticmethod
    def _clicked(widget: widgets.Widget) -> bool:
        """Whether the change that is handled now came from the browser."""
        return bool(widget._property_lock)  # noqa: SLF001 - only there

    def _take_upload(self, files: Sequence[Any]) -> None:
        if files:
            name, content = files[-1]["name"], bytes(files[-1]["content"])
            self._slowly(lambda: self.session.add(content, name))

    def _take(self, path: str) -> None:
        if path:
            self._slowly(lambda: self.session.add(path, path.replace("\\", "/").rpartition("/")[2]))

    def _stop(self) -> None:
        """Give up what is being computed; what is on the screen stays."""
        self._maps.stop()
        self._worker.cancel()
        self._later.clear()
        self._panel.set_busy(busy=False)
        self._show_inputs()
        self._panel.status.text = "stopped; what is shown is what was there by then"

    def _slowly(self, action: Callable[[], object], kind: object = None) -> None:
        """Do something that runs the model, on the worker thread; of one ``kind`` only the newest."""
        kind = object() if kind is None else kind
        with TURN:
            self._later.pop(kind, None)
            self._later[kind] = action
            self._panel.set_busy(busy=True)
        self._worker.submit(self._catch_up, first=True)

    def _catch_up(self) -> Iterator[None]:
        while action := self._next():
            try:
                action()
            except Exception as error:  # noqa: BLE001 - whatever the model raises is shown, and the next one is tried
                self._fail(error)
        yield

    def _next(self) -> Callable[[], object] | None:
        with TURN:
            return self._later.pop(next(iter(self._later))) if self._later else None

    # From the session to the screen

    def _show_recording(self) -> None:
        """Another input, or the model has changed: everything drawn so far is out of date."""
        panel, session = self._panel, self.session
        self._shown = session.recordings
        self._outline = Outline(session.ready())
        panel.attribution.clear()
        panel.channel.clear()
        picture = session.picture()
        if picture is not None:
            panel.attribution.set_base(reduced(picture, BASE_SIDE))
            panel.channel.base_size = (picture.shape[1], picture.shape[0])
        panel.show_network(self._outline, session.layer)
        self._show_inputs()
        probabilities = session.probabilities()
        if probabilities is not None:
            label = session.label_of(session.example)
            selected = session.target if isinstance(session.target, int) else -1
            names = session.names_of_classes()
            panel.classes.show(names, probabilities, selected=selected, markers=[] if label is None else [label])
            panel.goal.offer(names, probabilities)
        else:
            panel.goal.offer([], np.zeros(0, np.float32))
        panel.goal.show(session.target)
        panel.set_busy(busy=False)

    def _show_inputs(self) -> None:
        """The inputs, and which is looked at; a newer click that still waits stays the chosen one."""
        self._panel.show_inputs(self.session)
        if "example" not in self._later:
            self._panel.thumbnails.selected = self.session.example

    def _serve_again(self) -> None:
        """The browser lacks what is shown: it was dropped, or is on its way."""
        self._update()
        if self._view is not None:
            self._maps.draw(self._view, self._outline)

    def _update(self) -> None:
        """Draw what has changed since the last time."""
        with TURN:
            if self._closed:
                return
            self.session.ready()
            if self.session.recordings != self._shown:
                self._show_recording()
            before = self._view
            if before is not None and before.layer != self.session.layer:
                self._page = 0
            ranking = cast("Ranking", self._panel.ranking.value)
            view = resolve(self.session, self._outline, ranking, self._page)
            if view == before:
                return
            self._view = view
            if not view.same_method(before):
                self._change_method()
            with self._panel.hold():
                self._move_controls(view, before)
                self._panel.link_depth(linked=view.at_layer)
                self._maps.draw(view, self._outline)

    def _move_controls(self, view: View, before: View | None) -> None:
        """Move what stands for something that changed, and nothing else: a control that is being dragged in the browser
        may be further than is known here.
        """
        panel = self._panel
        if before is None or (view.layer, view.channel) != (before.layer, before.channel):
            self._move_channel(view)
        if before is None or (view.layer_row, view.row) != (before.layer_row, before.row):
            if view.layer_row >= 0:
                self._mirror(panel.depth, "value", view.layer_row)
            self._mirror(panel.channel, "row", view.layer_row)
            self._mirror(panel.attribution, "row", view.row)
        if before is None or view.column != before.column:
            self._mirror(panel.attribution, "column", view.column)
            panel.classes.selected = view.column
        if before is None or view.target != before.target:
            panel.goal.show(view.target)
        panel.strip.selected = panel.tree.selected = view.layer
        panel.show_method(view.explainer)

    def _move_channel(self, view: View) -> None:
        panel, last = self._panel, self.session.ready().channels(view.layer) - 1
        with panel.channel_slider.hold_sync():
            panel.channel_slider.max = last
            self._mirror(panel.channel_slider, "value", view.channel)
        self._mirror(panel.tiles, "selected", view.channel)
        self._mirror(panel.channel, "column", view.channel)

    def _mirror(self, widget: widgets.Widget, name: str, value: Any) -> None:
        """Set a trait that a link in the browser sets too: not sent back while the browser leads it."""
        if (widget, name) in self._led:
            with widget._lock_property(**{name: value}):  # noqa: SLF001 - ipywidgets' own way not to echo
                setattr(widget, name, value)
        else:
            setattr(widget, name, value)

    def _change_method(self) -> None:
        panel, method = self._panel, self.session.method
        panel.attribution.clear()
        panel.attribution.signed = method.signed
        panel.parameters.show(method, at_layer=self.session.at_layer)
        panel.parameters.show_baseline(self.session.baseline_picture())
        options = DIVERGING if method.signed else SEQUENTIAL
        if panel.colormap.value not in options:
            with panel.colormap.hold_sync():
                panel.colormap.value = ""
                panel.colormap.options = [(name, name) for name in options]
                panel.colormap.value = default_colormap(signed=method.signed)
        self._colour()

    def _colour(self) -> None:
        name = self._panel.colormap.value
        if not name:
            return  # between two sets of options
        self._panel.attribution.colormap = name
        self._panel.attribution.table = colour_table(name).tobytes()


def explore(
    model: nn.Module | str,
    inputs: Any = None,
    *,
    class_names: Iterable[object] | None = None,
    preprocess: Preprocess | Callable[[Any], torch.Tensor] | None = None,
    **state: Any,
) -> Explorer:
    """An ``Explorer`` on a model and an input.

    Args:
        model: an ``nn.Module``, or the name of a zoo or torchvision model: with its examples, classes, preprocessing.
        inputs: a path, image, array or tensor, or a list of those to choose from; optional for a zoo model.
        class_names: one per class.
        preprocess: how an image becomes the model's input.
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
            raise InputError("give an input to explore the model on: a path, image, array or tensor")
        session = Session(model, inputs, class_names=class_names, preprocess=preprocess, **state)
        return _opened(session, "", state)
    entry = zoo.load(model)
    options: dict[str, Any] = {
        "class_names": as_names(class_names) or entry.class_names,
        "preprocess": preprocess or entry.preprocess,
    }
    if inputs is None:
        if not entry.examples:
            raise InputError(f"{model!r} comes without examples: give an input, a path, image, array or tensor")
        inputs = [example.image for example in entry.examples]
        options |= {"labels": [e.label for e in entry.examples], "names": [e.name for e in entry.examples]}
    return _opened(Session(entry.model, inputs, **options, **state), model, state)


def _opened(session: Session, title: str, state: dict[str, Any]) -> Explorer:
    explorer = Explorer(session, title, owned=True)
    if "channel" not in state:
        session.channel = explorer.strongest_channel
    return explorer
