"""``SessionView``: one thing of a Session on the screen, alone in a cell or beside others.

A view says which traits of the session it ``watches``, makes a frozen state of the session (``resolve``, pure and
quick), and writes a state to its widgets (``draw``). All else is here: what runs the model goes to the session's
worker, what fails becomes a sentence below the view, what the browser drags is not sent back, and ``close`` leaves
nothing.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ClassVar

import ipywidgets as widgets

from interp_widgets.errors import InterpError
from interp_widgets.session.jobs import Jobs, Rank, Steps
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.trace.arguments import check_is
from interp_widgets.widgets.kit.browser_widget import close_whole
from interp_widgets.widgets.kit.links import BrowserLinks, led_by
from interp_widgets.widgets.views.status_bar import StatusBar, in_words
from interp_widgets.words import say

__all__ = ["SessionView"]

ACT = "what was asked for last"  # its error goes when something else is asked for


class _ViewMeta(type(widgets.VBox), ABCMeta):  # type: ignore[misc]  # ipywidgets has no types
    """Lets a widget have abstract methods."""


class SessionView(widgets.VBox, metaclass=_ViewMeta):
    """One thing of a session. ``View(session)`` is a widget of its own; an ``Explorer`` is a list of them.

    Args:
        session: what is looked at; several views may share it, and move together.
        bar: the status line of several views; by default the view has its own.
        jobs: who runs what is slow; by default the session's worker.
    """

    watches: ClassVar[tuple[str, ...]] = ()
    box: ClassVar[dict[str, str]] = {"width": "100%"}  # how its parts stand, as an ipywidgets layout
    _closed = True  # until it is made: ipywidgets closes what is half made, too

    def __init__(self, session: Session, *, bar: StatusBar | None = None, jobs: Jobs | None = None) -> None:
        name = type(self).__name__
        check_is(session, Session, say("{name} shows a Session: {name}(iw.Session(model, x))", name=name))
        self.session = session
        self.jobs = session.jobs if jobs is None else jobs
        self.bar = StatusBar() if bar is None else bar
        self.drawn: Any = None  # the state that is on the screen
        self._asked: Any = None  # the state that the session asks for
        self._drawing = False
        self._stopped = False
        self._owns_bar = bar is None
        self._heard: list[tuple[widgets.Widget, Callable[[Any], object], str]] = []
        self.links = BrowserLinks()
        session.ready()  # in the caller's thread, as the session itself was recorded
        super().__init__(layout=self.box)
        self.parts = self.build()
        self.children = [*self.parts, self.bar] if self._owns_bar else self.parts
        self._held = [widget for widget in _inside(self) if hasattr(widget, "hold_sync")]
        self.bind()
        self.bar.on_stop(self.stop)
        session.observe(self._changed, list(self.watches))
        self._closed = False
        self.update()
        self.link()

    # What a view is

    @abstractmethod
    def build(self) -> list[widgets.Widget]:
        """Make the widgets; those that stand on the screen."""

    @abstractmethod
    def resolve(self, session: Session) -> Any:
        """The frozen state of what is shown, compared by what is asked. Quick: it runs no model."""

    @abstractmethod
    def draw(self, state: Any) -> None:
        """Write a state to the widgets: what differs from ``drawn``, and nothing to the session."""

    def place(self, _state: Any, _last: Any) -> None:
        """Put the controls where the state says, where that differs from ``last``; everywhere when that is ``None``.

        A control that is dragged in the browser may be further than is known here, so what has not changed stays.
        """

    @abstractmethod
    def describe(self, state: Any) -> str:
        """The state in words: what somebody hears who sees no picture."""

    def bind(self) -> None:
        """Say what the controls do, with ``on``."""

    def link(self) -> None:
        """What follows what in the browser. The first state is drawn by then: an earlier link would copy defaults."""

    # What is slow; a view without slow answers needs none of these

    def pending(self, _state: Any) -> bool:
        """Whether there is more to come than the state holds."""
        return False

    def takes_long(self, _state: Any) -> bool:
        """Whether what is pending comes in many steps, so that quicker questions go before it."""
        return False

    def work(self, _state: Any) -> Iterator[Any]:
        """Better and better states, computed on the worker's thread; ``None`` for a step that is not worth drawing."""
        yield from ()

    def late(self, state: Any) -> None:
        """An answer whose question is not asked any more."""

    def prefetch(self, _state: Any) -> Iterator[Callable[[], object]]:
        """What may be asked for next, done on the worker's thread when nobody waits."""
        yield from ()

    def show_busy(self, *, busy: bool) -> None:
        """Mark the picture of something that is being computed."""

    def complaint(self, sentence: str) -> str:
        """What the bar says when something went wrong: where several views share it, which one it was."""
        return sentence

    def failed(self, sentence: str) -> None:
        """Something went wrong, and the bar says it: put right what the controls say."""

    # What every view has

    @property
    def alt(self) -> str:
        """What is shown, in words."""
        return "" if self.drawn is None else self.describe(self.drawn)

    @property
    def error(self) -> str:
        """The sentence shown for what went wrong; empty when nothing did."""
        return self.bar.error

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def wait(self, timeout: float | None = 60.0) -> bool:
        """Block until nothing is being computed; whether that was reached in ``timeout`` seconds."""
        return self.jobs.wait(timeout)

    def on(self, widget: widgets.Widget, name: str, action: Callable[[Any], object]) -> None:
        """Call ``action(new value)`` when a trait of a control changes, unless it was drawn."""

        def moved(change: dict[str, Any]) -> None:
            with TURN, led_by(widget, name):
                if not self._drawing:
                    self.act(lambda: self._answer(action, change["new"]))

        self.listen(widget, name, moved)

    def listen(self, widget: widgets.Widget, name: str, handler: Callable[[Any], object]) -> None:
        """Call ``handler(change)`` when a trait of a widget changes, for as long as the view lives."""
        widget.observe(handler, name)
        self._heard.append((widget, handler, name))

    def act(self, action: Callable[[], object], who: Hashable = ACT) -> None:
        """Run a callback, on the worker where the model has to run first; what goes wrong becomes a sentence."""
        if self._closed:
            return
        with self.session.steady():
            if not (self.session.live or self.jobs.inside or self.jobs.closed):
                self.run_first(lambda: self.act(action, who))
                return
            try:
                self.session.ready()  # outside the lock: callbacks do not wait while the model runs
                with TURN:
                    self.bar.forgive(ACT)
                    action()
            except Exception as error:  # noqa: BLE001 - ipywidgets would swallow it; the user's model can raise anything
                self._fail(error, who)

    def run_first(self, action: Callable[[], object], kind: str = "") -> None:
        """Do something that runs the model, on the worker, before all else; of one ``kind`` only the newest."""
        key = self._key(kind)

        def steps() -> Steps:
            action()
            with TURN:
                self._end(key)
            yield

        def refuse(error: BaseException) -> None:
            with TURN:
                self._end(key)
                self._fail(error, ACT)

        with TURN:
            self.bar.begin(key, others_wait=True)
        self.jobs.submit(key, steps, on_error=refuse, rank=Rank.FIRST)

    def runs_first(self, kind: str) -> bool:
        """Whether something of a ``kind`` that was to ``run_first`` runs or waits."""
        return self._key(kind) in self.bar.at_work()

    def update(self) -> None:
        """Draw what the session says, now or as soon as it is known."""
        self.act(self._update, self)

    def draw_again(self) -> None:
        """Draw what is there once more, unless it is on its way."""
        if self._asked is None or not self.pending(self._asked):
            self._asked = None
            self.update()

    def restore(self) -> None:
        """Put the controls back to what is true."""
        if self.drawn is not None and not self._closed:
            with self._drawn_by_us():
                self.place(self.drawn, None)

    def stop(self) -> None:
        """Give up what is being computed for this view; what is on the screen stays."""
        with TURN:
            self._stopped = True
            self.jobs.cancel_all(self)
            for key in self.bar.at_work():
                if key is self or (isinstance(key, tuple) and key[0] is self):
                    self.bar.end(key)
            self.show_busy(busy=False)
            self.failed("")

    def close(self) -> None:
        """Close every widget, link and observer, and give up what is being computed. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self.session.unobserve(self._changed, list(self.watches))
        for widget, handler, name in self._heard:
            widget.unobserve(handler, name)
        self.jobs.cancel_all(self)
        self.bar.forget(self.stop)
        self.links.close()
        for child in self.children:
            close_whole(child)
        self.layout.close()
        super().close()

    # How it is done

    def _key(self, kind: str) -> Hashable:
        return (self, kind or object())

    def _answer(self, action: Callable[[Any], object], value: object) -> None:
        """What a control asks for; when that changes nothing, the control shows again what is true."""
        before = self._asked
        try:
            action(value)
        finally:
            if self._asked is before:
                self.restore()

    def _end(self, key: Hashable) -> None:
        if not self.jobs.waits(key):  # a newer one of its kind
            self.bar.end(key)

    def _changed(self, _change: object) -> None:
        self.update()

    def _update(self) -> None:
        state = self.resolve(self.session)
        if state == self._asked:
            return
        self._asked, self._stopped = state, False
        self.bar.forgive(self)
        self._draw(state)
        if self.pending(state):
            self.bar.begin(self)
            self.show_busy(busy=True)
            rank = Rank.LONG if self.takes_long(state) else Rank.ASKED
            self.jobs.submit(self, lambda: self._work(state), on_error=self._fail_asked, rank=rank)
        else:
            self._finish()

    def _finish(self) -> None:
        self.bar.end(self)
        self.show_busy(busy=False)
        self.jobs.submit(self, self._prefetch, on_error=self._fail_asked, rank=Rank.LATER)

    def _draw(self, state: Any) -> None:
        last = self.drawn
        with self._drawn_by_us():
            self.draw(state)
            if last is None or state != last:
                self.place(state, last)
        self.drawn = state

    @contextmanager
    def _drawn_by_us(self) -> Iterator[None]:
        """What changes inside was not moved by a hand, and is one message per widget."""
        self._drawing = True
        try:
            with ExitStack() as stack:
                for widget in self._held:
                    stack.enter_context(widget.hold_sync())
                yield
        finally:
            self._drawing = False

    def _work(self, asked: Any) -> Steps:
        for state in self.work(asked):
            if state is not None:
                with TURN:
                    self._arrive(state)
            yield
        with TURN:
            if asked == self._asked and not (self._closed or self._stopped):
                self._finish()

    def _arrive(self, state: Any) -> None:
        if self._closed:
            return
        if state != self._asked:
            self.late(state)
        elif not self._stopped:
            self._asked = state
            self._draw(state)

    def _prefetch(self) -> Steps:
        state = self._asked
        if state is None:
            return
        for action in self.prefetch(state):
            with suppress(InterpError):  # a neighbour that cannot be shown is not prefetched
                action()
            yield

    def _fail_asked(self, error: BaseException) -> None:
        self._fail(error, self)

    def _fail(self, error: BaseException, who: Hashable) -> None:
        """Show what went wrong; the next change tries again."""
        with TURN:
            if self._closed:
                return
            if who is self:
                self._asked = None
                self.bar.end(self)
                self.show_busy(busy=False)
            sentence = in_words(error)
            self.bar.complain(who, self.complaint(sentence))
            self.failed(sentence)


def _inside(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    for child in getattr(widget, "children", ()):
        yield child
        yield from _inside(child)
