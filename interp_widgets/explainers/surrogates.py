"""Imitate the score by a linear model of which parts of the input are there."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F

from interp_widgets.explainers.base import limits
from interp_widgets.explainers.estimate import ErrorKind, Estimate
from interp_widgets.explainers.game import Coalitions, Game

__all__ = ["LIME", "KernelSHAP"]

PENALISED = 1000  # coalitions that the authors' package of LIME takes for an image, with a penalty of 1 for all


class Fit(NamedTuple):
    """A weighted least squares fit of coalitions' scores.

    Args:
        coefficients: of each player, then of the intercept, ``(players + 1,)``.
        response: by how much they change with the weighted sums of ``x y``, ``(players + 1, players + 1)``.
    """

    coefficients: torch.Tensor
    response: torch.Tensor


@dataclass(frozen=True)
class _Regression(Coalitions):
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
        for part in game.batches(len(coalitions)):
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
