"""Gradients of noisy copies of the input, and of mixtures with baselines: averages over samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch

from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, Baseline
from interp_widgets.explainers.estimate import ErrorKind, Estimate, jackknife_error, relative_error, running_sums
from interp_widgets.explainers.joint import Joint
from interp_widgets.explainers.question import Question

__all__ = ["ExpectedGradients", "SmoothGrad", "SmoothGradSquared", "VarGrad"]

GROUPS = 8  # of samples, for the jackknife


@dataclass(frozen=True)
class _Noisy(Explainer):
    """The gradients of noisy copies; each kind makes one map of their moments."""

    family: ClassVar[str] = "Paths and noise"
    refines: ClassVar[bool] = True
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.STANDARD_ERROR

    samples: int = field(default=32, metadata=limits(2, 2000, help="noisy copies of the input"))
    noise: float = field(
        default=0.15, metadata=limits(0.0, 2.0, help="standard deviation, as a share of the input's range")
    )
    channels: Literal["max", "mean"] = field(
        default="max", metadata=limits(options=("max", "mean"), help="how the channels of one position are joined")
    )
    seed: int = field(default=0, metadata=limits(0, 2**31 - 1, help="of the noise: the same seed, the same map"))

    def estimates(self, question: Question) -> Iterator[Estimate]:
        value = question.value
        deviation = self.noise * float(value.max() - value.min())
        generator = torch.Generator().manual_seed(self.seed)
        totals, squares = (running_sums(GROUPS, value.shape, value) for _ in range(2))  # of each group of samples
        for part in question.batches(self.samples, gradient=True):
            # one by one, so that the noise of a sample does not depend on how many fit into a batch
            drawn = [torch.randn(value.shape, generator=generator) for _ in part]
            copies = value + deviation * torch.stack(drawn).to(value)  # (B, *shape)
            gradients = question.probe(copies, gradient=True).gradients.to(totals.device).to(totals.dtype)
            for sample, gradient in zip(part, gradients, strict=True):
                totals[sample % GROUPS] += gradient
                squares[sample % GROUPS] += gradient.square()
            count = part.stop
            if count == 1:
                first = self.first(totals[0]).to(value)
                yield Estimate(question.as_map(first, self.channels), count, self.samples)
                continue
            values = self._map(question, totals.sum(dim=0), squares.sum(dim=0), count)
            error = self._error(question, values, totals, squares, count)
            yield Estimate(values.to(value), count, self.samples, error)

    def _map(self, question: Question, total: torch.Tensor, squares: torch.Tensor, count: int) -> torch.Tensor:
        return question.as_map(self.moment(total, squares, count), self.channels)

    def _error(
        self, question: Question, values: torch.Tensor, totals: torch.Tensor, squares: torch.Tensor, count: int
    ) -> float | None:
        """The jackknife's: what is shown is no mean, but a variance, or the largest of several sizes."""
        if count < 3:
            return None  # without one of two samples nothing varies
        total, square = totals.sum(dim=0), squares.sum(dim=0)
        without = []
        for group in range(min(count, GROUPS)):
            left_out = len(range(group, count, GROUPS))
            without.append(self._map(question, total - totals[group], square - squares[group], count - left_out))
        return jackknife_error(values, torch.stack(without))

    @abstractmethod
    def moment(self, total: torch.Tensor, squares: torch.Tensor, count: int) -> torch.Tensor:
        """The map from the sum of the gradients and the sum of their squares."""

    def first(self, gradient: torch.Tensor) -> torch.Tensor:
        """What is shown of one sample alone."""
        return gradient.square()


