"""``Session``: the one source of state. Widgets read it, write it and stay linked through it."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from inspect import isabstract
from typing import Any, NamedTuple, Self

import numpy as np
import traitlets as t
from numpy.typing import NDArray
from torch import nn

from interp_widgets import trace as tracing
from interp_widgets.errors import ClosedError, InputError, InterpError, LayoutError, ParameterError, TargetError
from interp_widgets.explainers import EXPLAINERS, Explainer
from interp_widgets.explainers.baselines import baseline_of
from interp_widgets.inputs import Choice, Prepare, choices, column_names, hinted, understood
from interp_widgets.inspectors.intervention import Edit
from interp_widgets.render.look import Look
from interp_widgets.session.answers import Answers
from interp_widgets.session.code import code_of, code_of_edits
from interp_widgets.session.inputs import Inputs
from interp_widgets.session.jobs import Jobs
from interp_widgets.session.state import SessionState
from interp_widgets.session.turn import TURN
from interp_widgets.trace import ClassScore, Trace
from interp_widgets.trace.arguments import as_bytes, as_items, as_names, check_whole, plain_module, shown
from interp_widgets.trace.targets import as_target, predicted
from interp_widgets.words import did_you_mean, say

__all__ = ["Session"]

MEMORY_BUDGET = 512 * 2**20
"""Bytes that the traces of all sessions of a kernel may keep; the one used longest ago lets go of its trace first."""

_SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()


class WrongTypeError(ParameterError, t.TraitError):
    """A trait of a ``Session`` was set to a value of another type; traitlets' own error too, as its users expect."""


class _Take(NamedTuple):
    """A recording that is not looked at yet, the key of its input, and the inputs it was made of."""

    key: int
    inputs: Inputs
    trace: Trace
    seconds: float


class _Steady(threading.local):
    """Of one thread: whether it is inside ``Session.steady``, and whether the model was looked at there."""

    inside = False
    looked = False


