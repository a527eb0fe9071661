"""DeepLift: what each input's difference from a reference contributes to the difference of the score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import ClassVar, NamedTuple

import torch

from interp_widgets.errors import GradientError, InterpError
from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, NOISE_SEED_LIMITS, Baseline, Given
from interp_widgets.explainers.estimate import ErrorKind, Estimate, relative_error
from interp_widgets.explainers.joint import Joint
from interp_widgets.explainers.question import Question
from interp_widgets.propagation.difference import multipliers
from interp_widgets.trace import Trace
from interp_widgets.trace.target import Values
from interp_widgets.words import say

__all__ = ["DeepLift", "DeepLiftSHAP"]

LARGEST_GAP = 0.01
ROUNDING = 30  # rounding errors of the precision: in half precision more than the above


@dataclass(frozen=True)
class DeepLift(Explainer):
    """Each difference from a baseline times its multiplier, which carries the score's change back through the model.

    Shrikumar et al. 2017, arXiv:1704.02685, eq. 3 (chain rule) and section 3.5.2 (rescale rule). Deviations: what the
    paper has no rule for (normalisation, softmax, attention, products, quotients, max pooling) has one that sums up as
    well, see ``interp_widgets.propagation.difference``; an image's channels are summed. At a layer, its difference
    times its multiplier. ``error`` is the completeness gap, the share of the score's change that was lost on the way
    back; one of more than 1 % is refused (23 % where the model computes in bfloat16), unless the score changes by
    rounding errors only. ``values`` is ``(H, W)`` for images and spatial layers, the input's shape without the batch
    otherwise; positive for evidence for the target; in score units.
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
        baselines = [(self.baseline, self.seed)]
        joint = Joint.of(question, self.baseline)
        yield from _draft(joint, *baselines[0], total=2)
        relevance, balances = _lift(joint, baselines)
        _refuse_a_gap(question, balances)
        yield joint.estimate(relevance[0], 2, 2, balances[0].gap, balances[0].change)


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
        count = len(baselines)
        joint = Joint.of(question, baselines[0][0])
        yield from _draft(joint, *baselines[0], total=count + 1)
        total = squares = torch.zeros_like(joint.maps(joint.value[None])[0])
        balances: list[_Balance] = []
        for part in self._parts(question, count):
            relevance, new = _lift_in_parts(joint, baselines[part.start : part.stop])  # (B, *shape)
            maps = joint.maps(relevance)
            total = total + maps.sum(dim=0)
            squares = squares + maps.square().sum(dim=0)
            balances += new
            if part.stop == count:
                _refuse_a_gap(question, balances)
            error = relative_error(total, squares, part.stop)
            yield joint.estimate_of(total / part.stop, part.stop + 1, count + 1, error)

    def _parts(self, question: Question, count: int) -> Iterable[range]:
        """Which baselines are walked from at once."""
        if question.is_input and question.has_rows and question.target.adds_up:
            # as many as fit: a walk takes about as long for many as for one, and the draft is a picture already
            return question.batches(count, gradient=True, growing=False)
        # At a layer, what is lost on the way back is known for all rows together only.
        return (range(row, row + 1) for row in range(count))

    def _baselines(self, trace: Trace) -> list[tuple[Baseline, int]]:
        if self.baseline == "noise":
            return [(self.baseline, self.seed + sample) for sample in range(self.samples)]
        if isinstance(self.baseline, Given):
            name = trace.input_sites[0]
            shape = trace.sites[name].shape[1 if trace.has_rows(name) else 0 :]
            if self.baseline.values.ndim > len(shape):
                return [(Given(values), self.seed) for values in self.baseline.values[: self.samples]]
        return [(self.baseline, self.seed)]


def _draft(joint: Joint, baseline: Baseline, seed: int, total: int) -> Iterator[Estimate]:
    """At the input, the recorded gradient times the difference: at once, and often close."""
    question = joint.question
    if not (question.is_input and question.trace.site(question.layer).differentiable):
        return
    start = joint.baselines(baseline, [seed])[0]
    try:
        gradient = joint.gradient
    except InterpError:  # the walk needs none
        return
    relevance = gradient * (joint.value - start)
    if bool(torch.isfinite(relevance).all()):
        yield joint.estimate(relevance, 1, total)


class _Balance(NamedTuple):
    """Whether the relevance from one baseline adds up.

    Args:
        score, change: the score of the input, and by how much it exceeds that of the baseline.
        leak: the part of the change that was lost on the way back.
        worst: the name of the site whose operation lost most.
    """

    score: float
    change: float
    leak: float
    worst: str

    @property
    def gap(self) -> float | None:
        """The share of the change that was lost, ``None`` when there is no change."""
        return abs(self.leak / self.change) if self.change else None


