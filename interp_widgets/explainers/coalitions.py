"""Take parts of the input away, one alone or one after the other, and share the score's change among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from interp_widgets.explainers.base import limits
from interp_widgets.explainers.baselines import NOISE_SEED_LIMITS
from interp_widgets.explainers.estimate import ErrorKind, Estimate, relative_error, spread
from interp_widgets.explainers.game import Coalitions, Game

__all__ = ["FeatureAblation", "ShapleySampling"]


@dataclass(frozen=True)
class FeatureAblation(Coalitions):
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
        for part in game.batches(players):
            removed = order[part.start : part.stop]
            losses[removed] = full - game.play(all_but_one[removed])
            yield Estimate(losses.clone(), part.stop, players)


@dataclass(frozen=True)
class ShapleySampling(Coalitions):
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
        for part in game.batches(len(orders) * joining):
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
