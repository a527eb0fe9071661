"""``Explorer``: input, prediction, network and channels of one model on one screen."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import Image as StillImage
from torch import nn

from interp_widgets import zoo
from interp_widgets.errors import InputError, InterpError
from interp_widgets.explainers import EXPLAINERS, Attribution, Explainer
from interp_widgets.inputs import Preprocess
from interp_widgets.render.colours import DIVERGING, SEQUENTIAL, colour_table, default_colormap
from interp_widgets.render.snapshot import snapshot_png
from interp_widgets.widgets._channels import Ranking, channel_maps, channel_scores, channel_values, fit, quantise
from interp_widgets.widgets._outline import Outline
from interp_widgets.widgets._panel import Panel
from interp_widgets.widgets._worker import Worker
from interp_widgets.widgets.session import Session

__all__ = ["Explorer", "explore"]

PREFETCHED_CLASSES = 5
PREFETCHED_LAYERS = 2  # up and down
REST = 0.15  # seconds without a change before prefetching begins
PAGE = 12  # tiles on a page
BARS = 22
TILE_RESOLUTION = 24  # a page of tiles stays under 11 kB
STACK_BYTES = 1_000_000  # of a layer's channels in the browser; larger layers are averaged down there, the chosen channel is exact


@dataclass(frozen=True)
class View:
    """All that decides what is drawn. ``row`` and ``column`` are the keys of the attribution's frame in the browser."""

    recording: int
    layer: str
    row: int
    column: int
    channel: int
    explainer: Explainer
    place: str
    ranking: Ranking
    page: int


