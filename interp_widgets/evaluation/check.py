"""``check``: which methods can be believed on a model and an input, by trying each method's own promises there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import nn

from interp_widgets.errors import InterpError, ParameterError
from interp_widgets.evaluation.doctor import diagnose
from interp_widgets.evaluation.progress import progress_line
from interp_widgets.explainers import EXPLAINERS, Attribution, ErrorKind, Explainer
from interp_widgets.explainers.refinement import refined
from interp_widgets.inputs import record
from interp_widgets.inspectors.table import Column, Table
from interp_widgets.trace import ClassScore, TargetLike, Trace
from interp_widgets.trace.arguments import as_list, is_name_of, shown
from interp_widgets.words import did_you_mean, say

__all__ = ["Check", "Report", "Verdict", "check"]

MOST_GAP = 0.05  # completeness gap: above it the map does not add up to what it is said to explain
MOST_NOISE = 0.5  # standard error of the map over the map: above it the picture is more chance than answer
ALIKE = 0.999  # correlation of the maps of two classes: above it they are the same


class Verdict(StrEnum):
    """Whether a method's maps can be believed on this model and input."""

    WORKS = "works"
    CAREFUL = "careful"
    WRONG = "wrong"
    REFUSES = "refuses"

    @property
    def words(self) -> str:
        """What the table says."""
        said = {
            Verdict.WORKS: say("works"),
            Verdict.CAREFUL: say("careful"),
            Verdict.WRONG: say("wrong"),
            Verdict.REFUSES: say("refuses"),
        }
        return said[self]


@dataclass(frozen=True)
class Check:
    """The verdict on one method, why, and how long the method took."""

    method: str
    verdict: Verdict
    reason: str
    seconds: float


@dataclass(frozen=True)
class Report(Table[Check]):
    """One ``Check`` per method; prints as a table, shows as one in a notebook."""

    model: str

    def __getitem__(self, method: str) -> Check:
        for each in self.rows:
            if each.method == method:
                return each
        raise KeyError(method)

    def __iter__(self) -> Iterator[Check]:
        return iter(self.rows)

    def title(self) -> str:
        """Of which model."""
        return say("explanations of {model}", model=self.model)

    def columns(self) -> Sequence[Column[Check]]:
        """The method, the verdict, the time and the reason."""
        return (
            Column(say("method"), lambda row: row.method, is_number=False),
            Column(say("verdict"), lambda row: row.verdict.words, is_number=False),
            Column(say("time"), lambda row: f"{row.seconds:.2f} s", key=lambda row: row.seconds),
            Column(say("reason"), lambda row: row.reason, is_number=False),
        )


def check(
    model: nn.Module | Trace, inputs: Any = None, *, target: TargetLike = None, methods: Iterable[str] | None = None
) -> Report:
    """Try every method on a model and an input, and say which of them can be believed there.

    Six questions are asked of each method, and the first that fails is the verdict:

    - does it give a map at all?
    - does the map add up to the score's change, where the method promises that? (``wrong`` above 5 %)
    - is the map the same when it is asked for again? (of a slow method: its second estimate)
    - does the map vary over the positions?
    - is the map more than the chance of its samples?
    - is the map of another class another one?

    A line says how far the work is; interrupt the kernel to give up.

    Args:
        model: a module, or a trace.
        inputs: what ``record`` takes; not with a trace.
        target: what is explained; the prediction by default.
        methods: names in ``EXPLAINERS``; all by default.

    Raises:
        ParameterError: no such method.
        Whatever ``record`` raises.
    """
    names = as_list(EXPLAINERS if methods is None else methods)
    if not names:
        raise ParameterError(say("give at least one method to check, or leave methods out for all, got none"))
    for name in names:
        if not is_name_of(name, EXPLAINERS):
            sentence = say(
                "no explainer is named {name}{hint}: {known}",
                name=shown(name),
                hint=did_you_mean(str(name), EXPLAINERS),
                known=", ".join(EXPLAINERS),
            )
            raise ParameterError(sentence)
    if isinstance(model, Trace):
        if inputs is not None:
            sentence = say(
                "a trace has its inputs: give check a trace or a model and inputs, got {inputs}", inputs=shown(inputs)
            )
            raise ParameterError(sentence)
        return _report(model, target, names)
    with record(model, inputs) as trace:
        return _report(trace, target, names)


