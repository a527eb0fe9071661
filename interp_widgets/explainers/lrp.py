"""Layer-wise relevance propagation, by rules for operations instead of modules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch

from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.gradient import InputXGradient
from interp_widgets.explainers.question import Question
from interp_widgets.propagation.relevance import Relevance
from interp_widgets.words import say

__all__ = ["LRP"]


@dataclass(frozen=True)
class LRP(Explainer):
    """The score, handed back operation by operation: each summand gets its share of the relevance of its sum.

    Bach et al. 2015, doi:10.1371/journal.pone.0130140, eq. 58 (epsilon rule) and, at convolutions with ``rule=
    "epsilon-plus"``, eq. 60 with alpha 1 and beta 0, the composite of Montavon et al. 2019,
    doi:10.1007/978-3-030-28954-6_10, section 10.3. As there, the denominators count the bias: eq. 58 all of it, eq. 60
    its positive part. Activation functions hand relevance through; a max pooling hands it to its maximum; attention
    and gates (softmax, sigmoid, hardsigmoid) are taken as constants, and so is the deviation in a layer, group or RMS
    norm (Ali et al. 2022, arXiv:2202.07304, sec. 4); other products give each factor an equal part. Deviations:
    ``epsilon`` is a share of the root mean square of an operation's denominators; with "epsilon-plus" a batch norm
    hands relevance through, and its shift is in no denominator; an image's channels are summed. What biases and
    ``epsilon`` absorb is missing in the sum. ``values`` is ``(H, W)`` for images and spatial layers, the input's shape
    without the batch otherwise; positive for evidence for the target; in score units. Where the gradient is recorded
    already, the first estimate is the value times it.
    """

    family: ClassVar[str] = "Contributions"
    refines: ClassVar[bool] = True
    title: ClassVar[str] = "LRP"
    summary: ClassVar[str] = "the score, handed back layer by layer to what each sum was made of"

    rule: Literal["epsilon-plus", "epsilon"] = field(
        default="epsilon-plus",
        metadata=limits(options=("epsilon-plus", "epsilon"), help="at convolutions: positive contributions, or all"),
    )
    epsilon: float = field(
        default=0.01, metadata=limits(0.0, 1.0, help="absorbs small relevance, as a share of the outputs")
    )

    @property
    def signed(self) -> bool:
        return True

    def unmet(self, question: Question) -> str:
        has_gradient = question.trace.site(question.layer).differentiable  # relevance goes back along the recording
        return super().unmet(question) or ("" if has_gradient else say("needs a gradient"))

    def estimates(self, question: Question) -> Iterator[Estimate]:
        if question.trace.has_gradient(question.layer, question.target):
            (draft,) = InputXGradient().estimates(question)  # what LRP is on a network of ReLUs without biases
            if bool(torch.isfinite(draft.values).all()):
                yield Estimate(draft.values, 1, 2)
        walk = Relevance(question.trace, question.target, epsilon=self.epsilon, plus=self.rule == "epsilon-plus")
        relevance = question.own(walk.at(question.layer))
        yield Estimate(question.as_map(relevance), 2, 2)
