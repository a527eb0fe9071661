"""``Game``: parts of the input as players, and the score of those that are there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch

from interp_widgets.explainers.base import Explainer, limits
from interp_widgets.explainers.baselines import BASELINE_LIMITS, Baseline
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.joint import Joint
from interp_widgets.explainers.question import Question, precise
from interp_widgets.explainers.segments import SEGMENT_LIMITS, SHAPE_LIMITS, segments

__all__ = ["Coalitions", "Game"]


@dataclass(frozen=True)
class Game:
    """A cooperative game: the parts of one example are the players, and a coalition's value is the score with it alone.

    Args:
        joint: the inputs whose parts play together.
        covers: of each, what stands in the place of a part that is absent.
        parts: of each, the number of each position's part, broadcastable to its value; no number stands for two parts.
    """

    joint: Joint
    covers: Mapping[str, torch.Tensor]
    parts: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, question: Question, baseline: Baseline, seed: int, *, count: int, shape: str) -> Game:
        """The game whose players are the parts of all inputs that are moved together; see ``segments``."""
        joint = Joint.of(question, baseline)
        covers = joint.split(joint.baselines(baseline, [seed]))
        parts: dict[str, torch.Tensor] = {}
        players = 0
        for site, value in joint.values.items():
            parts[site] = players + segments(value, count, shape)
            players = int(parts[site].max()) + 1
        return cls(joint, {site: cover[0] for site, cover in covers.items()}, parts)

    @cached_property
    def players(self) -> int:
        """How many parts there are."""
        return 1 + max(int(parts.max()) for parts in self.parts.values())

    def batches(self, count: int) -> Iterator[range]:
        """``range(count)`` in parts that fit into memory."""
        return self.joint.question.batches(count)

    def play(self, coalitions: torch.Tensor) -> torch.Tensor:
        """The score of each coalition, ``(B,)`` in double precision on the CPU.

        Args:
            coalitions: whether each player is present, ``(B, players)`` of bool.
        """
        inputs = {}
        for site, value in self.joint.values.items():
            present = coalitions.to(value.device)[:, self.parts[site]]  # (B, *shape of parts)
            inputs[site] = torch.where(present, value, self.covers[site])  # (B, *shape)
        asked = self.joint.question
        scores = asked.trace.probe_all(inputs, asked.target, example=asked.example).scores
        return precise(scores).cpu().double()

    def ends(self) -> tuple[float, float]:
        """The scores of the empty and of the full coalition."""
        empty, full = self.play(torch.tensor([[False], [True]]).expand(2, self.players)).tolist()
        return empty, full

    @cached_property
    def areas(self) -> torch.Tensor:
        """How many positions each player has, ``(players,)`` in double precision on the CPU."""
        positions = torch.cat([parts.flatten() for parts in self.parts.values()])
        return torch.bincount(positions, minlength=self.players).cpu().double()

    def drawn(self, estimate: Estimate) -> Estimate:
        """An estimate of the players' shares ``(players,)`` as maps: each position has the share of its part."""
        maps = {}
        for site, value in self.joint.values.items():
            relevance: torch.Tensor = estimate.values.to(value)[self.parts[site]]
            if value.ndim < 3:
                maps[site] = relevance.expand(value.shape).clone()
            else:
                maps[site] = relevance.reshape(relevance.shape[-2:])
        question = self.joint.question
        own = maps[question.trace.site(question.layer).name]
        return estimate._replace(values=own, parts={} if self.joint.is_single else maps)


@dataclass(frozen=True)
class Coalitions(Explainer):
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
        game = Game.of(question, self.baseline, self.seed, count=self.segments, shape=self.shape)
        for estimate in self.shares(game):
            yield game.drawn(estimate)

    @abstractmethod
    def shares(self, game: Game) -> Iterator[Estimate]:
        """The share of each player, ``(players,)``."""
