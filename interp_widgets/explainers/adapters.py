"""Explainers of the user's own, and of other libraries, in the same menu."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from interp_widgets.errors import ParameterError, TargetError
from interp_widgets.explainers.base import Explainer
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question, precise
from interp_widgets.trace import ClassScore
from interp_widgets.trace.arguments import check_text, shown
from interp_widgets.words import say

__all__ = ["Function", "adapt", "from_callable"]

Function = Callable[[nn.Module, torch.Tensor, int], Any]


@dataclasses.dataclass(frozen=True)
class _Borrowed(Explainer):
    """Calls a function that runs the model itself."""

    refines: ClassVar[bool] = True  # it takes as long as it takes: on the worker, and never ahead of time
    input_only: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    function: ClassVar[Function]
    holds_model: ClassVar[bool] = False  # it runs the user's own model, whatever it is given
    has_sign: ClassVar[bool]

    @property
    def signed(self) -> bool:
        return type(self).has_sign

    def unmet(self, question: Question) -> str:
        is_class = isinstance(question.target, ClassScore)
        return super().unmet(question) or ("" if is_class else say("needs a class"))

    def estimates(self, question: Question) -> Iterator[Estimate]:
        target = question.target
        if not isinstance(target, ClassScore):
            sentence = say(
                "{method} explains classes only, got the target {target}: choose a class",
                method=type(self).title,
                target=target,
            )
            raise TargetError(sentence)
        with question.trace.lent(question.example, itself=type(self).holds_model) as (model, image):
            relevance = type(self).function(model, image, target.index)
        if not isinstance(relevance, torch.Tensor):
            found = np.asarray(relevance)
            if found.dtype.kind not in "fiub":
                sentence = say(
                    "{method} must return an array or tensor of numbers, got {given}",
                    method=type(self).title,
                    given=shown(relevance),
                )
                raise ParameterError(sentence)
            relevance = torch.from_numpy(found)
        yield Estimate(self._as_map(question, precise(relevance.detach()), image))

    def _as_map(self, question: Question, values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        if values.shape == image.shape:
            return question.as_map(values[0])
        if values.ndim == 4 and len(values) == 1:
            return values[0].sum(dim=0)  # at a layer of its own: channels are summed
        if values.ndim == 3 and len(values) == 1:
            return values[0]
        if values.ndim == 2 and image.ndim == 4:
            return values
        sentence = say(
            "{method} must return the input's shape {wanted} or a map (H, W), got {shape}",
            method=type(self).title,
            wanted=tuple(image.shape),
            shape=tuple(values.shape),
        )
        raise ParameterError(sentence)


def from_callable(function: Function, *, title: str = "", signed: bool = True, summary: str = "") -> Explainer:
    """An explainer from a function of one's own.

    Args:
        function: ``function(model, input, class index)`` returns relevance: an array or tensor of the input's shape
            ``(1, C, H, W)``, whose channels are summed, or a map ``(H, W)``. The model is a copy that shares the memory
            of its parameters, frozen and in evaluation mode; the input is a copy too. It is left in the middle of a
            pass when nobody wants its result any more.
        title: what the menu says; by default the function's name.
        signed: whether values below zero mean evidence against the class.

    >>> import interp_widgets as iw
    >>> size = iw.explainers.from_callable(lambda model, x, k: x.abs(), title="|input|", signed=False)
    >>> size(iw.record(torch.nn.Flatten(), torch.ones(1, 3, 4, 4)), target=0).values.shape
    torch.Size([4, 4])
    """
    return _borrowed(function, title, summary, signed=signed)


def _borrowed(function: Function, title: str, summary: str, *, signed: bool, holds_model: bool = False) -> Explainer:
    if isinstance(function, type) or not callable(function):
        sentence = say(
            "function must be callable, got {kind} ({function})", kind=type(function).__name__, function=shown(function)
        )
        raise ParameterError(sentence)
    title, summary = check_text(title, "title"), check_text(summary, "summary")
    named = title or getattr(function, "__name__", type(function).__name__)
    members = {
        "title": named,
        "summary": summary or say("{function}, given in Python", function=named),
        "function": staticmethod(function),
        "has_sign": signed,
        "holds_model": holds_model,
    }
    name = "".join(letter for letter in named.title() if letter.isalnum()) or "Function"
    kind: type[Explainer] = type(name, (_Borrowed,), members)
    return kind()


def adapt(other: Any, *, title: str = "", **options: Any) -> Explainer:
    """An explainer from an object of another library.

    Args:
        other: a ``captum.attr`` method (``captum.attr.Saliency(model)``), a ``pytorch_grad_cam`` CAM or a ``shap``
            explainer with ``shap_values``, made for the same model.
        title: what the menu says; by default the library's and the class's name.
        options: what its own call takes beside input and class: ``n_steps=50``, ``baselines=...``.

    Raises:
        ParameterError: an object of no such library.
    """
    library = type(other).__module__.partition(".")[0]
    calls: dict[str, Function] = {
        "captum": lambda _model, image, index: other.attribute(image, target=index, **options),
        "pytorch_grad_cam": lambda _model, image, index: other(
            input_tensor=image.requires_grad_(), targets=[lambda output: output[index]], **options
        ),
        "shap": lambda _model, image, index: _of_class(other.shap_values(image, **options), index, image),
    }
    if library not in calls:
        sentence = say(
            "adapt takes objects of {libraries}, got {kind}: use from_callable for a function of your own",
            libraries=", ".join(calls),
            kind=f"{type(other).__module__}.{type(other).__name__}",
        )
        raise ParameterError(sentence)
    named = title or f"{type(other).__name__} ({library.replace('_', '-')})"
    return _borrowed(calls[library], named, "", signed=library != "pytorch_grad_cam", holds_model=True)


def _of_class(values: Any, index: int, image: torch.Tensor) -> Any:
    """One class of what shap gives: a list with one array per class, or one array with the classes as its last axis."""
    if isinstance(values, list):
        return values[index]
    return values[..., index] if np.ndim(values) > image.ndim else values
