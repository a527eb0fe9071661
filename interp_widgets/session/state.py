"""``SessionState``: what is looked at, and what is asked about it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import traitlets as t
from numpy.typing import NDArray
from torch import nn

from interp_widgets.errors import InputError, LayoutError
from interp_widgets.explainers import EXPLAINERS, Attribution, Explainer
from interp_widgets.explainers import Question as ExplainerQuestion
from interp_widgets.session.answers import Answers, Question
from interp_widgets.session.steadfast import Steadfast
from interp_widgets.trace import Trace
from interp_widgets.trace.ending import Scale
from interp_widgets.trace.targets import as_target
from interp_widgets.words import say

__all__ = ["SessionState"]


class SessionState(Steadfast):
    """The traits of a session, and the attributions they ask for; where the trace comes from is the session's part."""

    trace = t.Instance(Trace, allow_none=True, read_only=True, help="the recording of the current input")
    layer = t.Unicode(help="module path of the layer looked at")
    channel = t.Int(0, help="channel of that layer")
    target = t.Any(help="what is explained: a class index, or a target object; a class name is turned into its index")
    explainer: t.TraitType[Any, Any] = t.TraitType(
        "GradCAM", help="name in EXPLAINERS, or an Explainer with its own hyper-parameters"
    )
    at_layer = t.Bool(False, help="whether a method that can explain input or layer explains the layer")
    example = t.Int(0, help="which of the inputs")
    input_count = t.Int(1, read_only=True, help="how many inputs there are to choose from")
    # not ``Any``, which lets ``None`` pass unchecked
    preprocess: t.TraitType[Any, Any] = t.TraitType(
        None, help="how an image becomes the model's input; None leaves it to the model"
    )
    tolerance = t.Float(
        0.05, min=0.0, max=1.0, help="go on until a method's error is below this, as far as that can be reached; 0: no"
    )
    follow = t.Bool(False, help="whether the target follows the prediction when the input changes")

    model: nn.Module
    feature_names: tuple[str, ...]
    memory_limit: int | None  # bytes
    explainers: dict[str, Explainer]  # by class name: those that were given, beside ``EXPLAINERS``
    class_names: tuple[str, ...]
    answers: Answers  # about the present recording

    @abstractmethod
    def ready(self) -> Trace:
        """The trace, recorded again when it was let go to save memory or when the model has changed."""

    @property
    def method(self) -> Explainer:
        """The explainer that is chosen."""
        return self.explainer if isinstance(self.explainer, Explainer) else self._explainer_named(self.explainer)

    @method.setter
    def method(self, explainer: Any) -> None:
        self.explainer = explainer

    def _explainer_named(self, name: str) -> Explainer:
        return self.explainers[name] if name in self.explainers else EXPLAINERS[name]()

    def place(self, layer: str | None = None, explainer: Explainer | None = None) -> str:
        """Where an explainer looks: the layer, its default where the layer has no maps, or the input.

        Raises:
            LayoutError: the explainer needs maps and the model has none.
        """
        trace = self.ready()
        wanted, method = layer or self.layer, explainer or self.method
        if not method.at_layer:
            return wanted if self.explains_layer(method) else method.default_layer(trace)
        can_explain = trace.site(wanted).differentiable or not method.needs_gradient
        return wanted if trace.is_spatial(wanted) and can_explain else trace.default_layer()

    def unmet_needs(self) -> dict[str, str]:
        """Of each method that cannot explain what is looked at, by name: what it needs, as far as no pass is needed.

        Empty as long as no target is chosen.
        """
        if self.target is None:
            return {}
        needs = {name: self._unmet_need(name) for name in (*EXPLAINERS, *self.explainers)}
        return {name: need for name, need in needs.items() if need}

    def _unmet_need(self, name: str) -> str:
        try:
            explainer = self._explainer_named(name)
        except TypeError:  # of another package, and not made without arguments: that is said when it is chosen
            return ""
        trace = self.ready()
        try:
            place = self.place(None, explainer)
        except LayoutError:
            return say("needs maps")
        except InputError:
            return say("needs a gradient")
        return explainer.unmet(ExplainerQuestion(trace, as_target(self.target, trace), place))

    def explains_layer(self, explainer: Explainer | None = None) -> bool:
        """Whether the explainer looks at the layer rather than at the input."""
        method = explainer or self.method
        return method.at_layer or (self.at_layer and not method.input_only)

    def is_cheap(self, layer: str | None = None, target: Any = None) -> bool:
        """Whether that attribution needs no pass over the model or the recording."""
        goal = self.target if target is None else target
        if self.method.refines or self.method.own_pass:
            return self.known(layer, target) is not None
        return not self.method.needs_gradient or self.ready().has_gradient(self.place(layer), goal)

    def attribution(
        self, layer: str | None = None, target: Any = None, explainer: Explainer | None = None
    ) -> Attribution:
        """An attribution of the current input; by default that of the session's explainer, layer and target."""
        found = None
        for found in self.stream(layer, target, explainer):  # noqa: B007 - the last one is the result
            pass
        assert found is not None  # noqa: S101 - for the type checker: a stream yields at least once
        return found

    def stream(
        self, layer: str | None = None, target: Any = None, explainer: Explainer | None = None
    ) -> Iterator[Attribution]:
        """The estimates of an attribution, better and better; the last one is remembered, and known at once then."""
        question = self._question(layer, target, explainer)
        yield from self.answers.stream(question)

    def known(
        self, layer: str | None = None, target: Any = None, explainer: Explainer | None = None
    ) -> Attribution | None:
        """An attribution that was computed before."""
        return self.answers.known(self._question(layer, target, explainer))

    def _question(self, layer: str | None, target: Any, explainer: Explainer | None) -> Question:
        trace, method = self.ready(), explainer or self.method
        goal = as_target(self.target if target is None else target, trace)
        return Question(trace, method, self.place(layer, method), goal, self.tolerance)

    def probabilities(self) -> NDArray[np.float32] | None:
        """Probability of each class for the current input, ``(K,)``.

        ``None`` for a model without classes, and for one value that is no probability.
        """
        trace = self.ready()
        if not trace.has_classes or trace.scale is Scale.VALUE:
            return None
        return trace.probabilities[0].cpu().numpy()

    def scale_in_words(self) -> str:
        """What the model's numbers are, for a person; empty for a model without classes."""
        trace = self.ready()
        if not trace.has_classes:
            return ""
        if trace.scale is Scale.VALUE:
            return say("one value: {value:.4g}", value=float(trace.logits[:1].mean()))
        return trace.scale.words

    def names_of_classes(self) -> list[str]:
        """One name per class, numbers where there are none; of a model with one value, that."""
        trace = self.ready()
        count, names = trace.class_count, trace.score_names or ()
        return [names[i] if i < len(names) else say("class {index}", index=i) for i in range(count)]

    def name_of_target(self, target: Any = None) -> str:
        """What a target is called, as the attributions call it."""
        trace = self.ready()
        return as_target(self.target if target is None else target, trace).label(trace.score_names)
