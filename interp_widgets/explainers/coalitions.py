"""Take parts of the input away, in many combinations, and share the score's change among them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from interp_widgets.explainers.base import Explainer, limits, value_of
from interp_widgets.explainers.baselines import BASELINE_LIMITS, NOISE_SEED_LIMITS, Baseline, baseline_input
from interp_widgets.explainers.estimate import Estimate, relative_error, spread
from interp_widgets.explainers.segments import SEGMENT_LIMITS, SHAPE_LIMITS, segments
from interp_widgets.trace import Target, Trace

__all__ = ["LIME", "FeatureAblation", "KernelSHAP", "ShapleySampling"]

GROUPS = 8  # of samples: how much the answer changes when one is left out says how sure it is


@dataclass(frozen=True)
class Game:
    """The parts of one input as players, and the score of any coalition of them.

    Args:
        value, cover: the input and what stands for a part that is away.
        parts: the number of each position's part, broadcastable to ``value``.
    """

    trace: Trace
    target: Target
    layer: str
    example: int
    value: torch.Tensor
    cover: torch.Tensor
    parts: torch.Tensor

    @property
    def players(self) -> int:
        """How many parts there are."""
        return int(self.parts.max()) + 1

    def play(self, coalitions: torch.Tensor) -> torch.Tensor:
        """The score of each coalition, ``(B,)`` in double precision, from who is there: ``(B, players)`` of bool."""
        there = coalitions.to(self.value.device)[:, self.parts]  # (B, *parts)
        inputs = torch.where(there, self.value, self.cover)
        return self.trace.probe(self.layer, inputs, self.target, example=self.example).scores.double().cpu()

    def ends(self) -> tuple[float, float]:
        """The scores with nobody and with everybody there."""
        nobody, everybody = self.play(torch.tensor([[False], [True]]).expand(2, self.players)).tolist()
        return nobody, everybody

    def draw(self, shares: torch.Tensor) -> torch.Tensor:
        """The players' shares as a map: each position has that of its part."""
        found: torch.Tensor = shares.to(self.value)[self.parts]
        if self.value.ndim < 3:
            return found.expand(self.value.shape).clone()
        return found.reshape(found.shape[-2:])


@dataclass(frozen=True)
class _Coalitions(Explainer):
    """Explainers of a game among the parts of the input."""

    family: ClassVar[str] = "Perturbation"
    input_only: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    refines: ClassVar[bool] = True

    segments: int = field(default=49, metadata=SEGMENT_LIMITS)
    shape: str = field(default="grid", metadata=SHAPE_LIMITS)
    baseline: Baseline = field(default="zero", metadata=BASELINE_LIMITS)
    seed: int = field(default=0, metadata=limits(0, 2**31 - 1, help="of what is drawn: the same seed, the same map"))

    @property
    def signed(self) -> bool:
        return True

    def estimates(self, trace: Trace, target: Target, layer: str, example: int) -> Iterator[Estimate]:
        value = value_of(trace, layer, example)
        cover = baseline_input(trace, layer, self.baseline, example, self.seed)
        parts = segments(value, self.segments, self.shape)
        game = Game(trace, target, layer, example, value, cover, parts)
        for found in self.shares(game):
            yield found._replace(values=game.draw(found.values))

    @abstractmethod
    def shares(self, game: Game) -> Iterator[Estimate]:
        """The share of each player, ``(players,)``."""


@dataclass(frozen=True)
class FeatureAblation(_Coalitions):
    """What the score loses when one part of the input alone gives way to the baseline.

    Leave-one-out, as Captum's FeatureAblation; a part is a feature of a vector, a rectangle or superpixel of an image.
    Estimates: the parts so far. A position has the value of its part; in score units. ``values`` is ``(H, W)`` for
    images, the input's shape without the batch otherwise; positive for evidence for the target.
    """

    title: ClassVar[str] = "Feature Ablation"
    summary: ClassVar[str] = "what the score loses without one part of the input"

    seed: int = field(default=0, metadata=NOISE_SEED_LIMITS)

    def shares(self, game: Game) -> Iterator[Estimate]:
        players = game.players
        order = torch.tensor(spread(players))
        (whole,) = game.play(torch.ones(1, players, dtype=torch.bool)).tolist()
        found = torch.zeros(players, dtype=torch.float64)
        for part in game.trace.batches(players):
            chosen = order[list(part)]
            found[chosen] = whole - game.play(~torch.eye(players, dtype=torch.bool)[chosen])
            yield Estimate(found.clone(), part.stop, players)


