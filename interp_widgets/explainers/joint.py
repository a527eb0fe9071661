"""``Joint``: the inputs that a method moves together, as one value.

A path from a baseline, or a coalition of features, belongs to the whole input of a model. Where that is several
tensors, they are laid one after the other into a long vector, so that a method reads like its formula; a single one
keeps its shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from interp_widgets.explainers.baselines import Baseline, Given
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question, precise
from interp_widgets.trace.passes import Probe

__all__ = ["Joint", "sites_together"]

SEEDS_APART = 0x9E3779B1  # far from any small number of samples, also several times
SEEDS = 2**32  # torch's generator of the CPU takes no more bits of a seed


@dataclass(frozen=True)
class Joint:
    """The values of one example that are explained together, and what a method asks of them.

    Args:
        question: what is asked, at an input or layer.
        sites: names of what is moved, with the one asked for among them.
    """

    question: Question
    sites: tuple[str, ...]

    @classmethod
    def of(cls, question: Question, baseline: Baseline) -> Joint:
        """What moves with the layer of a question, from a baseline."""
        return cls(question, sites_together(question, baseline))

    @property
    def is_single(self) -> bool:
        """Whether there is but one, so that nothing is laid in a row."""
        return len(self.sites) == 1

    @property
    def value(self) -> torch.Tensor:
        """What was recorded, in the shape of a single one, or ``(numbers,)``."""
        if self.is_single:
            return self.question.value
        return torch.cat([value.flatten() for value in self.values.values()])

    @property
    def values(self) -> dict[str, torch.Tensor]:
        """What was recorded at each site, ``(*shape)``."""
        return {site: self.question.at(site).value for site in self.sites}

    @property
    def gradient(self) -> torch.Tensor:
        """The derivative of the recorded score, in the shape of ``value``."""
        if self.is_single:
            return self.question.gradient
        return torch.cat([self.question.at(site).gradient.flatten() for site in self.sites])

    def baselines(self, baseline: Baseline, seeds: Sequence[int]) -> torch.Tensor:
        """The baseline of ``value`` for each seed, ``(B, *shape)``."""
        if self.is_single:
            return self.question.baselines(baseline, seeds)
        pieces = []
        for number, site in enumerate(self.sites):
            own = [
                (seed + number * SEEDS_APART) % SEEDS for seed in seeds
            ]  # noise of one input says nothing of another's
            pieces.append(self.question.at(site).baselines(baseline, own).flatten(1))
        return torch.cat(pieces, dim=1)

    def extent(self) -> torch.Tensor:
        """How far apart the least and the largest number of each site are, broadcastable to ``value``."""
        ranges = [value.max() - value.min() for value in self.values.values()]
        if self.is_single:
            return ranges[0]
        sizes = (value.numel() for value in self.values.values())
        return torch.cat([each.expand(size) for each, size in zip(ranges, sizes, strict=True)])

    def probe(self, values: torch.Tensor, *, gradient: bool = False) -> Probe:
        """The score for each of a batch of values, ``(B, *shape)``, and on demand its gradient, in their shape."""
        if self.is_single:
            return self.question.probe(values, gradient=gradient)
        asked = self.question
        found = asked.trace.probe_all(self.split(values), asked.target, example=asked.example, gradient=gradient)
        if not gradient:
            return Probe(precise(found.scores), found.scores.new_zeros(0))
        gradients = [precise(found.gradients[site]).flatten(1) for site in self.sites]
        return Probe(precise(found.scores), torch.cat([each.to(values.device) for each in gradients], dim=1))

    def joined(self, batches: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What was computed at each site in a pass of several values as one batch, ``(B, *shape)``."""
        trace = self.question.trace
        rows = [batches[site] if trace.has_rows(site) else batches[site][None] for site in self.sites]
        return rows[0] if self.is_single else torch.cat([each.flatten(1) for each in rows], dim=1)

    def split(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """A batch in the shape of ``value`` as batches of each site's own."""
        if self.is_single:
            return {self.sites[0]: batch}
        values = self.values
        pieces = torch.split(batch, [value.numel() for value in values.values()], dim=1)
        rows = zip(values.items(), pieces, strict=True)
        return {site: piece.reshape(len(batch), *value.shape).to(value.device) for (site, value), piece in rows}

    def maps(self, batch: torch.Tensor) -> torch.Tensor:
        """Relevance in the shape of ``value``, one below the other, as maps: of several sites laid in a row."""
        maps = [
            torch.stack([self.question.at(site).as_map(each) for each in relevance])
            for site, relevance in self.split(batch).items()
        ]
        return maps[0] if self.is_single else torch.cat([each.flatten(1) for each in maps], dim=1)

    def estimate(self, relevance: torch.Tensor, *given: Any) -> Estimate:
        """An estimate of relevance in the shape of ``value``.

        Args:
            given: ``done``, ``total``, ``error`` and ``change`` of the ``Estimate``.
        """
        return self.estimate_of(self.maps(relevance[None])[0], *given)

    def estimate_of(self, maps: torch.Tensor, *given: Any) -> Estimate:
        """As ``estimate``, from what ``maps`` made of the relevance."""
        if self.is_single:
            return Estimate(maps, *given)
        shapes = {site: self.question.at(site).as_map(value).shape for site, value in self.values.items()}
        pieces = torch.split(maps, [shape.numel() for shape in shapes.values()])
        parts = {site: piece.reshape(shape) for (site, shape), piece in zip(shapes.items(), pieces, strict=True)}
        return Estimate(parts[self.question.trace.site(self.question.layer).name], *given)._replace(parts=parts)


def sites_together(question: Question, baseline: Baseline) -> tuple[str, ...]:
    """Names of the sites that are moved together from a baseline.

    Of an input these are all inputs of floating type (that have a row per example, in a batch); token ids have no
    baseline and stay. A baseline given as a tensor is that of the input asked for: the others stay. Of a layer it is
    the layer alone.
    """
    trace = question.trace
    own = trace.site(question.layer).name
    if not question.is_input or isinstance(baseline, Given):
        return (own,)
    floating = (name for name in trace.input_sites if trace.sites[name].dtype.is_floating_point)
    together = tuple(name for name in floating if trace.has_rows(name) or not trace.is_batch)
    return together if own in together else (own,)
