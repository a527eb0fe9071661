"""Take parts of the input away, in many combinations, and share the score's change among them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F

from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, NOISE_SEED_LIMITS, Baseline
from interp_widgets.explainers.estimate import ErrorKind, Estimate, relative_error, spread
from interp_widgets.explainers.question import Question
from interp_widgets.explainers.segments import SEGMENT_LIMITS, SHAPE_LIMITS, segments

__all__ = ["LIME", "FeatureAblation", "KernelSHAP", "ShapleySampling"]

PENALISED = 1000  # coalitions that the authors' package of LIME takes for an image, with a penalty of 1 for all


@dataclass(frozen=True)
class Game:
    """A cooperative game: the parts of one input are the players, and a coalition's value is the score with it alone.

    Args:
        question: what is asked, at an input.
        value, cover: the input, and what stands in the place of a part that is absent.
        parts: the number of each position's part, broadcastable to ``value``.
        players: how many parts there are.
    """

    question: Question
    value: torch.Tensor
    cover: torch.Tensor
    parts: torch.Tensor
    players: int

    def play(self, coalitions: torch.Tensor) -> torch.Tensor:
        """The score of each coalition, ``(B,)`` in double precision on the CPU.

        Args:
            coalitions: whether each player is present, ``(B, players)`` of bool.
        """
        present = coalitions.to(self.value.device)[:, self.parts]  # (B, *shape of parts)
        inputs = torch.where(present, self.value, self.cover)  # (B, *shape)
        return self.question.probe(inputs).scores.cpu().double()

    def ends(self) -> tuple[float, float]:
        """The scores of the empty and of the full coalition."""
        empty, full = self.play(torch.tensor([[False], [True]]).expand(2, self.players)).tolist()
        return empty, full

    @cached_property
    def areas(self) -> torch.Tensor:
        """How many positions each player has, ``(players,)`` in double precision on the CPU."""
        return torch.bincount(self.parts.flatten(), minlength=self.players).cpu().double()

    def draw(self, shares: torch.Tensor) -> torch.Tensor:
        """The players' shares ``(players,)`` as a map: each position has that of its part."""
        relevance: torch.Tensor = shares.to(self.value)[self.parts]
        if self.value.ndim < 3:
            return relevance.expand(self.value.shape).clone()
        return relevance.reshape(relevance.shape[-2:])