def _report(trace: Trace, target: TargetLike, names: list[str]) -> Report:
    checks = []
    with progress_line() as tell:
        for number, name in enumerate(names, 1):
            words = say("checking method {number} of {count}, {name}", number=number, count=len(names), name=name)
            tell_more = partial(tell, words)
            tell_more()
            checks.append(_check(trace, EXPLAINERS[name](), target, name, tell_more))
    return Report(tuple(checks), type(trace.model).__name__)


def _check(trace: Trace, explainer: Explainer, target: TargetLike, name: str, tell: Callable[..., None]) -> Check:
    started = time.perf_counter()
    try:
        closes_gaps = type(explainer).error_kind is ErrorKind.COMPLETENESS_GAP  # as the Explorer would
        estimates = refined(explainer, trace, target, tolerance=MOST_GAP if closes_gaps else 0)
        early, last = _run(estimates, tell)
        seconds = time.perf_counter() - started
        verdict, reason = _judge(trace, explainer, early, last)
    except InterpError as error:
        return Check(name, Verdict.REFUSES, str(error), time.perf_counter() - started)
    except Exception as error:  # noqa: BLE001 - somebody else's method, or package: the others are checked all the same
        return Check(name, Verdict.WRONG, f"{type(error).__name__}: {error}", time.perf_counter() - started)
    return Check(name, verdict, reason, seconds)


def _run(stream: Iterator[Attribution], tell: Callable[..., None]) -> tuple[Attribution, Attribution]:
    """An early estimate, as ``_early`` gives it, and the last."""
    started = time.perf_counter()
    early = last = next(stream)
    for number, last in enumerate(stream):
        if number == 0:
            early = last
        tell(": ", last.progress(time.perf_counter() - started))
    return early, last


def _early(stream: Iterator[Attribution]) -> Attribution:
    """The second estimate, or the only one: the first may be a draft by another method."""
    *_, early = islice(stream, 2)
    return early


def _judge(trace: Trace, explainer: Explainer, early: Attribution, last: Attribution) -> tuple[Verdict, str]:
    """The verdict on a method from two of its estimates, and why; each test below is cheaper than the next."""
    error, kind = last.error, last.error_kind
    if error is not None and kind is ErrorKind.COMPLETENESS_GAP and error > MOST_GAP:
        return Verdict.WRONG, say(
            "gap {gap:.0%}: the map does not add up to the score's change from the baseline to the input; "
            "take more steps, or a baseline whose score differs more",
            gap=error,
        )
    again = _early(explainer.stream(trace, last.target))
    if not torch.equal(again.values, early.values):
        return Verdict.WRONG, say("asked again, it gives another map")
    finding = diagnose(trace, explainer, last)
    if finding is not None:
        reason = finding.reason
        if finding.remedy:
            reason = say("{reason}: {remedy}", reason=reason, remedy=finding.remedy)
        return Verdict.CAREFUL, reason
    if error is not None and kind is ErrorKind.STANDARD_ERROR and error > MOST_NOISE:
        return Verdict.CAREFUL, say("standard error {error:.0%} of the map: take more samples", error=error)
    other = _another_class(trace, last)
    if other is not None and _same_for(trace, explainer, other, early, last):
        return Verdict.CAREFUL, say(
            "the map is the same for another class: what the layer sees, not what speaks for the class"
        )
    return Verdict.WORKS, "" if error is None else f"{last.error_name} {error:.1%}"


def _same_for(trace: Trace, explainer: Explainer, other: ClassScore, early: Attribution, last: Attribution) -> bool:
    """Whether another class has the same map."""
    early_of_other = _early(explainer.stream(trace, other))
    if _correlation(early_of_other.values, early.values) <= ALIKE:
        return False  # the last estimates, which may take a minute, need not be compared
    if early is last:
        return True
    return _correlation(explainer(trace, other).values, last.values) > ALIKE


def _another_class(trace: Trace, explained: Attribution) -> ClassScore | None:
    """The likeliest class beside the one explained, ``None`` when no class is explained or there is no other."""
    if not (isinstance(explained.target, ClassScore) and trace.has_classes and trace.class_count > 1):
        return None
    order = trace.probabilities[0].argsort(descending=True).tolist()
    return ClassScore(next(index for index in order if index != explained.target.index))


def _correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Pearson's correlation of two maps; 0 when one of them is zero everywhere."""
    if not (first.any() and second.any()):
        return 0.0
    rows = torch.stack([first.flatten(), second.flatten()]).cpu().double()  # (2, positions)
    return float(torch.corrcoef(rows)[0, 1])
