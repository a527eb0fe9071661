"""``InputsView``: the inputs to choose from, and two ways to bring one's own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NoReturn

import ipywidgets as widgets

from interp_widgets.errors import InputError, InterpError
from interp_widgets.inputs import Choice, typed_path
from interp_widgets.session.jobs import Rank, Steps
from interp_widgets.session.session import Session
from interp_widgets.session.turn import TURN
from interp_widgets.widgets.kit.image_source import ImageSource
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.thumbnails import Thumbnails
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.words import say

__all__ = ["InputsState", "InputsView"]

PAGE = 500  # thumbnails at a time; each is an element of the page even before it is read
PREPARATION = {"flex": "1 1 120px", "width": "auto", "min_width": "80px", "max_width": "210px", "margin": "0 4px"}


@dataclass(frozen=True)
class InputsState:
    """What the inputs are called, which of them is looked at, and how it was prepared.

    Args:
        count: how many inputs there are.
        first: the place of the first that has a thumbnail.
        numbers: of those with a thumbnail, which they keep when others are removed.
        names: of the same.
        preparation: in words.
        choices: the ways to prepare it; empty for what is given as the model takes it.
        choice: the place of the present one.
    """

    count: int
    first: int
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    example: int
    preparation: str
    choices: tuple[Choice, ...]
    choice: int


class InputsView(SessionView):
    """Choose an input: a thumbnail, an uploaded image, a path; Delete removes one.

    Thumbnails are read when they come into sight. Of very many inputs those around the present one have a thumbnail,
    and a field takes the number of any.
    """

    watches = ("trace", "example", "preprocess", "input_count")
    box: ClassVar[dict[str, str]] = {"flex": "1 1 0%", "flex_flow": "row wrap", "align_items": "center"}

    def build(self) -> list[widgets.Widget]:
        """Thumbnails, number, upload and path in one row."""
        self._wanted: list[int] = []  # numbers of inputs whose thumbnails are in sight
        self.number = widgets.BoundedIntText(
            min=1,
            description=say("input"),
            tooltip=say("number of the input that is looked at, in their order"),
            style={"description_width": "40px"},
            layout={"width": "130px", "flex": "0 0 auto", "display": "none"},
        )
        self.thumbnails = Thumbnails(
            help=say("the input chosen here is looked at; Delete removes it"),
            layout={"flex": "4 1 200px", "min_width": "0", "width": "auto"},
        )
        self.upload = ImageSource(layout={"flex": "0 0 auto"})
        self.path = widgets.Text(
            continuous_update=False,
            description=say("or"),
            placeholder=say("path, then Enter"),
            tooltip=say("path of an image file"),
            style={"description_width": "16px"},
            layout={"width": "auto", "flex": "1 1 110px", "max_width": "140px"},
        )
        self.preparation = Menu(
            label=say("preparation"), help=say("how an image becomes what the model takes"), layout=PREPARATION
        )
        return [self.thumbnails, self.number, self.preparation, self.upload, self.path]

    def bind(self) -> None:
        """Each has the model run on another input."""
        self.on(self.thumbnails, "selected", lambda place: self._look_at(self._first + place, "example"))
        self.thumbnails.on_remove(lambda place: self._remove(self._first + place))
        self.on(self.number, "value", lambda number: self._look_at(number - 1, "number"))
        self.upload.on_image(self.take_file)
        self.on(self.path, "value", lambda text: self._take(typed_path(text)))
        self.on(self.preparation, "value", self._prepare)
        self.thumbnails.on_need(self._read)

    def resolve(self, session: Session) -> InputsState:
        """The names; no input is read."""
        first = session.example // PAGE * PAGE
        places = range(first, min(first + PAGE, session.input_count))
        choices = session.preprocess_choices()
        return InputsState(
            session.input_count,
            first,
            tuple(session.number_of(place) for place in places),
            tuple(session.name_of(place) for place in places),
            session.example,
            session.preparation(),
            choices=tuple(choices),
            choice=next((at for at, each in enumerate(choices) if each.preprocess == session.preprocess), 0),
        )

    def draw(self, state: InputsState) -> None:
        """A place for each input; pictures come when they are seen."""
        last: InputsState | None = self.drawn
        if last is None or (state.numbers, state.names) != (last.numbers, last.names):
            self.thumbnails.expect(state.names, state.example - state.first, numbers=state.numbers)
        if last is None or state.count != last.count:
            self.thumbnails.removable = state.count > 1
            self.number.max = state.count
            self.number.layout.display = "" if state.count > PAGE else "none"
        ways = [f"{choice.name}: {choice.words}" for choice in state.choices] or [state.preparation]
        options = [(words, str(at)) for at, words in enumerate(ways)]
        if [tuple(option) for option in self.preparation.options] != options:
            with self.preparation.hold_sync():
                self.preparation.value = ""
                self.preparation.options = options

    def place(self, state: InputsState, _last: InputsState | None) -> None:
        """What was clicked stays the chosen one while it is on its way."""
        if not self.runs_first("example"):
            self.thumbnails.selected = state.example - state.first
        if not self.runs_first("number"):
            self.number.value = state.example + 1
        if not self.runs_first("preparation"):
            self.preparation.value = str(state.choice)

    def describe(self, state: InputsState) -> str:
        """How many there are, and which is looked at."""
        return say(
            "{count} inputs; looked at: {name}; {preparation}",
            count=state.count,
            name=state.names[state.example - state.first],
            preparation=state.preparation,
        )

    def failed(self, _sentence: str) -> None:
        """The thumbnail of what is looked at is the chosen one again, and so is its preparation."""
        self.restore()

    def _read(self, places: Sequence[int]) -> None:
        """Read the inputs whose thumbnails have come into sight, one a step."""
        with TURN:
            numbers = [self.drawn.numbers[place] for place in places]
            self._wanted += [number for number in numbers if number not in self._wanted]
        self.jobs.submit((self, "thumbnails"), self._read_wanted, on_error=self._fail_asked, rank=Rank.ASKED)

    def _read_wanted(self) -> Steps:
        while self._wanted and not self.closed:
            number, state = self._wanted[0], self.drawn
            picture, is_listed = None, number in state.numbers
            if is_listed:
                with suppress(InterpError):  # said when it is chosen
                    picture = self.session.picture(state.first + state.numbers.index(number))
            with TURN:
                if self.drawn.numbers != state.numbers:  # added or removed meanwhile
                    continue
                self._wanted.remove(number)
                if is_listed and not self.closed:
                    self.thumbnails.put(state.numbers.index(number), picture)
            yield

    @property
    def _first(self) -> int:
        """The place of the first input that has a thumbnail."""
        return 0 if self.drawn is None else int(self.drawn.first)

    def _look_at(self, example: int, kind: str) -> None:
        is_on_its_way = self.runs_first("example") or self.runs_first("number")
        if example != self.session.example or is_on_its_way:
            self.run_first(lambda: self.session.look_at(example), kind=kind)

    def _remove(self, example: int) -> None:
        self.run_first(lambda: self.session.remove(example))

    def _prepare(self, place: str) -> None:
        if place and self.drawn is not None and (int(place) != self.drawn.choice or self.runs_first("preparation")):
            choice = self.drawn.choices[int(place)]
            self.run_first(lambda: self.session.prepare(choice.preprocess), kind="preparation")

    def take_file(self, name: str, content: bytes | None) -> None:
        """Look at an image that was chosen, dropped or pasted in the browser."""
        if content is None:
            self.act(partial(_refuse_large, name))
        else:
            self.run_first(lambda: self.session.add(content, name))

    def _take(self, path: str) -> None:
        if path:
            name = path.replace("\\", "/").rpartition("/")[2]
            self.run_first(lambda: self.session.add(path, name))


def _refuse_large(name: str) -> NoReturn:
    """Say that a file cannot be sent from the browser.

    Raises:
        InputError: always.
    """
    raise InputError(
        say(
            "{name} is larger than 32 MB, too large to be sent from the browser: make it smaller, or give its path",
            name=name,
        )
    )
