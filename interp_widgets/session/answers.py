"""``Answers``: the attributions of one recording, each computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from interp_widgets.explainers import Attribution, Explainer
from interp_widgets.explainers.refinement import refined
from interp_widgets.trace import Target, Trace

__all__ = ["Answers", "Question"]

REMEMBERED = 256


class Question(NamedTuple):
    """What is asked: which method about which target, at which layer, and how sure the answer shall be."""

    trace: Trace
    method: Explainer
    layer: str
    target: Target
    tolerance: float


class Answers:
    """What was computed of one recording; of very many the last ones. Another recording gets another object."""

    def __init__(self) -> None:
        self._known: OrderedDict[Question, Attribution] = OrderedDict()

    def known(self, question: Question) -> Attribution | None:
        """The answer, where it was computed before."""
        return self._known.get(question)

    def stream(self, question: Question) -> Iterator[Attribution]:
        """Estimates, better and better; the last one is remembered, and known at once then."""
        answer = self.known(question)
        if answer is not None:
            yield answer
            return
        estimates = refined(
            question.method, question.trace, question.target, question.layer, tolerance=question.tolerance
        )
        for answer in estimates:
            yield answer
        if answer is not None:
            self._known[question] = answer
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
