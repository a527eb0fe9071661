"""``code_of``: Python that makes what a session shows, for a script or a paper.

What has no name that Python could write (a user's model, tensor or function) stands as a variable, which a comment at
the top explains. Names from outside are written by ``repr``: whatever a class is called, the code stays code.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from interp_widgets import explainers, trace, zoo
from interp_widgets.explainers import Explainer
from interp_widgets.inputs import Preprocess
from interp_widgets.inspectors.intervention import Edit
from interp_widgets.render.colours import colour_table
from interp_widgets.render.look import Look
from interp_widgets.session.inputs import Inputs
from interp_widgets.session.state import SessionState
from interp_widgets.trace import Target
from interp_widgets.trace.arguments import check_is, check_number
from interp_widgets.words import say

__all__ = ["code_of", "code_of_edits"]

WIDTH = 88  # letters of a line; a longer call has one argument a line
LISTED = 20  # names written one by one; of more the user has a list
PUBLIC = {*trace.__all__, *explainers.__all__, "Edit", "Look", "Preprocess"}


def code_of(
    session: SessionState,
    inputs: Inputs,
    *,
    colormap: str | None = None,
    opacity: float | None = None,
    look: Look | None = None,
) -> str:
    """Python source that makes the session's present attribution from nothing, and shows it.

    Args:
        inputs: those of the session.
        colormap, opacity, look: of the figure; ``None`` for the usual ones.

    Raises:
        TargetError, LayoutError: as ``session.attribution()``, where there is nothing to make.
        ParameterError: no such colour map; an opacity that cannot be; no look.
    """
    if colormap is not None:
        colour_table(colormap)  # refuses a name that matplotlib does not have
    if opacity is not None:
        check_number(opacity, "opacity", 0, 1)
    if look is not None:
        check_is(look, Look, say("look must be an iw.Look"))
    session.ready()
    writer = _Writer()
    recording = writer.recording(session, inputs)
    method = session.method
    explainer = writer.value(method, "explainer")
    arguments = [f"layer={writer.value(session.place(), 'layer')}"]
    if session.target is not None:
        arguments.insert(0, f"target={writer.value(session.target, 'target')}")
    known = session.known()
    is_drawn = known is None or known.values.ndim in (1, 2)
    shown = {"colormap": colormap, "opacity": opacity, "look": look}
    options = [f"{name}={writer.value(value, name)}" for name, value in shown.items() if value is not None]
    lines = [
        *recording,
        f"explainer = {explainer}" if explainer != "explainer" else "",
        _comment(say("what is explained: {target}", target=repr(session.name_of_target()))),
        *writer.attribution(method, arguments, session.tolerance),
        _call("attribution.figure", options) if is_drawn else "attribution.values",
    ]
    head = [*writer.comments(), "import interp_widgets as iw", *sorted(writer.imports), ""]
    return "\n".join([*head, *filter(None, lines)]) + "\n"


def code_of_edits(session: SessionState, inputs: Inputs, edits: Iterable[Edit]) -> str:
    """Python source that makes an intervention from nothing.

    Args:
        inputs: those of the session.
    """
    session.ready()
    writer = _Writer()
    lines = [
        *writer.recording(session, inputs),
        "edits = [",
        *(f"    {writer.value(edit, 'edit')}," for edit in edits),
        "]",
        "found = iw.intervene(trace, edits)",
        "found.probabilities, found.change" if session.ready().has_classes else "found.score()",
    ]
    return "\n".join([*writer.comments(), "import interp_widgets as iw", *sorted(writer.imports), "", *lines]) + "\n"


class _Writer:
    """Writes values as Python, and keeps what the code needs beside them: imports, and variables that the user sets."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self._given: dict[str, str] = {}  # what each variable of the user's is, by its name

    def comments(self) -> list[str]:
        """What the user's variables are, one a line."""
        return [_comment(words) for words in self._given.values()]

    def recording(self, session: SessionState, inputs: Inputs) -> list[str]:
        """The lines that record the input."""
        entry = zoo.loaded_as(session.model)
        lines = [] if entry is None else [f"entry = iw.zoo.load({self.value(entry.name, 'name')})"]
        if entry is None:
            model = self._variable("model", say("model: yours, {kind}", kind=type(session.model).__name__))
        else:
            model = "entry.model"
        arguments = [model, self._input(session, inputs, entry), *self._options(session, inputs, entry)]
        return [*lines, _call("trace = iw.record", arguments)]

    def _input(self, session: SessionState, inputs: Inputs, entry: zoo.ZooEntry | None) -> str:
        """The input that is shown: its path, the zoo's example, or where it lies in what the user gave."""
        source = inputs.source(session.example)
        if isinstance(source, (str, Path)):
            return repr(str(source))
        if entry is not None and isinstance(source, Image.Image):
            for number, example in enumerate(entry.examples):
                if _is_same(example.image, source):
                    return f"entry.examples[{number}].image"
        name = repr(inputs.name(session.example))
        place = inputs.place(session.example)
        if place is None:
            words = say(
                "added: the input {name}, which was added later: its path, or session.inputs[{number}] of that Session",
                name=name,
                number=session.example,
            )
            return self._variable("added", words)
        return self._variable("inputs", say("inputs: as given to the Session; shown is {name}", name=name)) + place

    def _options(self, session: SessionState, inputs: Inputs, entry: zoo.ZooEntry | None) -> list[str]:
        """What ``iw.record`` is told beside model and input."""
        options = {}
        preprocess = inputs.preprocess
        if entry is not None and preprocess == entry.preprocess:
            options["preprocess"] = "entry.preprocess"
        elif preprocess is not None:
            options["preprocess"] = self.value(preprocess, "preprocess")
        if entry is not None and session.class_names == entry.class_names != ():
            options["class_names"] = "entry.class_names"
        elif session.class_names:
            options["class_names"] = self._names(session.class_names, "class_names")
        if session.feature_names:
            options["feature_names"] = self._names(session.feature_names, "feature_names")
        if session.memory_limit is not None:
            options["memory_limit"] = self.value(session.memory_limit, "memory_limit")
        return [f"{name}={text}" for name, text in options.items()]

    def _names(self, names: tuple[str, ...], name: str) -> str:
        if len(names) <= LISTED:
            return self.value(names, name)
        return self._variable(name, say("{name}: the {count} names that you gave", name=name, count=len(names)))

    def attribution(self, method: Explainer, arguments: list[str], tolerance: float) -> list[str]:
        """The lines that make the attribution, as sure as the session's."""
        if not (tolerance and method.effort and method.error_kind is not None):
            return [_call("attribution = explainer", ["trace", *arguments])]
        self.imports.add("from interp_widgets.explainers.refinement import refined")
        words = say(
            "goes on until the method's error is at most {tolerance:.2g}, as the Session does", tolerance=tolerance
        )
        asked = ["explainer", "trace", *arguments, f"tolerance={float(tolerance)!r}"]
        return [_comment(words), _call("*_, attribution = refined", asked)]

    def value(self, value: Any, name: str, owner: str = "Session") -> str:
        """A value as Python; a variable called ``name`` where Python cannot write it.

        Args:
            owner: the class that the value was given to.
        """
        plain = _plain(value)
        if plain is not None:
            return plain
        if type(value) in (tuple, list):
            items = [self.value(item, name, owner) for item in value]
            inside = ", ".join(items)
            return f"[{inside}]" if type(value) is list else f"({inside}{',' * (len(items) == 1)})"
        kind = self._kind(type(value))
        if kind:
            fields = [field for field in dataclasses.fields(value) if field.init and not _is_default(value, field)]
            given = (
                f"{field.name}={self.value(getattr(value, field.name), field.name, type(value).__name__)}"
                for field in fields
            )
            return f"{kind}({', '.join(given)})"
        words = say("{name}: yours, as given to {owner}", name=name, owner=owner)
        return self._variable(name, words)

    def _kind(self, kind: type) -> str:
        """The name of a class whose objects are made of their fields; empty where Python cannot write one."""
        if not (dataclasses.is_dataclass(kind) and issubclass(kind, (Edit, Explainer, Look, Preprocess, Target))):
            return ""
        name, module = kind.__qualname__, kind.__module__
        if getattr(sys.modules.get(module), name, None) is not kind or not name.isidentifier():
            return ""  # made inside a function
        if module.startswith("interp_widgets.") and name in PUBLIC:
            return f"iw.{name}"
        if module != "__main__":  # what a notebook defines is there when its code runs
            if not all(part.isidentifier() for part in module.split(".")):
                return ""
            self.imports.add(f"from {module} import {name}")
        return name

    def _variable(self, name: str, words: str) -> str:
        """A variable of the user's; one of a name that is taken gets another."""
        while self._given.get(name, words) != words:
            name += "_"
        self._given[name] = words
        return name


def _plain(value: Any) -> str | None:
    """A value that stands for itself in Python; ``None`` for any other.

    Numbers of numpy's and strings of a class of their own are written as Python's.
    """
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return str.__repr__(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        written = float.__repr__(value)
        return written if math.isfinite(value) else f"float({written!r})"
    return None


def _is_default(value: Any, field: dataclasses.Field[Any]) -> bool:
    held = getattr(value, field.name)
    return type(held) is type(field.default) and bool(held == field.default)


def _is_same(one: Image.Image, other: Image.Image) -> bool:
    return one is other or ((one.mode, one.size) == (other.mode, other.size) and one.tobytes() == other.tobytes())


def _call(name: str, arguments: list[str]) -> str:
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), ")"])


def _comment(words: str) -> str:
    """One line, whatever the words hold."""
    return "# " + " ".join(words.splitlines())
