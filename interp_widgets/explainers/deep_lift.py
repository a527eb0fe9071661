"""DeepLift: what each input's difference from a reference contributes to the difference of the score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch

from interp_widgets.errors import GradientError, InterpError
from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, NOISE_SEED_LIMITS, Baseline, Given
from interp_widgets.explainers.estimate import ErrorKind, Estimate, relative_error
from interp_widgets.explainers.question import Question
from interp_widgets.propagation.difference import Multipliers, multipliers
from interp_widgets.trace import Trace

__all__ = ["DeepLift", "DeepLiftSHAP"]

LARGEST_GAP = 0.01
ROUNDING = 30  # rounding errors of the precision: in half precision more than the above


@dataclass(frozen=True)
class DeepLift(Explainer):
    """Each difference from a baseline times its multiplier, which carries the score's change back through the model.

    Shrikumar et al. 2017, arXiv:1704.02685, eq. 3 (chain rule) and section 3.5.2 (rescale rule). Deviations: what the
    paper has no rule for (normalisation, softmax, attention, products, max pooling) has one that sums up as well, see
    ``interp_widgets.propagation.difference``; an image's channels are summed. At a layer, its difference times its
    multiplier. ``error`` is the completeness gap, the share of the score's change that was lost on the way back; one
    of more than 1 % is refused (23 % in bfloat16), unless the score changes by rounding errors only. ``values`` is
    ``(H, W)`` for images and spatial layers, the input's shape without the batch otherwise; positive for evidence for
    the target; in score units.
    """

    family: ClassVar[str] = "Contributions"
    title: ClassVar[str] = "DeepLift"
    summary: ClassVar[str] = (
        "the score's change from a baseline, handed back through the model operation by operation; sums up exactly"
    )
    refines: ClassVar[bool] = True
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.COMPLETENESS_GAP

    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=NOISE_SEED_LIMITS)

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        yield from _draft(question, self.baseline, self.seed, total=2)
        walk = _walk(question, self.baseline, self.seed)
        _refuse_a_gap(question, [walk])
        yield Estimate(question.as_map(_relevance(question, walk)), 2, 2, walk.gap, walk.change)


@dataclass(frozen=True)
class DeepLiftSHAP(Explainer):
    """DeepLift averaged over many baselines: an estimate of SHAP values.

    Lundberg and Lee 2017, arXiv:1705.07874, section 4.2 (Deep SHAP), with the mean over baselines as shap's
    DeepExplainer and Captum's DeepLiftShap take it. With ``baseline="noise"`` each sample draws its own; a tensor with
    one axis more than the input holds one in each row; any other is a single one, and then this is ``DeepLift``.
    Deviations: those of ``DeepLift``, whose gap is refused here for all baselines together. ``error`` is the standard
    error of the mean, relative to it. Shape, sign and unit as ``DeepLift``.
    """

    family: ClassVar[str] = "Contributions"
    title: ClassVar[str] = "DeepLift SHAP"
    summary: ClassVar[str] = "DeepLift averaged over many baselines"
    refines: ClassVar[bool] = True
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.STANDARD_ERROR

    samples: int = field(default=16, metadata=limits(2, 2000, help="baselines that are drawn"))
    baseline: Baseline = field(default="noise", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=limits(0, 2**31 - 1, help="of the noise: the same seed, the same map"))

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        baselines = self._baselines(question.trace)
        yield from _draft(question, *baselines[0], total=len(baselines) + 1)
        total = squares = torch.zeros_like(question.value)
        walks: list[Multipliers] = []
        for count, (baseline, seed) in enumerate(baselines, start=1):
            walk = _walk(question, baseline, seed)
            relevance = _relevance(question, walk)
            total, squares = total + relevance, squares + relevance.square()
            walks.append(replace(walk, at={}, steps={}))
            if count == len(baselines):
                _refuse_a_gap(question, walks)
            error = relative_error(total, squares, count)
            yield Estimate(question.as_map(total / count), count + 1, len(baselines) + 1, error)

    def _baselines(self, trace: Trace) -> list[tuple[Baseline, int]]:
        if self.baseline == "noise":
            return [(self.baseline, self.seed + sample) for sample in range(self.samples)]
        if isinstance(self.baseline, Given):
            one = trace.sites[trace.input_sites[0]].shape[1 if trace.is_batch else 0 :]
            if self.baseline.values.ndim > len(one):
                return [(Given(values), self.seed) for values in self.baseline.values[: self.samples]]
        return [(self.baseline, self.seed)]


def _draft(question: Question, baseline: Baseline, seed: int, total: int) -> Iterator[Estimate]:
    """At the input, the recorded gradient times the difference: at once, and often close."""
    if not (question.is_input and question.trace.site(question.layer).differentiable):
        return
    start = question.baseline(baseline, seed)
    try:
        gradient = question.gradient
    except InterpError:  # the walk needs none
        return
    relevance = gradient * (question.value - start)
    if bool(torch.isfinite(relevance).all()):
        yield Estimate(question.as_map(relevance), 1, total)


def _walk(question: Question, baseline: Baseline, seed: int) -> Multipliers:
    """The multipliers at the layer, from a recording of the input alone and one of the baseline."""
    trace = question.trace
    starts = {site: question.at(site).baseline(baseline, seed)[None] for site in _compared(question)}
    with ExitStack() as stack:
        alone = trace
        if trace.examples > 1 or not set(starts) <= set(trace.input_sites):
            ends = {site: question.at(site).value[None] for site in starts}
            alone = stack.enter_context(trace.rerun(ends, example=question.example))
        reference = stack.enter_context(trace.rerun(starts, example=question.example))
        return multipliers(alone, reference, [question.layer], question.target)


def _compared(question: Question) -> list[str]:
    """The sites that get baselines: the input explained; for a layer all inputs; behind token ids the layer itself."""
    trace = question.trace
    name = trace.site(question.layer).name
    if name in trace.input_sites:
        return [name]
    floating = [site for site in trace.input_sites if trace.sites[site].dtype.is_floating_point]
    return floating or [name]


def _relevance(question: Question, walk: Multipliers) -> torch.Tensor:
    relevance = walk.at[question.layer] * walk.steps[question.layer]
    return relevance[0] if question.trace.is_batch else relevance


def _refuse_a_gap(question: Question, walks: Sequence[Multipliers]) -> None:
    """Refuse what does not sum up; a score that changes by rounding errors only cannot be asked to."""
    dtype = question.trace.site(question.layer).dtype
    precision = torch.finfo(dtype if dtype.is_floating_point else torch.float32).eps
    leak = sum(abs(walk.leak) for walk in walks)
    change = sum(abs(walk.change) for walk in walks)
    size = sum(max(abs(walk.score), abs(walk.score - walk.change)) for walk in walks)
    if leak > max(LARGEST_GAP, ROUNDING * precision) * change and change > precision**0.5 * size:
        worst = max(walks, key=lambda walk: abs(walk.leak))
        raise GradientError(
            f"DeepLift does not sum up here: {leak / change:.1%} of the score's change of {worst.change:.3g} from the "
            f"baseline is lost on the way back, most of it at {worst.worst}. "
            "Try another baseline, or Integrated Gradients, which sees the model from outside"
        )
