"""``PredictionView``: what the model says, and which part of it is explained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from interp_widgets.session.session import Session
from interp_widgets.trace.targets import predicted
from interp_widgets.widgets.kit.class_list import ClassList
from interp_widgets.widgets.kit.goal import Goal
from interp_widgets.widgets.kit.heading import heading
from interp_widgets.widgets.kit.links import mirror
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.words import say

__all__ = ["PredictionState", "PredictionView"]

ROWS = 20  # of the list, where the page has room for so many
SAID = 3  # classes that the text alternative names


@dataclass(frozen=True)
class PredictionState:
    """The classes with their probabilities, and the target.

    Args:
        recording: which pass of the model.
        scale: what the model's numbers are, in words.
        target: what is explained; ``selected`` is its class, -1 for a target that is none.
        label: the true class, where known.
        names, probabilities: of each class; empty for a model without classes; one value has no probability.
    """

    recording: int
    scale: str
    target: Any
    selected: int
    label: int | None
    follow: bool
    names: list[str] = field(compare=False)
    probabilities: NDArray[np.float32] = field(compare=False)
    target_name: str = field(compare=False)

    @property
    def is_value(self) -> bool:
        """Whether the model says one value, of which nothing says that it is a class."""
        return len(self.names) > 0 and not len(self.probabilities)


class PredictionView(SessionView):
    """Choose what is explained: a class of the list, or the menu's contrasts, sums and units."""

    watches = ("trace", "target", "follow")

    def build(self) -> list[widgets.Widget]:
        """The menu of what is explained, and the list of classes."""
        self.classes = ClassList(
            limit=ROWS,
            help=_help(),
            layout={"width": "100%"},
        )
        self.goal = Goal()
        self.scale = widgets.Label(layout={"margin": "0 4px"})
        self.goal.root.layout.flex, self.goal.root.layout.min_width = "1 1 0%", "0"
        title = widgets.HBox([heading(say("Prediction")), self.scale, self.goal.root])
        return [title, self.classes]

    def bind(self) -> None:
        """Each sets the target."""
        self.on(self.classes, "selected", self._choose)
        self.on(self.classes, "follow", self._follow)
        self.goal.on_change(
            lambda target: self.act(lambda: setattr(self.session, "target", target)),
            lambda: (self.session.layer, self.session.channel),
        )

    def resolve(self, session: Session) -> PredictionState:
        """What the recording says."""
        target, probabilities = session.target, session.probabilities()
        return PredictionState(
            recording=session.recordings,
            scale=session.scale_in_words(),
            target=target,
            selected=target if isinstance(target, int) else -1,
            label=session.label_of(session.example),
            follow=session.follow,
            names=session.names_of_classes() if session.ready().has_classes else [],
            probabilities=np.zeros(0, np.float32) if probabilities is None else probabilities,
            target_name="" if target is None else session.name_of_target(),
        )

    def draw(self, state: PredictionState) -> None:
        """Another recording replaces the list; the menu says what the target is."""
        last: PredictionState | None = self.drawn
        if last is None or state.recording != last.recording:
            markers = [] if state.label is None else [state.label]
            self.scale.value = state.scale
            self.classes.value = state.scale if state.is_value else ""
            self.classes.help = say("the model's one value is explained") if state.is_value else _help()
            if state.names:
                bars = None if state.is_value else state.probabilities
                self.classes.show(state.names, bars, selected=state.selected, markers=markers)
            self.goal.offer(state.names, state.probabilities)
            self.goal.show(state.target)
        elif state.target != last.target:
            self.goal.show(state.target)

    def place(self, state: PredictionState, last: PredictionState | None) -> None:
        """The class in the list, and the check box."""
        if last is None or state.selected != last.selected:
            mirror(self.classes, "selected", state.selected)
        self.classes.follow = state.follow

    def describe(self, state: PredictionState) -> str:
        """The likeliest classes, and what is explained."""
        if not state.names:
            return say("The model's output has no class scores.")
        explained = state.target_name or say("nothing")
        if state.is_value:
            return say("Prediction: {value}. Explained: {explained}.", value=state.scale, explained=explained)
        order = np.argsort(-state.probabilities, kind="stable")[:SAID]
        likeliest = ", ".join(f"{state.names[index]} {state.probabilities[index]:.0%}" for index in order)
        return say(
            "Prediction, {scale}: {likeliest}. Explained: {explained}.",
            scale=state.scale,
            likeliest=likeliest,
            explained=explained,
        )

    def _choose(self, index: int) -> None:
        if index >= 0 and index != self.session.target:
            self.session.target = index

    def _follow(self, follow: bool) -> None:  # noqa: FBT001 - a trait's value
        self.session.follow = follow
        if follow:
            self.session.target = predicted(self.session.ready())


def _help() -> str:
    """What the list of classes is for."""
    return say("the class chosen here is explained; type to search, arrow keys choose")