class Session(SessionState):
    """A model, an input, and what is looked at: layer, channel, target, explainer.

    Args:
        model: any ``nn.Module``.
        inputs: whatever ``record`` takes; a list, a batch, or a table of examples gives several to choose from (a
            model that takes a list as one input is given a list of lists of tensors).
        class_names: one per class; numbers by default.
        preprocess: how an image becomes the model's input: a ``Preprocess``; torchvision's ``weights.transforms()`` or
            a Hugging Face image processor, which become one where they do the same; or any function from a PIL image
            to a tensor. By default as the model says, see ``usual_preprocess``.
        labels: the true class of each input, ``None`` where unknown.
        names: a name for each input.
        feature_names: names of the features of inputs that are lists of numbers.

    Every trait can be set, observed and linked (``ipywidgets.link((a, "layer"), (b, "layer"))``). A wrong value is
    refused with a sentence and changes nothing.
    """

    CHECKED = ("preprocess", "example", "layer", "channel", "target", "explainer")

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        class_names: Iterable[object] | None = None,
        preprocess: Prepare | None = None,
        labels: Sequence[int | None] = (),
        names: Sequence[str] = (),
        feature_names: Iterable[object] | None = None,
        memory_limit: float | str | None = None,
        **traits: Any,
    ) -> None:
        super().__init__()
        self.model = plain_module(model)
        self.class_names = as_names(class_names) or ()
        self.memory_limit = as_bytes(memory_limit)
        self.explainers = {}
        self.jobs = Jobs()  # slow work of everything that shows this session
        self.recordings = 0
        self.record_seconds = 0.0
        self._inputs = Inputs(
            inputs,
            self.model,
            understood(preprocess),
            names=as_items(names, "names", str),
            labels=as_items(labels, "labels", int),
        )
        self._given = self._inputs.preprocess
        self.feature_names = as_names(feature_names, "feature_names") or column_names(inputs) or ()
        self._recorded = -1  # key of the input
        self._take: _Take | None = None
        self._closed = False
        self._steady = _Steady()
        self.set_trait("input_count", len(self._inputs))
        self.preprocess = self._given
        self.last_used = time.monotonic()
        self._adopt(self._record(0, self._inputs))
        if "explainer" not in traits and not any(self.ready().is_spatial(layer) for layer in self.ready().layers):
            self.explainer = "Gradient"  # Grad-CAM needs maps
        self.follow = traits.get("target") is None
        for name in ("explainer", "target", "layer", "channel", "at_layer", "follow"):
            value = traits.pop(name, None)
            if value is not None:
                setattr(self, name, value)
        if traits:
            raise ParameterError(
                say(
                    "Session has no trait {names}: "
                    "use layer, channel, target, explainer, at_layer, example, follow or memory_limit",
                    names=", ".join(traits),
                )
            )
        _SESSIONS.add(self)
        _share_memory(self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Traits change in one turn."""
        with TURN:
            try:
                super().__setattr__(name, value)
            except t.TraitError as error:  # a value of another type
                refused = say("{name} cannot be {value}: {error}", name=name, value=shown(value), error=error)
                raise WrongTypeError(refused) from error

    # Inputs

    @property
    def inputs(self) -> list[Any]:
        """The inputs to choose from, as they were given."""
        return self._inputs.sources

    def number_of(self, example: int) -> int:
        """The number that an input keeps when others are removed, from 1."""
        return self._inputs.key(example) + 1

    def name_of(self, example: int) -> str:
        """What an input is called."""
        return self._inputs.name(example)

    def label_of(self, example: int) -> int | None:
        """The true class of an input, where known."""
        return self._inputs.label(example)

    def tensor_of(self, example: int) -> Any:
        """An input as the model takes it.

        Raises:
            InputError: not something a model takes, or not an image.
        """
        return self._inputs.tensor(example)

    def add(self, source: Any, name: str = "") -> None:
        """Take one more input (a path, image, array or tensor) and look at it; a wrong one changes nothing.

        A file that is there already, and was not written since, is looked at again.
        """
        known = self._inputs.find(source)
        if known is not None:
            self.look_at(known)
            return
        key = self._inputs.key(self._inputs.add(source, name))
        try:
            self.look_at(self._inputs.where(key))
        except BaseException:
            self._inputs.remove(self._inputs.where(key))
            raise

    def remove(self, example: int) -> None:
        """Take one of the inputs away; the next is looked at where it was the present one. One must stay.

        Raises:
            ParameterError: no whole number.
            InputError: no such input, or the only one; an input next to it that cannot be read.
        """
        count = len(self._inputs)
        self._inputs.check(check_whole(example, "example", 0))
        if count == 1:
            raise InputError(say("the only input cannot be removed: add another one first"))
        key = self._inputs.key(example)
        if example == self.example:
            self.look_at(example + 1 if example + 1 < count else example - 1)
        with TURN:
            looked_at = self._inputs.key(self.example)
            self._inputs.remove(self._inputs.where(key))
            with self.hold_trait_notifications():  # nobody sees one without the other
                self.example = self._inputs.where(looked_at)
                self.set_trait("input_count", len(self._inputs))

    def look_at(self, example: int) -> None:
        """The same as setting ``example``, for threads: the others need not wait while the model runs."""
        self._inputs.check(example)
        if example == self.example:
            return
        take = self._record(example, self._inputs)
        with TURN:
            position = self._inputs.where(take.key)  # others may have been removed meanwhile
            if take.inputs is self._inputs and self.example != position:
                self._take = take
            else:  # another thread was quicker
                take.trace.close()
            self.set_trait("input_count", len(self._inputs))
            self.example = position

    def prepare(self, preprocess: Prepare | None) -> None:
        """The same as setting ``preprocess``, for threads: the others need not wait while the model runs."""
        wanted = understood(preprocess)
        if wanted == self.preprocess:
            return
        take = self._prepared(wanted, self._inputs)
        with TURN:
            if take.key == self._inputs.key(self.example) and self.preprocess != wanted:
                self._take = take
            else:  # another thread was quicker
                take.trace.close()
            self.preprocess = wanted

    def preprocess_choices(self) -> list[Choice]:
        """Ways to prepare the present input to choose from; exactly one has the present ``preprocess``.

        None for what is given as the model takes it.
        """
        if not self._inputs.prepares(self.example):
            return []
        return choices(self.model, self._given, self.preprocess)

    def picture(self, example: int | None = None) -> NDArray[np.uint8] | None:
        """An input as a person sees it, ``(H, W, 3)`` uint8; ``None`` when it is not an image."""
        return self._inputs.picture(self.example if example is None else example)

    def preparation(self) -> str:
        """How the present input became what the model takes, in words."""
        return self._inputs.preparation(self.example)

    def baseline_picture(self) -> NDArray[np.uint8] | None:
        """What the explainer compares the input with, as a person sees it; ``None`` when it is not an image."""
        method, trace = self.method, self.ready()
        if not hasattr(method, "baseline") or self.picture() is None or len(trace.input_sites) != 1:
            return None
        name = trace.input_sites[0]
        value = trace.activation(name).float()
        tensor = baseline_of(value[0] if trace.has_rows(name) else value, method.baseline, getattr(method, "seed", 0))
        return self._inputs.as_picture(tensor, self.example)

    def code(self, *, colormap: str | None = None, opacity: float | None = None, look: Look | None = None) -> str:
        """Python that makes what is shown and ends in its figure, for a script or a paper.

        A model of the zoo or torchvision's that was loaded by name, and is still as it was loaded, is loaded by that
        name; your own model, tensors and functions are variables that a comment explains. Of a method that is still
        refining it makes the last estimate.

        Args:
            colormap, opacity, look: of the figure; ``None`` for the usual ones.

        Raises:
            TargetError, LayoutError: as ``attribution()``, where there is nothing to make.
            ParameterError: no such colour map; an opacity that cannot be; no look.
        """
        with self.steady():
            return code_of(self, self._inputs, colormap=colormap, opacity=opacity, look=look)

    def code_of_edits(self, edits: Iterable[Edit]) -> str:
        """Python that records the present input and makes these edits, for a script or a paper."""
        with self.steady():
            return code_of_edits(self, self._inputs, edits)

    # Recording

    def _record(self, example: int, inputs: Inputs) -> _Take:
        self._check_open()
        started = time.perf_counter()
        key = inputs.key(example)
        value = inputs.tensor(example)
        with hinted(self.model, inputs.source(example), value, inputs.preprocess):
            found = tracing.record(
                self.model,
                value,
                memory_limit=self.memory_limit,
                class_names=self.class_names or None,
                feature_names=self.feature_names or None,
            )
        return _Take(key, inputs, found, time.perf_counter() - started)

    def _prepared(self, preprocess: Prepare | None, inputs: Inputs) -> _Take:
        """A recording of the present input, prepared in another way.

        Raises:
            InputError: the model does not take what comes out, or it cannot be shown.
        """
        example = self.example
        inputs.check(example)
        other = inputs.prepared_by(preprocess)
        try:
            take = self._record(example, other)
        except InterpError:
            raise
        except Exception as error:
            sentence = say(
                "the model does not take its input prepared like this ({words}): {kind}: {error}",
                words=other.preparation(example),
                kind=type(error).__name__,
                error=error,
            )
            raise InputError(sentence) from error
        other.picture(example)  # refuses what is no picture
        return take

    def _adopt(self, take: _Take) -> None:
        """Look at another trace: keep layer, channel and target where they still make sense."""
        found = take.trace
        with TURN:
            if self._closed:
                found.close()
                raise ClosedError(say("this session was closed while it recorded"))
            before = self.trace
            self._inputs = take.inputs
            self._recorded, self.record_seconds = take.key, take.seconds
            self.recordings += 1
            self._exchange(found)
        if before is not None:
            before.close()

    def _exchange(self, found: Trace) -> None:
        with self.steady(), self.hold_trait_notifications():
            self.answers = Answers()
            self.set_trait("trace", found)
            self._steady.looked = True  # the observers are told of this trace, even if it is out of date by now
            if not (self.layer in found.layers or self.layer in found.sites):
                self.layer = _first_layer(found)
            self.channel = min(self.channel, found.channels(self.layer) - 1)
            if self.target is None or self.follow:
                self.target = predicted(found) if found.has_classes else None

    def ready(self) -> Trace:
        """The trace, recorded again when it was let go to save memory or when the model has changed."""
        self._check_open()
        self.last_used = time.monotonic()
        if not self.live:
            take = self._record(self.example, self._inputs)
            with TURN:
                is_current = take.inputs is self._inputs and take.key == self._inputs.key(self.example)
                if not is_current:  # another input, or prepared in another way meanwhile
                    take.trace.close()
                    return self.ready()
                self._adopt(take)
            self._steady.looked = self._steady.inside
            _share_memory(self)
        assert self.trace is not None  # noqa: S101 - for the type checker: adopted just above
        return self.trace

    @property
    def live(self) -> bool:
        """Whether there is a trace that holds for the model as it is now, so that ``ready`` need not record."""
        if self.trace is None or self.trace.closed:
            return False
        return self._steady.looked or not self.trace.stale

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Inside, in this thread, a changed model is recorded again once, and what is recorded then answers all.

        So a model that changes all the time, in a training loop, has a picture too.
        """
        of_thread = self._steady
        before = of_thread.inside, of_thread.looked
        of_thread.inside, of_thread.looked = True, self.live
        try:
            yield
        finally:
            of_thread.inside, of_thread.looked = before

    def release(self) -> None:
        """Let go of the trace's memory; it is recorded again when something is asked for."""
        if self.trace is not None:
            self.trace.close()
        self.answers = Answers()

    @property
    def nbytes(self) -> int:
        """Bytes the trace keeps."""
        return 0 if self.trace is None else self.trace.nbytes

    # Refusing what cannot be

    def notify_change(self, change: Any) -> None:
        """Tell the observers."""
        with self.steady():
            super().notify_change(change)

    def taken_back(self) -> None:
        """An input that was recorded for a change that is taken back is not looked at."""
        self._take = None

    @t.validate("layer")
    def _validate_layer(self, proposal: dict[str, Any]) -> str:
        self._check_open()
        layer: str = proposal["value"]
        if self.trace is None:
            return layer
        site = self.trace.site(layer)
        is_known = layer in self.trace.layers or layer in self.trace.sites
        return layer if is_known else site.name  # a module at two places is shown at the first

    @t.validate("channel")
    def _validate_channel(self, proposal: dict[str, Any]) -> int:
        self._check_open()
        channel: int = proposal["value"]
        if self.trace is not None and self.layer:
            count = self.trace.channels(self.layer)
            if not 0 <= channel < count:
                raise ParameterError(
                    say(
                        "channel must be in 0..{last} ({layer!r} has {count} channels), got {channel}",
                        last=count - 1,
                        layer=self.layer,
                        count=count,
                        channel=channel,
                    )
                )
        return channel

    @t.validate("target")
    def _validate_target(self, proposal: dict[str, Any]) -> Any:
        self._check_open()
        value = proposal["value"]
        if value is None or self.trace is None:
            return value
        target = as_target(value, self.ready())
        if isinstance(target, ClassScore):
            classes = self.trace.class_count
            if not 0 <= target.index < classes:
                raise TargetError(
                    say(
                        "target must be in 0..{last} (the model has {count} classes), got {index}",
                        last=classes - 1,
                        count=classes,
                        index=target.index,
                    )
                )
            return target.index
        self.trace.score(target)  # refuses what does not fit the model
        return target

    @t.observe("target")
    def _follow_no_more(self, change: dict[str, Any]) -> None:
        """Whoever chooses a class that is not the prediction wants to keep it."""
        trace = self.trace
        if self.follow and trace is not None and trace.has_classes and change["new"] != predicted(trace):
            self.follow = False

    @t.observe("layer")
    def _keep_channel_in_range(self, _change: dict[str, Any]) -> None:
        if self.trace is not None:
            self.channel = min(self.channel, self.trace.channels(self.layer) - 1)

    @t.validate("explainer")
    def _validate_explainer(self, proposal: dict[str, Any]) -> Any:
        value = proposal["value"]
        if isinstance(value, type) and issubclass(value, Explainer) and not isabstract(value):
            value = value()
        if isinstance(value, Explainer):
            name = type(value).__name__
            if EXPLAINERS.get(name) is not type(value):
                self.explainers[name] = value
            return value
        if isinstance(value, str) and (value in EXPLAINERS or value in self.explainers):
            return value
        raise ParameterError(
            say(
                "no explainer is named {name}{close}: {known}",
                name=repr(value),
                close=did_you_mean(str(value), EXPLAINERS),
                known=", ".join(EXPLAINERS),
            )
        )

    @t.validate("example")
    def _validate_example(self, proposal: dict[str, Any]) -> int:
        self._check_open()
        value: int = proposal["value"]
        self._inputs.check(value)
        taken = self._recorded if self._take is None else self._take.key
        inputs = self._inputs if self._take is None else self._take.inputs
        if self.trace is not None and inputs.key(value) != taken:
            self._take = self._record(value, inputs)  # may be refused, so before the trait changes
        return value

    @t.validate("preprocess")
    def _validate_preprocess(self, proposal: dict[str, Any]) -> Prepare | None:
        self._check_open()
        value = understood(proposal["value"])
        inputs = self._inputs if self._take is None else self._take.inputs
        if self.trace is not None and value != inputs.preprocess:
            self._take = self._prepared(value, inputs)  # may be refused, so before the trait changes
        return value

    @t.observe("example", "preprocess")
    def _adopt_take(self, _change: dict[str, Any]) -> None:
        if self._take is not None:
            take, self._take = self._take, None
            self._adopt(take)

    # Life

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(say("this session is closed: make a new one"))

    def close(self) -> None:
        """Free the trace. Closing twice is harmless."""
        self.jobs.close()
        self.release()
        self._closed = True
        self.set_trait("trace", None)
        _SESSIONS.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _first_layer(trace: Trace) -> str:
    """Where to look first: the default layer, or the last layer of a model without maps."""
    try:
        return trace.default_layer()
    except LayoutError:
        return trace.layers[-1] if trace.layers else trace.input_sites[0]


def _share_memory(current: Session) -> None:
    """Keep all sessions' traces together under the budget: those used longest ago let go of theirs."""
    others = sorted((session for session in _SESSIONS if session is not current), key=lambda session: session.last_used)
    kept = current.nbytes + sum(session.nbytes for session in others)
    for session in others:
        if kept <= MEMORY_BUDGET:
            return
        kept -= session.nbytes
        session.release()