@dataclass(frozen=True)
class SmoothGrad(_Noisy):
    """The mean gradient of noisy copies of the input: the noise of a single gradient averages out.

    Smilkov et al. 2017, arXiv:1706.03825, section 2.2: ``noise`` is their ``sigma / (x_max - x_min)``; the largest size
    over the channels, as in ``Gradient``. No deviation with ``channels="max"``. ``error`` is the standard error of the
    map, relative to it. ``values`` is ``(H, W)`` for images and spatial layers, the input's shape without the
    batch otherwise; never negative; score per input unit.
    """

    title: ClassVar[str] = "SmoothGrad"
    summary: ClassVar[str] = "the mean gradient of noisy copies of the input"

    def moment(self, total: torch.Tensor, squares: torch.Tensor, count: int) -> torch.Tensor:  # noqa: ARG002
        return total / count

    def first(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


@dataclass(frozen=True)
class SmoothGradSquared(_Noisy):
    """The mean squared gradient of noisy copies of the input.

    Hooker et al. 2019, arXiv:1806.10758, section 3.2 (SG-SQ). ``error`` is the standard error of the map,
    relative to it. Shape as ``SmoothGrad``; squared score per squared input unit.
    """

    title: ClassVar[str] = "SmoothGrad squared"
    summary: ClassVar[str] = "the mean squared gradient of noisy copies of the input"

    def moment(self, total: torch.Tensor, squares: torch.Tensor, count: int) -> torch.Tensor:  # noqa: ARG002
        return squares / count


@dataclass(frozen=True)
class VarGrad(_Noisy):
    """The variance of the gradient over noisy copies of the input: where the model is locally not linear.

    Adebayo et al. 2018, arXiv:1810.03307, section 2: the variance over samples (divided by their number). ``error`` is
    the standard error of the map, relative to it. Shape as ``SmoothGrad``; squared score per squared input unit.
    """

    title: ClassVar[str] = "VarGrad"
    summary: ClassVar[str] = "how much the gradient varies over noisy copies of the input"

    def moment(self, total: torch.Tensor, squares: torch.Tensor, count: int) -> torch.Tensor:
        return (squares / count - (total / count).square()).clamp(min=0)


@dataclass(frozen=True)
class ExpectedGradients(Explainer):
    """Integrated gradients averaged over random baselines and random points on the way from them to the input.

    Expected Gradients, Erion et al. 2019, arXiv:1906.10670, eq. 2; shap and Captum call the same GradientSHAP. With
    ``baseline="noise"`` each sample draws its own; with another there is one baseline and only the point is random.
    ``noise`` adds noise to the input as Captum's ``stdevs`` does (a share of the input's range). All inputs of
    floating type move together. Deviation: channels are summed. ``error`` is the standard error of the map, relative
    to it. ``values`` is ``(H, W)`` for images and spatial layers, the input's shape without the batch otherwise;
    positive for evidence for the target; score units.
    """

    family: ClassVar[str] = "Paths and noise"
    title: ClassVar[str] = "Expected Gradients"
    summary: ClassVar[str] = "GradientSHAP: integrated gradients over random baselines and points"
    refines: ClassVar[bool] = True
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.STANDARD_ERROR

    samples: int = field(default=32, metadata=limits(2, 2000, help="random pairs of a baseline and a point"))
    baseline: Baseline = field(default="noise", metadata=BASELINE_LIMITS)
    noise: float = field(default=0.0, metadata=limits(0.0, 2.0, help="on the input, as a share of its range"))
    seed: int = field(default=0, metadata=limits(0, 2**31 - 1, help="of everything drawn: the same seed, the same map"))

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, question: Question) -> Iterator[Estimate]:
        joint = Joint.of(question, self.baseline)
        value = joint.value
        deviation = self.noise * joint.extent()
        generator = torch.Generator().manual_seed(self.seed)
        total = squares = torch.zeros_like(joint.maps(value[None])[0])
        for part in question.batches(self.samples, gradient=True):
            seeds = [self.seed + sample for sample in part]
            starts = joint.baselines(self.baseline, seeds).to(value)  # (B, *shape); the same one but for noise
            noise, fractions = [], []
            for _ in part:  # one by one, so that a sample does not depend on how many fit into a batch
                noise.append(torch.randn(value.shape, generator=generator))
                fractions.append(torch.rand((), generator=generator))
            ends = value + deviation * torch.stack(noise).to(value)  # (B, *shape)
            along = torch.stack(fractions).to(value).reshape(-1, *[1] * value.ndim)  # (B, 1, ...)
            gradients = joint.probe(starts + along * (ends - starts), gradient=True).gradients
            maps = joint.maps(gradients * (ends - starts))
            total = total + maps.sum(dim=0)
            squares = squares + maps.square().sum(dim=0)
            error = relative_error(total, squares, part.stop)
            yield joint.estimate_of(total / part.stop, part.stop, self.samples, error)