@dataclass(frozen=True)
class _Coalitions(Explainer):
    """Explainers that score coalitions of the input's parts."""

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

    def estimates(self, question: Question) -> Iterator[Estimate]:
        value = question.value
        cover = question.baseline(self.baseline, self.seed)
        parts = segments(value, self.segments, self.shape)
        game = Game(question, value, cover, parts, players=int(parts.max()) + 1)
        for estimate in self.shares(game):
            yield estimate._replace(values=game.draw(estimate.values))

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
        all_but_one = ~torch.eye(players, dtype=torch.bool)  # (players, players)
        full = game.play(torch.ones(1, players, dtype=torch.bool))  # (1,)
        losses = torch.zeros(players, dtype=torch.float64)
        for part in game.question.batches(players):
            removed = order[part.start : part.stop]
            losses[removed] = full - game.play(all_but_one[removed])
            yield Estimate(losses.clone(), part.stop, players)


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
    error_kind: ClassVar[ErrorKind | None] = ErrorKind.STANDARD_ERROR

    samples: int = field(default=10, metadata=limits(1, 1000, help="random orders, each taken both ways"))

    def shares(self, game: Game) -> Iterator[Estimate]:
        players = game.players
        empty, full = game.ends()
        change = full - empty
        orders = self.orders(players)  # (orders, players)
        joining = players - 1  # evaluations per order: the empty and the full coalition are known
        evaluations = 1 + len(orders) * joining
        equal = torch.full((players,), change / players, dtype=torch.float64)
        yield Estimate(equal, 1, evaluations, None, change)
        # the score after each player of each order has joined, the first column that of nobody
        scores = torch.full((len(orders), players + 1), empty, dtype=torch.float64)
        scores[:, -1] = full
        for part in game.question.batches(len(orders) * joining):
            places = torch.arange(part.start, part.stop)
            order, joined = places // joining, places % joining + 1  # (B,) which order, and how many have joined
            scores[order, joined] = game.play(_first_players(orders[order], joined))
            gains = _gains(orders, scores, part.stop)  # (orders so far, players)
            pairs = gains[: part.stop // joining // 2 * 2].reshape(-1, 2, players).mean(dim=1)
            pairs = pairs * game.areas.sqrt()  # so that its norm is that of the map
            error = relative_error(pairs.sum(dim=0), pairs.square().sum(dim=0), len(pairs))
            yield Estimate(gains.mean(dim=0), part.stop + 1, evaluations, error, change)

    def orders(self, players: int) -> torch.Tensor:
        """Random orders of joining, each followed by its reverse, ``(2 samples, players)``."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.stack([torch.randperm(players, generator=generator) for _ in range(self.samples)])
        return torch.stack([drawn, drawn.flip(1)], dim=1).flatten(0, 1)


def _first_players(orders: torch.Tensor, joined: torch.Tensor) -> torch.Tensor:
    """Coalitions of the first players of each order, ``(B, players)``.

    Args:
        orders: one per coalition, ``(B, players)``.
        joined: how many of its players are present, ``(B,)``.
    """
    ranks = orders.argsort(dim=1)  # the place of each player in its order
    return ranks < joined[:, None]


def _gains(orders: torch.Tensor, scores: torch.Tensor, evaluations: int) -> torch.Tensor:
    """What each player gained by joining, ``(orders so far, players)``.

    In an order that is not finished, those who have not joined share the rest of the change equally.

    Args:
        orders: ``(orders, players)``.
        scores: after each player of each order has joined, ``(orders, players + 1)``.
        evaluations: how many of the scores between the first and the last column are known, row by row.
    """
    players = orders.shape[1]
    finished, joined = divmod(evaluations, players - 1)
    gains = scores[:finished].diff(dim=1)  # (finished, players), in the order of joining
    if joined:
        known = scores[finished, : joined + 1]
        rest = (scores[finished, -1] - known[-1]) / (players - joined)
        unfinished = torch.cat([known.diff(), rest.expand(players - joined)])
        gains = torch.cat([gains, unfinished[None]])
    return torch.zeros_like(gains).scatter(1, orders[: len(gains)], gains)


class Fit(NamedTuple):
    """A weighted least squares fit of coalitions' scores.

    Args:
        coefficients: of each player, then of the intercept, ``(players + 1,)``.
        response: by how much they change with the weighted sums of ``x y``, ``(players + 1, players + 1)``.
    """

    coefficients: torch.Tensor
    response: torch.Tensor


@dataclass(frozen=True)
class _Regression(_Coalitions):
    """Weighted least squares of the score on which players are present, by the normal equations."""

    error_kind: ClassVar[ErrorKind | None] = ErrorKind.STANDARD_ERROR
    sums_up: ClassVar[bool] = True
    given: ClassVar[int] = 0  # coalitions at the start that are the same for every seed
    drawn_together: ClassVar[int] = 1  # coalitions in a row that are one random draw

    samples: int = field(default=256, metadata=limits(4, 20000, help="coalitions that are tried"))

    def shares(self, game: Game) -> Iterator[Estimate]:
        empty, full = game.ends()
        change = full - empty
        coalitions, weights = self.coalitions(game.players, torch.Generator().manual_seed(self.seed))
        rows = F.pad(coalitions.double(), (0, 1), value=1.0)  # (n, players + 1), the last of the intercept
        gains = torch.zeros(len(rows), dtype=torch.float64)
        # the normal equations: weighted sums of x x^T and of x y
        left = torch.zeros(game.players + 1, game.players + 1, dtype=torch.float64)
        right = torch.zeros(game.players + 1, dtype=torch.float64)
        for part in game.question.batches(len(coalitions)):
            new, known = slice(part.start, part.stop), slice(part.stop)
            gains[new] = game.play(coalitions[new]) - empty  # (B,)
            weighted = weights[new, None] * rows[new]
            left += weighted.T @ rows[new]
            right += weighted.T @ gains[new]
            fit = self.fit(left, right, part.stop, change)
            if part.stop == len(coalitions) == 2**game.players - 2:
                error: float | None = 0.0  # all coalitions there are
            else:
                error = self._error(fit, rows[known], weights[known], gains[known], game.areas)
            yield Estimate(fit.coefficients[:-1], part.stop, len(coalitions), error, change if self.sums_up else None)

    def _error(
        self, fit: Fit, rows: torch.Tensor, weights: torch.Tensor, gains: torch.Tensor, areas: torch.Tensor
    ) -> float | None:
        """The standard error of the map, relative to it; ``None`` with too few coalitions to tell.

        The delta method: each draw moves the coefficients by the response to its residual (White 1980,
        doi:10.2307/1912934). A residual is divided by ``(1 - leverage)^(1/2)``, because a fit comes closer to what it
        is made of than to other coalitions (MacKinnon and White 1985, doi:10.1016/0304-4076(85)90158-7, HC2).
        """
        draws = torch.arange(len(rows)) // self.drawn_together
        count = int(draws[-1]) + 1
        if count <= 1 + rows.shape[1]:
            return None
        weighted = weights[:, None] * rows
        moved = weighted @ fit.response  # (n, players + 1)
        leverage = torch.zeros(count, dtype=rows.dtype).index_add_(0, draws, (moved * rows).sum(dim=1))
        residuals = (gains - rows @ fit.coefficients)[:, None]
        steps = torch.zeros(count, rows.shape[1], dtype=rows.dtype).index_add_(0, draws, residuals * moved)
        steps, leverage = steps[self.given :, :-1], leverage[self.given :]
        squares = (steps - steps.mean(dim=0)).square() / (1 - leverage).clamp(min=1 / count)[:, None]
        variance = squares.sum(dim=0)  # (players,)
        size = float((areas * fit.coefficients[:-1].square()).sum())
        return math.sqrt(float((areas * variance).sum()) / size) if size else None

    @abstractmethod
    def coalitions(self, players: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Coalitions, ``(n, players)`` of bool, and the weight of each in the regression, ``(n,)``."""

    @abstractmethod
    def fit(self, left: torch.Tensor, right: torch.Tensor, count: int, change: float) -> Fit:
        """The coefficients from the normal equations of the regression.

        Args:
            left, right: weighted sums of ``x x^T`` and ``x y``. x: a coalition's players as 0 or 1, then a 1 for the
                intercept; y: the coalition's score minus the empty coalition's score.
            count: of how many coalitions.
            change: the full coalition's score minus the empty coalition's score.
        """


@dataclass(frozen=True)
class KernelSHAP(_Regression):
    """Shapley values of the parts, by a weighted regression on random coalitions.

    Lundberg and Lee 2017, arXiv:1705.07874, theorem 2; coalitions are drawn in complementary pairs, their sizes by the
    Shapley kernel, and the shares are made to sum up exactly, as in Covert and Lee 2021, arXiv:2012.01536, eq. 7. With
    no more coalitions than ``samples`` all are taken, and the values are exact. ``error`` is the standard error,
    relative to the map. Shape and unit as ``FeatureAblation``.
    """

    drawn_together: ClassVar[int] = 2
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
            weights = torch.tensor(each, dtype=torch.float64)
            return _with_complements(half), weights.repeat_interleave(2)
        count = self.samples // 2
        drawn = torch.multinomial(kernel, count, replacement=True, generator=generator) + 1
        ranks = torch.rand(count, players, generator=generator).argsort(dim=1).argsort(dim=1)
        return _with_complements(ranks < drawn[:, None]), torch.ones(2 * count, dtype=torch.float64)

    def fit(self, left: torch.Tensor, right: torch.Tensor, count: int, change: float) -> Fit:
        del count
        inverse = torch.linalg.pinv(left[:-1, :-1], rtol=1e-10, hermitian=True)  # (players, players)
        ones = inverse.sum(dim=1)
        size = float(ones.sum())
        towards = ones / size if size else torch.zeros_like(ones)  # how a sum that is missing is made up for
        response = inverse - towards[:, None] * ones  # leaves the sum as it is
        return Fit(F.pad(response @ right[:-1] + towards * change, (0, 1)), F.pad(response, (0, 1, 0, 1)))


@dataclass(frozen=True)
class LIME(_Regression):
    """The coefficients of a linear model that imitates the score near the input.

    Ribeiro et al. 2016, arXiv:1602.04938, eq. 1, as the authors' package does it for images: coalitions with each part
    there by a toss of a coin, weighted by ``exp(-d^2 / width^2)^(1/2)`` with the cosine distance ``d`` from the whole
    input, ridge regression with penalty 1 per 1000 coalitions, their default, so that the solution does not depend on
    their number. Deviations: a baseline instead of the part's mean colour; the target's
    score instead of a probability; no selection of features; rectangles unless ``shape="superpixels"``. ``error`` is
    the standard error, relative to the map. Shape and unit as ``FeatureAblation``.
    """

    title: ClassVar[str] = "LIME"
    summary: ClassVar[str] = "a linear model of the score on which parts are there"
    sums_up: ClassVar[bool] = False
    given: ClassVar[int] = 1  # the whole input

    width: float = field(default=0.25, metadata=limits(0.01, 10.0, help="of the kernel: how near samples must be"))

    def coalitions(self, players: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = torch.rand(self.samples, players, generator=generator) < 0.5
        drawn[0] = True
        distance = 1 - drawn.double().mean(dim=1).sqrt()  # (samples,), the cosine distance from the full coalition
        return drawn, (-(distance**2) / self.width**2).exp().sqrt()

    def fit(self, left: torch.Tensor, right: torch.Tensor, count: int, change: float) -> Fit:
        del change
        penalty = torch.full_like(right, count / PENALISED)
        penalty[-1] = 0  # of the intercept
        response = torch.linalg.inv(left + penalty.diag())
        return Fit(response @ right, response)


def _with_complements(coalitions: torch.Tensor) -> torch.Tensor:
    return torch.stack([coalitions, ~coalitions], dim=1).flatten(0, 1)
