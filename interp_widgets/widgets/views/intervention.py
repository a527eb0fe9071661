"""``InterventionView``: turn a channel up, down, off or flat, and see what the model says then."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ipywidgets as widgets
import torch

from interp_widgets.inspectors.intervention import MOST, Edit, Intervention, check_edit, intervene
from interp_widgets.inspectors.outline import shortened
from interp_widgets.session.session import Session
from interp_widgets.widgets.kit.figures import figures
from interp_widgets.widgets.kit.heading import heading
from interp_widgets.widgets.kit.links import mirror
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.table import Table
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.words import say

__all__ = ["InterventionState", "InterventionView"]

LIKELIEST = 5  # classes that are listed beside the target
NAME = 40  # letters of a layer's name


@dataclass(frozen=True)
class Answer:
    """A class, or the target, before and after the edits; shares of 1 unless ``is_value``."""

    name: str
    before: float
    after: float
    is_value: bool = False

    @property
    def cells(self) -> list[str]:
        """Name, before, after and change as the table shows them."""
        if self.is_value:
            return [self.name, *map(figures, (self.before, self.after)), f"{self.after - self.before:+.3g}"]
        return [self.name, f"{self.before:.1%}", f"{self.after:.1%}", f"{self.after - self.before:+z.1%}"]


@dataclass(frozen=True)
class InterventionState:
    """The knob of one channel, and all edits.

    Args:
        recording: which pass of the model.
        code: whether the code is shown.
        answers: what the model says before and after; ``None`` until it is known.
    """

    recording: int
    layer: str
    channel: int
    target: Any
    edits: tuple[Edit, ...]
    code: bool
    answers: tuple[Answer, ...] | None = field(default=None, compare=False)

    @property
    def edit(self) -> Edit:
        """What is done to the channel looked at."""
        own = [edit for edit in self.edits if (edit.layer, edit.channel) == (self.layer, self.channel)]
        return own[0] if own else Edit(self.layer, self.channel)


class InterventionView(SessionView):
    """Scale the session's channel by 0 to 3, or replace it by its mean; edits of several channels add up.

    Each channel has one edit; moving the knob changes it, and back at 1 it is gone. ``view.edits`` can be given to
    ``iw.intervene``.

    >>> import torch, interp_widgets as iw
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU())
    >>> _ = model[0].weight.data.copy_(torch.eye(2))
    >>> session = iw.Session(model, torch.tensor([[1.0, 2.0]]), layer="0", channel=1)
    >>> view = iw.InterventionView(session)
    >>> view.slider.value = 0.5
    >>> view.wait()
    True
    >>> view.edits
    (Edit(layer='0', channel=1, kind='scale', factor=0.5),)
    >>> view.alt
    '0, channel 1: times 0.5. With 0, channel 1: times 0.5: class 1 50.0% (before 73.1%), class 0 50.0% (before 26.9%).'
    >>> session.close()
    """

    watches = ("trace", "layer", "channel", "target")

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits, in the order in which they were made."""
        return self._edits

    def build(self) -> list[widgets.Widget]:
        """The knob, the list of edits with its buttons, the answers, and the code."""
        self._edits: tuple[Edit, ...] = ()
        self._history: list[tuple[Edit, ...]] = []
        self._turned: tuple[str, int] | None = None  # the channel whose knob was moved last
        self._shows_code = False
        self.add_class("iw-knob")
        self.title = heading("")
        self.kind = Menu(
            options=[(say("scaled"), "scale"), (say("its mean"), "mean")],
            value="scale",
            label=say("what is done to the channel"),
            meanings={
                "scale": say("every value of the channel times the factor"),
                "mean": say("every position gets the channel's mean"),
            },
            layout={"width": "auto", "flex": "0 0 auto"},
        )
        self.slider = Slider(
            label=say("factor"),
            help=say("the channel's values times this: 0 silences it, 1 leaves it as it is"),
            value=1.0,
            max=MOST,
            step=0.05,
            readout=True,
            layout={"flex": "1 1 160px", "min_width": "0", "width": "auto"},
        )
        self.answers = Table(
            label=say("what the model says before and after"),
            help=say("the likeliest classes and what is explained, before and after the edits"),
            searched=False,
            layout={"width": "100%"},
        )
        self.listed = Table(
            label=say("the edits"),
            help=say("the channel of the edit chosen here is looked at"),
            searched=False,
            height=132,
            layout={"width": "100%"},
        )
        self.undo = _button(say("Undo"), say("take back the last edit"))
        self.remove = _button(say("Remove"), say("take back the edit of this channel"))
        self.clear = _button(say("Clear"), say("take all edits back"))
        self.show_code = _button(say("Code"), say("show the Python that does the same"))
        self.source = widgets.HTML(layout={"display": "none", "width": "100%"})
        row = {"width": "100%", "align_items": "center", "flex_flow": "row wrap"}
        knob = widgets.Box([self.title, self.kind, self.slider], layout=row)
        buttons = widgets.Box([self.undo, self.remove, self.clear, self.show_code], layout=row)
        return [knob, self.answers, buttons, self.listed, self.source]

    def bind(self) -> None:
        """Knob and menu edit the session's channel; a row of the list chooses it."""
        self.on(self.slider, "value", lambda factor: self._turn(Edit(*self._here(), factor=factor)))
        self.on(self.kind, "value", self._take_kind)
        self.on(self.listed, "selected", self._choose)
        for button, action in (
            (self.undo, self._undo),
            (self.remove, self._remove),
            (self.clear, lambda: self._set(())),
            (self.show_code, self._toggle_code),
        ):
            button.on_click(lambda _button, action=action: self.act(action))

    def resolve(self, session: Session) -> InterventionState:
        """The channel's edit; without edits the answers are those recorded."""
        trace = session.ready()
        state = InterventionState(
            recording=session.recordings,
            layer=session.layer,
            channel=session.channel,
            target=session.target,
            edits=self._edits,
            code=self._shows_code,
        )
        last: InterventionState | None = self.drawn
        if last is not None and last.answers is not None and _asks_the_same(state, last):
            return replace(state, answers=last.answers)
        if state.edits:
            return state
        return replace(state, answers=_answers(session, intervene(trace, ())))

    def pending(self, state: InterventionState) -> bool:
        """Edits need a pass, or a part of one."""
        return state.answers is None

    def work(self, state: InterventionState) -> Iterator[InterventionState]:
        """What depends on the edits runs again."""
        found = intervene(self.session.ready(), state.edits)
        yield replace(state, answers=_answers(self.session, found))

    def draw(self, state: InterventionState) -> None:
        """The answers of before stay until those of now are there."""
        last: InterventionState | None = self.drawn
        self.title.value = say("{layer}, channel {number}", layer=shortened(state.layer, NAME), number=state.channel)
        self.title.tooltip = state.layer
        if state.answers is not None and (last is None or state.answers is not last.answers):
            rows = [
                {"path": f"{place}", "parent": -1, "cells": answer.cells, "keys": _keys(answer), "reason": ""}
                for place, answer in enumerate(state.answers)
            ]
            self.answers.show(_columns(say("class"), say("before"), say("after"), say("change")), rows)
        if last is None or state.edits != last.edits:
            self._list(state.edits)
        self.undo.disabled = not self._history
        self.remove.disabled = state.edit not in state.edits
        self.clear.disabled = not state.edits
        if last is None or (state.code, state.edits, state.recording) != (last.code, last.edits, last.recording):
            self._write_code(state)

    def place(self, state: InterventionState, last: InterventionState | None) -> None:
        """The knob says what is done to the channel, the list which edit is chosen."""
        if last is None or state.edit != last.edit:
            self.kind.value = state.edit.kind
            self.slider.layout.display = "none" if state.edit.kind == "mean" else ""
            mirror(self.slider, "value", state.edit.factor)
        if last is None or (state.edit, state.edits) != (last.edit, last.edits):
            mirror(self.listed, "selected", _path(state.edit))

    def describe(self, state: InterventionState) -> str:
        """The edits, and what the likeliest classes do."""
        edits = "; ".join(map(str, state.edits)) or say("no edits")
        if state.answers is None:
            return say("{knob}. With {edits}: being computed.", knob=state.edit, edits=edits)
        said = [
            say("{name} {after} (before {before})", name=name, after=after, before=before)
            for name, before, after, _ in (answer.cells for answer in state.answers)
        ]
        answers = ", ".join(said) or say("no class scores")
        return say("{knob}. With {edits}: {answers}.", knob=state.edit, edits=edits, answers=answers)

    # What the controls do

    def _here(self) -> tuple[str, int]:
        return self.session.layer, self.session.channel

    def _turn(self, edit: Edit) -> None:
        """Do this to the channel looked at, in place of what was done to it."""
        check_edit(self.session.ready(), edit)
        edits = {(each.layer, each.channel): each for each in self._edits}
        edits[edit.layer, edit.channel] = edit
        kept = tuple(each for each in edits.values() if each.kind != "scale" or each.factor != 1)
        if self._turned == self._here():  # one drag is one step to undo
            self._edits = kept
            self.update()
        else:
            self._set(kept)
            self._turned = self._here()

    def _take_kind(self, kind: str) -> None:
        layer, channel = self._here()
        self._turn(Edit(layer, channel, "mean") if kind == "mean" else Edit(layer, channel))

    def _set(self, edits: tuple[Edit, ...]) -> None:
        """These edits from now on; those of before can be had back."""
        if edits != self._edits:
            self._history.append(self._edits)
        self._edits, self._turned = edits, None
        self.update()

    def _undo(self) -> None:
        if self._history:
            self._edits, self._turned = self._history.pop(), None
            self.update()

    def _remove(self) -> None:
        self._set(tuple(edit for edit in self._edits if (edit.layer, edit.channel) != self._here()))

    def _choose(self, path: str) -> None:
        """Look at the channel of an edit."""
        chosen = next((edit for edit in self._edits if _path(edit) == path), None)
        if chosen is not None and chosen.channel is not None:
            self.session.layer = chosen.layer
            self.session.channel = chosen.channel

    def _toggle_code(self) -> None:
        self._shows_code = not self._shows_code
        self.update()

    # Parts of drawing

    def _list(self, edits: tuple[Edit, ...]) -> None:
        rows = [
            {
                "path": _path(edit),
                "parent": -1,
                "cells": [edit.layer, str(edit.channel), edit.effect],
                "keys": [None, edit.channel, edit.factor],
                "reason": "",
            }
            for edit in edits
        ]
        self.listed.show(_columns(say("layer"), say("channel"), say("edit")), rows)
        self.listed.layout.display = "" if edits else "none"

    def _write_code(self, state: InterventionState) -> None:
        shown = html.escape(self.session.code_of_edits(state.edits)) if state.code else ""
        self.source.value = f"<pre class='iw' style='margin: 0; overflow-x: auto'>{shown}</pre>" if shown else ""
        self.source.layout.display = "" if shown else "none"


