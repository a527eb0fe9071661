"""Before an explanation is believed: every method's own axioms, tried on this model and this input."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal

import torch
from torch import nn

from interp_widgets.errors import InterpError, ParameterError, did_you_mean
from interp_widgets.evaluation.doctor import diagnose
from interp_widgets.evaluation.progress import progress_line
from interp_widgets.explainers import EXPLAINERS, Attribution, ErrorKind, Explainer
from interp_widgets.inputs import record
from interp_widgets.trace import ClassScore, TargetLike, Trace
from interp_widgets.trace.arguments import as_list, is_name_of, shown

__all__ = ["Check", "Report", "check"]

GAP = 0.05  # of completeness: above it the map does not add up to what it is said to explain
NOISE = 0.5  # standard error of the map over the map: above it the picture is more chance than answer
ALIKE = 0.999  # correlation of the maps of two classes

Verdict = Literal["works", "careful", "wrong", "refuses"]


@dataclass(frozen=True)
class Check:
    """What was found for one method."""

    method: str
    verdict: Verdict
    reason: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """One ``Check`` per method; prints as a table, shows as one in a notebook."""

    model: str
    checks: tuple[Check, ...]

    def __getitem__(self, method: str) -> Check:
        for found in self.checks:
            if found.method == method:
                return found
        raise KeyError(method)

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __str__(self) -> str:
        wide = max(len(found.method) for found in self.checks)
        lines = [
            f"{each.method:<{wide}}  {each.verdict:<8} {each.seconds:7.2f} s  {each.reason}" for each in self.checks
        ]
        return "\n".join([f"explanations of {self.model}", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(found.method)}</td><td>{found.verdict}</td><td>{found.seconds:.2f} s</td>"
            f"<td style='text-align:left'>{html.escape(found.reason)}</td></tr>"
            for found in self.checks
        )
        head = "<tr><th>method</th><th>verdict</th><th>time</th><th style='text-align:left'>reason</th></tr>"
        return f"<table><caption>explanations of {html.escape(self.model)}</caption>{head}{rows}</table>"


def check(
    model: nn.Module | Trace, inputs: Any = None, *, target: TargetLike = None, methods: Iterable[str] | None = None
) -> Report:
    """Try every method on a model and an input, and say which of them can be believed there.

    Tried are: does it give a map at all; does the map add up to the score's change, where the method promises it
    (``wrong`` above 5 %); is it the same when asked again (of a slow one: its second estimate); does it tell two
    classes apart; is it blank or the same everywhere; is it more than the chance of its samples. A line says how far it
    is; interrupt the kernel to give up.

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
    for name in names:
        if not is_name_of(name, EXPLAINERS):
            known = ", ".join(EXPLAINERS)
            raise ParameterError(f"no explainer is named {shown(name)}{did_you_mean(str(name), EXPLAINERS)}: {known}")
    if isinstance(model, Trace):
        if inputs is not None:
            raise ParameterError(
                f"a trace has its inputs: give check a trace or a model and inputs, got {shown(inputs)}"
            )
        return _report(model, target, names)
    with record(model, inputs) as trace:
        return _report(trace, target, names)


def _report(trace: Trace, target: TargetLike, names: list[str]) -> Report:
    found = []
    with progress_line() as tell:
        for number, name in enumerate(names, 1):
            tell_more = partial(tell, f"checking method {number} of {len(names)}, {name}")
            tell_more()
            found.append(_check(trace, EXPLAINERS[name](), target, name, tell_more))
    return Report(type(trace.model).__name__, tuple(found))


def _check(trace: Trace, explainer: Explainer, target: TargetLike, name: str, tell: Callable[..., None]) -> Check:
    started = time.perf_counter()
    try:
        early, last = _run(explainer.stream(trace, target), tell)
        seconds = time.perf_counter() - started
        verdict, reason = _judge(trace, explainer, early, last)
    except InterpError as error:
        return Check(name, "refuses", str(error), time.perf_counter() - started)
    except Exception as error:  # noqa: BLE001 - somebody else's method, or package: the others are checked all the same
        return Check(name, "wrong", f"{type(error).__name__}: {error}", time.perf_counter() - started)
    return Check(name, verdict, reason, seconds)


def _run(stream: Iterator[Attribution], tell: Callable[..., None]) -> tuple[Attribution, Attribution]:
    """An early estimate, as ``_early`` gives it, and the last."""
    started = time.perf_counter()
    early = last = next(stream)
    for number, last in enumerate(stream):
        early = early if number else last
        tell(": ", last.progress(time.perf_counter() - started))
    return early, last


def _early(stream: Iterator[Attribution]) -> Attribution:
    """The second estimate, or the only one: the first may be a draft by another method."""
    *_, found = islice(stream, 2)
    return found


def _judge(trace: Trace, explainer: Explainer, early: Attribution, last: Attribution) -> tuple[Verdict, str]:
    if last.error is not None and last.error_kind is ErrorKind.COMPLETENESS_GAP and last.error > GAP:
        return "wrong", (
            f"gap {last.error:.0%}: the map does not add up to the score's change from the baseline to the input; "
            "take more steps, or a baseline whose score differs more"
        )
    if not torch.equal(_early(explainer.stream(trace, last.target)).values, early.values):
        return "wrong", "asked again, it gives another map"
    finding = diagnose(trace, explainer, last)
    if finding is not None:
        return "careful", finding.reason + (f": {finding.remedy}" if finding.remedy else "")
    if last.error is not None and last.error_kind is ErrorKind.STANDARD_ERROR and last.error > NOISE:
        return "careful", f"standard error {last.error:.0%} of the map: take more samples"
    other = _another_class(trace, last)
    if other is not None and _same_for(trace, explainer, other, early, last):
        return "careful", "the map is the same for another class: what the layer sees, not what speaks for the class"
    told = "" if last.error is None else f"{last.error_name} {last.error:.1%}"
    return "works", told


def _same_for(trace: Trace, explainer: Explainer, other: ClassScore, early: Attribution, last: Attribution) -> bool:
    """Whether another class has the same map; where early estimates differ already, the last are not computed."""
    if _correlation(_early(explainer.stream(trace, other)).values, early.values) <= ALIKE:
        return False
    return early is last or _correlation(explainer(trace, other).values, last.values) > ALIKE


def _another_class(trace: Trace, found: Attribution) -> ClassScore | None:
    """The likeliest class beside the one explained."""
    if not (isinstance(found.target, ClassScore) and trace.has_classes and trace.class_count > 1):
        return None
    order = trace.probabilities[0].argsort(descending=True).tolist()
    return ClassScore(next(index for index in order if index != found.target.index))


def _correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    if not (a.any() and b.any()):
        return 0.0
    return float(torch.corrcoef(torch.stack([a.flatten().double(), b.flatten().double()]))[0, 1])