@dataclass(frozen=True)
class ShapleySampling(_Coalitions):
    """The mean gain of the score when a part joins the others, over random orders of joining.

    Castro et al. 2009, doi:10.1016/j.cor.2008.04.004, algorithm 1; each order is followed by its reverse, which makes
    the mean steadier (Mitchell et al. 2022, arXiv:2104.12199, section 4.1). Each order sums up exactly to the score's
    change from the baseline; of one that is not finished, the rest is shared equally. ``error`` is the standard error
    of the map, relative to it. Shape and unit as ``FeatureAblation``.
    """

    title: ClassVar[str] = "Shapley value sampling"
    summary: ClassVar[str] = "the mean gain when a part joins the others, over random orders"
    error_name: ClassVar[str] = "standard error"

    samples: int = field(default=10, metadata=limits(1, 1000, help="random orders, each taken both ways"))

    def shares(self, game: Game) -> Iterator[Estimate]:
        players, generator = game.players, torch.Generator().manual_seed(self.seed)
        nobody, everybody = game.ends()
        total, squares, pair = (torch.zeros(players, dtype=torch.float64) for _ in range(3))
        evaluations = 2 * self.samples * (players - 1)
        change = everybody - nobody
        yield Estimate(torch.full_like(total, change / players), 1, evaluations + 1, None, change)
        order = torch.arange(players)
        for sample in range(2 * self.samples):
            order = order.flip(0) if sample % 2 else torch.randperm(players, generator=generator)
            gains, before, done = torch.full_like(total, (everybody - nobody) / players), nobody, sample * (players - 1)
            joined = torch.zeros(players, players, dtype=torch.bool)
            for place, player in enumerate(order):
                joined[place:, player] = True
            for part in game.trace.batches(players - 1):
                scores = torch.cat([torch.tensor([before], dtype=torch.float64), game.play(joined[list(part)])])
                gains[order[list(part)]] = scores.diff()
                before = float(scores[-1])
                gains[order[part.stop :]] = (everybody - before) / (players - part.stop)
                if part.stop < players - 1 and sample < 2:  # later ones change the picture by little
                    shown = (total + gains) / (sample + 1)
                    yield Estimate(shown, done + part.stop + 1, evaluations + 1, None, change)
            total += gains
            pair += gains
            if sample % 2:
                squares += (pair / 2).square()
                pair.zero_()
            pairs = (sample + 1) // 2
            error = relative_error(total / 2, squares, pairs) if sample % 2 else None
            yield Estimate(total / (sample + 1), done + players, evaluations + 1, error, change)