def _button(words: str, tooltip: str) -> widgets.Button:
    return widgets.Button(description=words, tooltip=tooltip, layout={"width": "auto", "flex": "0 0 auto"})


def _path(edit: Edit) -> str:
    """What an edit is called in the list: there is one for each channel."""
    return f"{edit.channel} {edit.layer}"


def _columns(*titles: str) -> list[dict[str, Any]]:
    """The first holds words, the others stand at the right."""
    return [{"title": title, "number": place > 0} for place, title in enumerate(titles)]


def _keys(answer: Answer) -> list[float | None]:
    numbers = torch.tensor([answer.before, answer.after, answer.after - answer.before], dtype=torch.float64)
    return [None, *(float(number) if bool(number.isfinite()) else None for number in numbers)]


def _asks_the_same(state: InterventionState, last: InterventionState) -> bool:
    """Whether the answers of one state are those of another."""
    asked = (state.recording, state.target, state.edits)
    return asked == (last.recording, last.target, last.edits)


def _answers(session: Session, found: Intervention) -> tuple[Answer, ...]:
    """The likeliest classes, before or after, and the target."""
    trace, target = found.trace, session.target
    answers = []
    if target is not None and not isinstance(target, int):
        answers.append(
            Answer(session.name_of_target(), float(trace.score(target)), float(found.score(target)), is_value=True)
        )
    if not trace.has_classes:
        return tuple(answers)
    probabilities = session.probabilities()
    names = session.names_of_classes()
    if probabilities is None:  # one value, of which nothing says that it is a class
        return (*answers, Answer(names[0], float(trace.score(0)), float(found.score(0)), is_value=True))
    before, after = trace.probabilities[0].cpu(), found.probabilities[0].cpu()
    likeliest = torch.maximum(before, after).argsort(descending=True, stable=True)[:LIKELIEST].tolist()
    chosen = {*likeliest, *([target] if isinstance(target, int) else [])}
    order = sorted(chosen, key=lambda index: -float(before[index]))
    return (*answers, *(Answer(names[index], float(before[index]), float(after[index])) for index in order))