def _lift_in_parts(joint: Joint, baselines: Sequence[tuple[Baseline, int]]) -> tuple[torch.Tensor, list[_Balance]]:
    """The same as ``_lift``, from fewer baselines at once where the memory is not enough for all."""
    try:
        return _lift(joint, baselines)
    except torch.OutOfMemoryError:
        if len(baselines) == 1:
            raise
    joint.question.trace.fewer_at_once(len(baselines))
    half = len(baselines) // 2
    parts = [_lift_in_parts(joint, part) for part in (baselines[:half], baselines[half:])]
    return torch.cat([relevance for relevance, _ in parts]), [each for _, new in parts for each in new]


def _lift(joint: Joint, baselines: Sequence[tuple[Baseline, int]]) -> tuple[torch.Tensor, list[_Balance]]:
    """The relevance of what is explained from each baseline, ``(B, *shape)``, and whether it adds up; from one walk."""
    question = joint.question
    trace, target = question.trace, question.target
    count = len(baselines)
    starts = _starts(joint, baselines)
    with ExitStack() as stack:
        alone = trace
        if count > 1 or trace.examples > 1 or not set(starts) <= set(trace.input_sites):
            ends = {site: question.at(site).value.expand(start.shape) for site, start in starts.items()}
            alone = stack.enter_context(trace.rerun(ends, example=question.example))
        reference = stack.enter_context(trace.rerun(starts, example=question.example))
        scores, lows = (target.of_examples(Values(each, each.activation)) for each in (alone, reference))
        if len(scores) != count > 1:  # a model that joins the inputs of a batch
            singles = [_lift(joint, [baseline]) for baseline in baselines]
            return torch.cat([relevance for relevance, _ in singles]), [each for _, (each,) in singles]
        walk = multipliers(alone, reference, joint.sites, target)
    relevance = joint.joined({site: walk.at[site] * walk.steps[site] for site in joint.sites})
    if count == 1:
        return relevance, [_Balance(walk.score, walk.change, walk.leak, walk.worst)]
    scores, lows = scores.cpu().double(), lows.cpu().double()  # (B,) each
    changes = scores - lows
    leaks = changes - relevance.flatten(1).sum(dim=1).cpu().double()
    rows = zip(scores.tolist(), changes.tolist(), leaks.tolist(), strict=True)
    return relevance, [_Balance(*row, walk.worst) for row in rows]


def _starts(joint: Joint, baselines: Sequence[tuple[Baseline, int]]) -> dict[str, torch.Tensor]:
    """The baselines ``(B, *shape)`` of the sites that are compared.

    Of inputs these are all that are explained together; of a layer the inputs that it is computed from; behind token
    ids the layer itself.
    """
    question = joint.question
    groups = [(kind, [seed for _, seed in group]) for kind, group in groupby(baselines, key=itemgetter(0))]
    compared = joint
    if not question.is_input and question.floating_behind:
        first, *others = question.floating_behind
        compared = Joint(question.at(first), (first, *others))
    return compared.split(torch.cat([compared.baselines(kind, seeds) for kind, seeds in groups]))


def _coarsest_precision(trace: Trace) -> float:
    """The machine epsilon of the coarsest precision that the model computed in: autocast mixes several."""
    kinds = {value.dtype for value in trace.tape.values if value.dtype.is_floating_point}
    return max((torch.finfo(kind).eps for kind in kinds), default=torch.finfo(torch.float32).eps)


def _refuse_a_gap(question: Question, balances: Sequence[_Balance]) -> None:
    """Refuse what does not sum up; a score that changes by rounding errors only cannot be asked to."""
    precision = _coarsest_precision(question.trace)
    leak = sum(abs(balance.leak) for balance in balances)
    change = sum(abs(balance.change) for balance in balances)
    size = sum(max(abs(balance.score), abs(balance.score - balance.change)) for balance in balances)
    if leak > max(LARGEST_GAP, ROUNDING * precision) * change and change > precision**0.5 * size:
        worst = max(balances, key=lambda balance: abs(balance.leak))
        sentence = say(
            "DeepLift does not sum up here: {share:.1%} of the score's change of {change:.3g} from the "
            "baseline is lost on the way back, most of it at {worst}. "
            "Try another baseline, or Integrated Gradients, which sees the model from outside",
            share=leak / change,
            change=worst.change,
            worst=worst.worst,
        )
        raise GradientError(sentence)