@dataclass(frozen=True)
class _Regression(_Coalitions):
    """A linear model of the score on who is there; it needs the normal equations only."""

    error_name: ClassVar[str] = "standard error"
    sums_up: ClassVar[bool] = True

    samples: int = field(default=256, metadata=limits(4, 20000, help="coalitions that are tried"))

    def shares(self, game: Game) -> Iterator[Estimate]:
        ends = game.ends()
        change = ends[1] - ends[0]
        coalitions, weights = self.coalitions(game.players, torch.Generator().manual_seed(self.seed))
        size = game.players + 1
        left = torch.zeros(GROUPS, size, size, dtype=torch.float64)
        right = torch.zeros(GROUPS, size, dtype=torch.float64)
        for part in game.trace.batches(len(coalitions)):
            chosen = coalitions[list(part)]
            rows = torch.cat([chosen.double(), torch.ones(len(part), 1, dtype=torch.float64)], dim=1)
            gains = game.play(chosen) - ends[0]
            for place, row, gain in zip(part, rows, gains, strict=True):
                group = place // 2 % GROUPS  # coalitions come in pairs
                left[group] += weights[place] * torch.outer(row, row)
                right[group] += weights[place] * gain * row
            found = self.solve(left.sum(dim=0), right.sum(dim=0), change)
            exact = 0.0 if part.stop == len(coalitions) == 2**game.players - 2 else None
            error = self._error(left, right, change, found, part.stop) if exact is None else exact
            yield Estimate(found, part.stop, len(coalitions), error, change if self.sums_up else None)

    def _error(
        self, left: torch.Tensor, right: torch.Tensor, change: float, found: torch.Tensor, count: int
    ) -> float | None:
        """The jackknife's standard error (Efron 1982, eq. 3.13), relative to the answer."""
        players = len(found)
        if count < 2 * players:
            return None
        rest = zip(left.sum(dim=0) - left, right.sum(dim=0) - right, strict=True)
        others = torch.stack([self.solve(*without, change) for without in rest])
        variance = (GROUPS - 1) / GROUPS * (others - others.mean(dim=0)).square().sum()
        size = float(found.norm())
        return float(variance.sqrt()) / size if size else None

    @abstractmethod
    def coalitions(self, players: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Who is there, ``(n, players)`` of bool, and the weight of each coalition, ``(n,)``."""

    @abstractmethod
    def solve(self, left: torch.Tensor, right: torch.Tensor, change: float) -> torch.Tensor:
        """The shares from the weighted sums of ``x x^T`` and ``x y``.

        ``x`` is who is there and a 1, ``y`` the score above that with nobody there, ``change`` that with everybody.
        """


@dataclass(frozen=True)
class KernelSHAP(_Regression):
    """Shapley values of the parts, by a weighted regression on random coalitions.

    Lundberg and Lee 2017, arXiv:1705.07874, theorem 2; coalitions are drawn in complementary pairs, their sizes by the
    Shapley kernel, and the shares are made to sum up exactly, as in Covert and Lee 2021, arXiv:2012.01536, eq. 7. With
    no more coalitions than ``samples`` all are taken, and the values are exact. ``error`` is the jackknife's standard
    error, relative to the map. Shape and unit as ``FeatureAblation``.
    """

    title: ClassVar[str] = "KernelSHAP"
    summary: ClassVar[str] = "Shapley values by a regression on random coalitions of parts"

    def coalitions(self, players: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        if players == 1:
            return torch.ones(1, 1, dtype=torch.bool), torch.ones(1, dtype=torch.float64)
        sizes = torch.arange(1, players, dtype=torch.float64)
        kernel = (players - 1) / (sizes * (players - sizes))  # of all coalitions of one size together
        if players < 20 and 2**players - 2 <= self.samples:
            numbers = torch.arange(1, 2 ** (players - 1))
            half = (numbers[:, None] >> torch.arange(players)) % 2 == 1  # the others are their complements
            each = [kernel[size - 1] / math.comb(players, size) for size in half.sum(dim=1).tolist()]
            return _with_complements(half), torch.tensor(each, dtype=torch.float64).repeat_interleave(2)
        count = self.samples // 2
        drawn = torch.multinomial(kernel, count, replacement=True, generator=generator) + 1
        ranks = torch.rand(count, players, generator=generator).argsort(dim=1).argsort(dim=1)
        return _with_complements(ranks < drawn[:, None]), torch.ones(2 * count, dtype=torch.float64)

    def solve(self, left: torch.Tensor, right: torch.Tensor, change: float) -> torch.Tensor:
        inverse = torch.linalg.pinv(left[:-1, :-1], rtol=1e-10, hermitian=True)
        free, ones = inverse @ right[:-1], inverse.sum(dim=1)
        size = float(ones.sum())
        shares: torch.Tensor = free + ones * ((change - float(free.sum())) / size if size else 0.0)
        return shares


@dataclass(frozen=True)
class LIME(_Regression):
    """The coefficients of a linear model that imitates the score near the input.

    Ribeiro et al. 2016, arXiv:1602.04938, eq. 1, as the authors' package does it for images: coalitions with each part
    there by a toss of a coin, weighted by ``exp(-d^2 / width^2)^(1/2)`` with the cosine distance ``d`` from the whole
    input, ridge regression with penalty 1. Deviations: a baseline instead of the part's mean colour; the target's
    score instead of a probability; no selection of features; rectangles unless ``shape="superpixels"``. ``error`` is
    the jackknife's standard error, relative to the map. Shape and unit as ``FeatureAblation``.
    """

    title: ClassVar[str] = "LIME"
    summary: ClassVar[str] = "a linear model of the score on which parts are there"
    sums_up: ClassVar[bool] = False

    width: float = field(default=0.25, metadata=limits(0.01, 10.0, help="of the kernel: how near samples must be"))

    def coalitions(self, players: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        found = torch.rand(self.samples, players, generator=generator) < 0.5
        found[0] = True
        distance = 1 - (found.double().mean(dim=1)).sqrt()  # the cosine of a coalition and all players
        return found, (-(distance**2) / self.width**2).exp().sqrt()

    def solve(self, left: torch.Tensor, right: torch.Tensor, change: float) -> torch.Tensor:
        del change
        penalty = torch.ones(len(right), dtype=torch.float64)
        penalty[-1] = 0  # of the intercept
        found: torch.Tensor = torch.linalg.solve(left + penalty.diag(), right)
        return found[:-1]


def _with_complements(coalitions: torch.Tensor) -> torch.Tensor:
    return torch.stack([coalitions, ~coalitions], dim=1).flatten(0, 1)