class Explorer(widgets.VBox):
    """The flagship; made by ``explore``. All state is on ``session``: set a trait there and the widget moves, and the other way round.

    Usable as a context manager; ``close`` frees the trace and every child widget.
    """

    def __init__(self, session: Session, title: str = "") -> None:
        self.session = session
        self._title = title or type(session.model).__name__
        self._lock = threading.RLock()
        self._worker = Worker(self._fail)
        self._closed = False
        self._view: View | None = None
        self._order = np.zeros(0, dtype=np.intp)
        self._scores = np.zeros(0, dtype=np.float32)
        self._columns: dict[Any, int] = {}  # targets that are no class, numbered from -2 down
        self._in_browser = False
        self._page = 0
        self._outline = Outline(session.ready())
        self._panel = Panel(self._title)
        super().__init__([self._panel.root], layout={"width": "100%", "overflow": "hidden"})
        self._bind()
        self._panel.classes.follow = session.follow
        self._new_recording()

    # What a user asks of it in Python

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

    def wait(self, timeout: float | None = 60.0) -> bool:
        """Block until nothing is being computed; whether that was reached in ``timeout`` seconds."""
        return self._worker.wait(timeout)

    def snapshot(self) -> StillImage:
        """A still picture of the present state, as an output of its own that needs no kernel."""
        return StillImage(data=self._png(), format="png", alt=self._panel.attribution.alt)

    def close(self) -> None:
        """Free the trace and close every child widget. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._worker.close()
        self.session.unobserve_all()
        self.session.close()
        self._panel.close()
        self.layout.close()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        data = found[0] if isinstance(found, tuple) else found
        if data is not None and not self._closed:
            data["image/png"] = self._png()
        return found

    def _png(self) -> bytes:
        panel = self._panel
        pictures = [(panel.attribution.label, panel.attribution.as_array())]
        if self._spatial:
            pictures.append((panel.channel.label, panel.channel.as_array()))
        probabilities = self.session.probabilities()
        bars: list[tuple[str, float]] = []
        if probabilities is not None:
            names = self.session.names_of_classes()
            bars = [(names[i], float(probabilities[i])) for i in np.argsort(-probabilities)[:8]]
        return snapshot_png(pictures, bars, self._title, self.status)

    # From controls to the session

    def _bind(self) -> None:
        panel, session = self._panel, self.session
        session.observe(lambda _: self._guard(self._update), ["layer", "channel", "target", "explainer"])
        session.observe(lambda _: self._guard(self._new_recording), "trace")
        session.observe(lambda change: panel.classes.set_trait("follow", change["new"]), "follow")
        self._on(panel.depth, "value", self._go_to_row)
        self._on(panel.tree, "selected", self._go_to_layer)
        self._on(panel.strip, "selected", self._go_to_layer)
        self._on(panel.classes, "selected", self._choose_class)
        self._on(panel.classes, "follow", self._follow)
        self._on(panel.tiles, "selected", self._choose_channel)
        self._on(panel.channel_slider, "value", self._choose_channel)
        self._on(panel.method, "value", lambda name: session.set_trait("explainer", name))
        self._on(panel.colormap, "value", lambda _name: self._colour())
        self._on(panel.ranking, "value", lambda _name: self._turn_page(0))
        self._on(panel.tiles, "page", self._turn_page)
        self._on(panel.thumbnails, "selected", self._look_at)
        self._on(panel.upload, "value", self._take_upload)
        panel.path.on_submit(lambda text: self._guard(lambda: self._take(text.value.strip())))
        panel.attribution.on_need(lambda _row, _column: self._guard(self._serve))
        panel.channel.on_need(lambda _row, _column: self._guard(self._serve_channel))
        panel.strip.on_leave(panel.depth.focus)

    def _on(self, widget: widgets.Widget, name: str, action: Callable[[Any], object]) -> None:
        """Call ``action(new value)`` when a control moves; when the browser moved it, its own links have already moved the pictures."""

        def moved(change: dict[str, Any]) -> None:
            with self._lock:
                before, self._in_browser = self._in_browser, bool(widget._property_lock)
                try:
                    self._guard(lambda: action(change["new"]))
                finally:
                    self._in_browser = before

        widget.observe(moved, name)

    def _guard(self, action: Callable[[], object]) -> None:
        """Run a callback: an error the user caused becomes a sentence in the widget, and the controls go back to what is true."""
        if self._closed:
            return
        try:
            with self._lock:
                self._panel.status.error = ""
                action()
        except (InterpError, OSError, RuntimeError, ValueError, TypeError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Show what went wrong; the user's own model can raise anything, and the sentence says so."""
        if self._closed:
            return
        with self._lock:
            notes = " ".join(getattr(error, "__notes__", ()))
            text = str(error) or type(error).__name__
            self._panel.status.error = text if isinstance(error, InterpError) else f"{type(error).__name__}: {text} {notes}".strip()
            self._panel.set_busy(busy=False)
            self._view = None
            self._panel.thumbnails.selected = self.session.example

    def _go_to_row(self, row: int) -> None:
        if self._outline.row(self.session.layer) != row:
            self.session.layer = self._outline.rows[row]

    def _go_to_layer(self, path: str) -> None:
        known = self._outline.index.get(path)
        if known is not None and self._outline.modules[known].row >= 0:
            self.session.layer = path

    def _choose_class(self, index: int) -> None:
        if index < 0 or index == self.session.target:
            return
        trace = self.session.ready()
        self.session.follow = self.session.follow and index == trace.prediction
        self.session.target = index

    def _follow(self, follow: bool) -> None:  # noqa: FBT001 - a trait's value
        self.session.follow = follow
        if follow:
            self.session.target = self.session.ready().prediction

    def _choose_channel(self, channel: int) -> None:
        if 0 <= channel < self.session.ready().channels(self.session.layer):
            self.session.channel = channel

    def _turn_page(self, page: int) -> None:
        self._page = page
        self._update()

    def _look_at(self, example: int) -> None:
        if example != self.session.example:
            self._slowly(lambda: self.session.set_trait("example", example))

    def _take_upload(self, files: Sequence[Any]) -> None:
        if files:
            name, content = files[-1]["name"], bytes(files[-1]["content"])
            self._slowly(lambda: self.session.add(content, name))

    def _take(self, path: str) -> None:
        if path:
            self._slowly(lambda: self.session.add(path, path.replace("\\", "/").rpartition("/")[2]))

    def _slowly(self, action: Callable[[], object]) -> None:
        """Run the model on the worker thread; the pictures say that something is coming."""
        self._panel.set_busy(busy=True)

        def job() -> Iterator[None]:
            action()
            yield

        self._worker.submit(job)

    # From the session to the screen

    @property
    def _spatial(self) -> bool:
        return self.session.ready().is_spatial(self.session.layer)

    def _resolve(self) -> View:
        """What is to be drawn, from the session's state."""
        session = self.session
        session.ready()
        method = session.method
        target = session.target
        column = target if isinstance(target, int) else -1 if target is None else self._columns.setdefault(target, -2 - len(self._columns))
        row = self._outline.row(session.layer)
        return View(
            recording=session.recordings,
            layer=session.layer,
            row=max(row, 0) if method.at_layer else 0,
            column=column,
            channel=session.channel,
            explainer=method,
            place=session.place() if session.target is not None else "",
            ranking=self._panel.ranking.value,
            page=self._page,
        )

    def _new_recording(self) -> None:
        """Another input, or the model has changed: everything drawn so far is out of date."""
        if self.session.trace is None:
            return
        with self._lock:
            panel, session = self._panel, self.session
            self._outline = Outline(session.ready())
            self._view = None
            panel.attribution.clear()
            panel.channel.clear()
            picture = session.picture()
            if picture is not None:
                panel.attribution.set_base(picture)
                panel.channel.base_size = (picture.shape[1], picture.shape[0])
            panel.show_network(self._outline, session.layer)
            panel.show_inputs(session)
            probabilities = session.probabilities()
            if probabilities is not None:
                label = session.label_of(session.example)
                selected = session.target if isinstance(session.target, int) else -1
                panel.classes.show(
                    session.names_of_classes(), probabilities, selected=selected, markers=[] if label is None else [label]
                )
            panel.set_busy(busy=False)
            self._update()

    def _update(self) -> None:
        """Draw what has changed since the last time."""
        with self._lock:
            if self._closed:
                return
            before, view = self._view, self._resolve()
            if view == before:
                return
            if before is None or view.layer != before.layer:
                self._page = 0
                view = self._resolve()
            self._view = view
            if before is None or view.explainer != before.explainer:
                self._change_method()
            self._move_controls(view)
            self._draw_channels(view, before)
            self._serve_channel()
            self._serve()

    def _move_controls(self, view: View) -> None:
        panel, session = self._panel, self.session
        row = max(self._outline.row(view.layer), 0)
        panel.strip.selected = panel.tree.selected = view.layer
        channels = session.ready().channels(view.layer)
        with panel.channel_slider.hold_sync():
            if panel.channel_slider.max != channels - 1:
                panel.channel_slider.value = min(panel.channel_slider.value, channels - 1)
                panel.channel_slider.max = channels - 1
            self._mirror(panel.channel_slider, "value", view.channel)
        self._mirror(panel.depth, "value", row)
        self._mirror(panel.tiles, "selected", view.channel)
        self._mirror(panel.channel, "row", row)
        self._mirror(panel.channel, "column", view.channel)
        self._mirror(panel.attribution, "row", view.row)
        self._mirror(panel.attribution, "column", view.column)
        if view.column != panel.classes.selected:
            panel.classes.selected = max(view.column, -1)
        panel.method.value = type(view.explainer).__name__ if type(view.explainer).__name__ in EXPLAINERS else None

    def _mirror(self, widget: widgets.Widget, name: str, value: Any) -> None:
        """Set a trait that a link in the browser sets too: not sent back while the browser leads, it may already be further."""
        if self._in_browser:
            with widget._lock_property(**{name: value}):
                setattr(widget, name, value)
        else:
            setattr(widget, name, value)

    def _change_method(self) -> None:
        panel, method = self._panel, self.session.method
        panel.attribution.clear()
        panel.attribution.signed = method.signed
        panel.link_depth(linked=method.at_layer)
        options = DIVERGING if method.signed else SEQUENTIAL
        if panel.colormap.options != options:
            panel.colormap.options = options
            panel.colormap.value = default_colormap(signed=method.signed)
        self._colour()

    def _colour(self) -> None:
        name = self._panel.colormap.value or default_colormap(signed=self.session.method.signed)
        self._panel.attribution.colormap = name
        self._panel.attribution.table = colour_table(name).tobytes()

    # Attribution

    def _serve(self) -> None:
        """Bring the attribution that is asked for: at once when it is cheap, else on the worker thread."""
        view = self._view or self._resolve()
        session, panel = self.session, self._panel
        if session.target is None:
            panel.status.text = f"{self._title} has no class scores to explain; its layers and channels are shown"
            self._worker.submit(self._prefetch)
            return
        held = panel.attribution.has(view.row, view.column)
        if held or session.is_cheap():
            self._show_attribution(view, cached=True)
            self._worker.submit(self._prefetch)
        else:
            panel.attribution.busy = True
            self._worker.submit(self._compute)

    def _compute(self) -> Iterator[None]:
        """The attribution that is asked for, then what may be asked for next."""
        started = time.perf_counter()
        self.session.attribution()
        yield
        with self._lock:
            view = self._view
            if view is not None and view == self._resolve():
                self._show_attribution(view, cached=False, started=started)
        yield from self._prefetch()

    def _show_attribution(self, view: View, *, cached: bool, started: float | None = None) -> None:
        panel = self._panel
        begun = time.perf_counter() if started is None else started
        found = self.session.attribution()
        self._put(view.row, view.column, found)
        seconds = time.perf_counter() - begun
        panel.attribution.busy = False
        panel.attribution.label = f"{found.method} · {found.label}"
        panel.attribution.alt = found.describe()
        panel.status.text = self._sentence(view, found, seconds, cached=cached)

    def _sentence(self, view: View, found: Attribution, seconds: float, *, cached: bool) -> str:
        where = f"at {found.layer}"
        if view.explainer.at_layer and found.layer != view.layer:
            where += f" ({view.layer} has no maps)"
        source = "from the recording" if cached else "one backward pass"
        return (
            f"{found.method} for “{found.label}” {where}, score {found.score:.3g}; {source}, {seconds * 1000:.1f} ms "
            f"(the recording took {self.session.record_seconds * 1000:.0f} ms)"
        )

    def _put(self, row: int, column: int, found: Attribution) -> None:
        if not self._panel.attribution.has(row, column) and found.values.ndim == 2:
            low = None if found.signed else min(0.0, float(found.values.min()))
            self._panel.attribution.put(row, column, found.array, lo=low)

    def _prefetch(self) -> Iterator[None]:
        """Maps of the top classes at this layer and of this class at the layers beside it; the layer's channels."""
        self._worker.pause(REST)
        yield
        for action in self._wishes():
            with contextlib.suppress(InterpError):  # a neighbour without maps is simply not prefetched
                action()
            yield

    def _wishes(self) -> Iterator[Callable[[], None]]:
        view, session = self._view, self.session
        if view is None or session.trace is None or session.trace.closed:
            return
        yield lambda: self._send_channels(view)
        if session.target is None:
            return
        probabilities = session.probabilities()
        classes = [] if probabilities is None else [int(i) for i in np.argsort(-probabilities)[:PREFETCHED_CLASSES]]
        yield from (lambda index=index: self._fetch(view, view.row, index, view.layer) for index in classes)
        for step in range(1, PREFETCHED_LAYERS + 1):
            for row in (view.row + step, view.row - step):
                if view.explainer.at_layer and 0 <= row < len(self._outline.rows):
                    yield lambda row=row: self._fetch(view, row, view.column, self._outline.rows[row])
                    yield lambda row=row: self._send_channel(row, self._outline.rows[row], view.channel)

    def _fetch(self, view: View, row: int, column: int, layer: str) -> None:
        if not self._panel.attribution.has(row, column):
            target = column if column >= 0 else self.session.target
            found = self.session.attribution(layer, target)
            with self._lock:
                if self._view is not None and self._view.recording == view.recording and self._view.explainer == view.explainer:
                    self._put(row, column, found)

    # Channels

    def _draw_channels(self, view: View, before: View | None) -> None:
        """The page of tiles or bars, and what the panel says about the layer."""
        trace, panel = self.session.ready(), self._panel
        by_class = view.ranking == "contribution" and self.session.target is not None
        kept = before is not None and (view.layer, view.ranking, view.recording) == (before.layer, before.ranking, before.recording)
        if kept and before is not None and view.page == before.page and not (by_class and view.column != before.column):
            return
        if not kept or by_class:
            ranking = "contribution" if by_class else "activation"
            self._scores = channel_scores(trace, view.layer, ranking, self.session.target)
            natural = np.arange(len(self._scores))
            self._order = natural if view.ranking == "number" else np.argsort(-self._scores, kind="stable")
        spatial = trace.is_spatial(view.layer)
        size = PAGE if spatial else BARS
        pages = max(1, -(-len(self._order) // size))
        page = min(view.page, pages - 1)
        chosen = self._order[page * size : (page + 1) * size]
        captions = [f"{self._scores[i]:.3g}" for i in chosen]
        place = {"numbers": chosen.tolist(), "captions": captions, "page": page, "pages": pages, "offset": page * size}
        panel.tiles.measure = "contribution" if by_class else "mean"
        panel.tiles.alt = f"channels of {view.layer}, by {view.ranking}"
        if spatial:
            panel.tiles.show_tiles(quantise(fit(channel_maps(trace, view.layer)[chosen], TILE_RESOLUTION)), **place)
        else:
            values = channel_values(trace, view.layer).numpy()
            panel.tiles.show_bars(values[chosen].tolist(), limit=float(np.abs(values).max()), **place)
        panel.describe_layer(trace, view.layer, spatial=spatial)

    def _serve_channel(self) -> None:
        """The chosen channel, exact."""
        view = self._view
        if view is None or not self._spatial:
            return
        row = max(self._outline.row(view.layer), 0)
        self._send_channel(row, view.layer, view.channel)
        values = self.session.ready().maps(view.layer)[0, view.channel]
        low, high, mean = (float(number) for number in (values.min(), values.max(), values.float().mean()))
        self._panel.channel.label = f"channel {view.channel}"
        self._panel.channel.alt = f"Channel {view.channel} of {view.layer}: values {low:.3g} to {high:.3g}, mean {mean:.3g}."

    def _send_channel(self, row: int, layer: str, channel: int) -> None:
        trace = self.session.ready()
        if trace.is_spatial(layer) and channel < trace.channels(layer) and not self._panel.channel.has(row, channel):
            self._panel.channel.put(row, channel, channel_maps(trace, layer)[channel].numpy())

    def _send_channels(self, view: View) -> None:
        """All channels of the layer in one message, so that dragging over them needs no kernel."""
        trace, picture = self.session.ready(), self._panel.channel
        if not trace.is_spatial(view.layer):
            return
        row = max(self._outline.row(view.layer), 0)
        maps = channel_maps(trace, view.layer)
        if maps.numel() > STACK_BYTES:
            maps = fit(maps, max(4, int((STACK_BYTES / maps.shape[0]) ** 0.5)))
        missing = [channel for channel in range(maps.shape[0]) if not picture.has(row, channel)]
        with self._lock:
            if missing and self._view is not None and self._view.recording == view.recording:
                picture.put_many([(row, channel, maps[channel].numpy()) for channel in missing])


def explore(
    model: nn.Module | str,
    inputs: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    preprocess: Preprocess | Callable[[Any], torch.Tensor] | None = None,
    **state: Any,
) -> Explorer:
    """An ``Explorer`` on a model and an input.

    Args:
        model: an ``nn.Module``, or the name of a zoo or torchvision model, with its examples, classes and preprocessing.
        inputs: a path, image, array or tensor, or a list of those to choose from; optional for a zoo model.
        class_names: one per class.
        preprocess: how an image becomes the model's input.
        state: where to begin: ``layer``, ``channel``, ``target``, ``explainer``, ``follow``; and ``memory_limit``.

    Raises:
        InputError: no input, or one that the model cannot take.
        ZooError, DownloadError: no such model, or its weights cannot be had.
        Whatever the model's forward raises.
    """
    if not isinstance(model, str):
        if inputs is None:
            raise InputError("give an input to explore the model on: a path, image, array or tensor")
        return Explorer(Session(model, inputs, class_names=class_names, preprocess=preprocess, **state))
    entry = zoo.load(model)
    options: dict[str, Any] = {"class_names": class_names or entry.class_names, "preprocess": preprocess or entry.preprocess}
    if inputs is None:
        if not entry.examples:
            raise InputError(f"{model!r} comes without examples: give an input, a path, image, array or tensor")
        inputs = [example.image for example in entry.examples]
        options |= {"labels": [e.label for e in entry.examples], "names": [e.name for e in entry.examples]}
    return Explorer(Session(entry.model, inputs, **options, **state), title=model)
