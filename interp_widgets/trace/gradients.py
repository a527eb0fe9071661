"""``Gradients``: scores, and their derivatives at any site, from the graph that the recorded pass left."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from interp_widgets.errors import GradientError, NonFiniteError, TargetError
from interp_widgets.trace.interrupt import Undisturbed
from interp_widgets.trace.outputs import Outputs
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.target import Target, Values
from interp_widgets.trace.values import Edge, Site
from interp_widgets.words import say

__all__ = ["Gradients"]

SEEDS_KEPT = 256

Seed = tuple[torch.Tensor, list[tuple[Edge, torch.Tensor]]]
"""A score ``()``, and its gradient at the edge of each recorded value that it is a function of."""


class Gradients:
    """Answers each question by one backward pass, and remembers it while the budget lasts.

    Args:
        memory_limit: bytes of gradients that are kept; those used longest ago go first.

    Attributes:
        backward_passes: how many were taken.
    """

    def __init__(self, tape: Tape, outputs: Outputs, memory_limit: int) -> None:
        self.memory_limit = memory_limit
        self.backward_passes = 0
        self._tape = tape
        self._outputs = outputs
        self._lock = threading.RLock()  # of the caches
        self._passing = threading.RLock()  # of the autograd graph
        # The gradients come with their version counters, so that one that was written into is noticed.
        self._kept: OrderedDict[tuple[Target, int], tuple[torch.Tensor, int]] = OrderedDict()
        self._bytes = 0
        self._seeds: OrderedDict[Target, Seed] = OrderedDict()

    # Scores

    def seed(self, target: Target) -> Seed:
        """The score of a target and its gradient at the recorded values that it is a function of.

        Raises:
            NonFiniteError: the score is NaN or infinite.
        """
        self._tape.check_open()
        with self._lock:
            if target not in self._seeds:
                self._seeds[target] = self._new_seed(target)
                while len(self._seeds) > SEEDS_KEPT:
                    self._seeds.popitem(last=False)
            return self._seeds[target]

    def _new_seed(self, target: Target) -> Seed:
        leaves: dict[str, torch.Tensor] = {}

        def leaf(name: str) -> torch.Tensor:
            if name not in leaves:
                value = self._tape.value(self._tape.site(name).index, name).detach()
                leaves[name] = value.requires_grad_(value.is_floating_point() or value.is_complex())
            return leaves[name]

        with torch.inference_mode(mode=False), torch.enable_grad():
            score = target.score(Values(self._outputs, leaf))
            self._check_score(score, target)
            used = {name: tensor for name, tensor in leaves.items() if tensor.requires_grad}
            gradients: tuple[torch.Tensor | None, ...] = ()
            if used and score.requires_grad:
                gradients = torch.autograd.grad(score, list(used.values()), allow_unused=True)
        seeds = []
        for name, gradient in zip(used, gradients, strict=False):
            edge = self._tape.values[self._tape.site(name).index].edge
            if gradient is not None and edge is not None:
                seeds.append((edge, gradient))
        return score.detach(), seeds

    def _check_score(self, score: torch.Tensor, target: Target) -> None:
        if score.is_complex():
            raise TargetError(
                say(
                    "the score of {target} is complex; a target must be real: explain its absolute value", target=target
                )
            )
        if not math.isfinite(score.item()):
            raise NonFiniteError(
                say(
                    "the score of {target} is {score}{origin}",
                    target=target,
                    score=score.item(),
                    origin=self._tape.nonfinite_origin(),
                )
            )

    # Gradients

    def at(self, sites: list[Site], target: Target) -> list[torch.Tensor]:
        """The gradients of a target's score at some sites; of those that are not known, by one backward pass."""
        self.seed(target)
        known = self._known(target, sites)
        if len(known) < len({site.index for site in sites}):
            with self._passing:  # one backward pass at a time; a look-up from another thread does not wait for it
                known |= self._known(target, sites)
                missing = {site.index: site for site in sites if site.index not in known}
                if missing:
                    found = self.backward(target, list(missing.values()))
                    known |= found
                    self._keep(target, found)
        return [known[site.index] for site in sites]

    def has(self, site: Site, target: Target) -> bool:
        """Whether that gradient is kept."""
        return (target, site.index) in self._kept

    def _known(self, target: Target, sites: list[Site]) -> dict[int, torch.Tensor]:
        """The kept gradients among those asked for, unless somebody wrote into them; they count as used."""
        with self._lock:
            known = {}
            for key in {(target, site.index) for site in sites} & self._kept.keys():
                gradient, version = self._kept[key]
                if gradient._version == version:
                    self._kept.move_to_end(key)
                    known[key[1]] = gradient
            return known

    def backward(self, target: Target, sites: list[Site]) -> dict[int, torch.Tensor]:
        """The gradients at some sites by the index of their values, from a backward pass of their own.

        Raises:
            StaleError: the model has changed since the recording.
            GradientError: no gradient exists there.
        """
        first = min(site.index for site in sites)
        self._tape.check_fresh(say("a gradient"), read=self._tape.parameters_behind(first))
        edges = [self._edge(site) for site in sites]
        seeds = self._starts(target)
        nodes = list(OrderedDict.fromkeys(edge.node for edge in edges))
        try:
            with torch.inference_mode(mode=False), torch.enable_grad():
                found = torch.autograd.grad(
                    [edge.node for edge, _ in seeds],
                    nodes,
                    grad_outputs=[gradient for _, gradient in seeds],
                    retain_graph=True,
                    allow_unused=True,
                )
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._tape.check_fresh(say("a gradient"))  # a training step while it was computed
            raise GradientError(
                say(
                    "autograd cannot go back from the score of {target} through this {kind}: {error}",
                    target=target,
                    kind=type(self._tape.model).__name__,
                    error=error,
                )
            ) from error
        self.backward_passes += 1
        by_node = dict(zip(nodes, found, strict=True))
        gradients = {}
        for site, edge in zip(sites, edges, strict=True):
            if by_node[edge.node] is None:  # autograd knows no way: the score does not depend on it, or it cannot tell
                self.check_followed(site, target)
            gradients[site.index] = self._shaped(site, edge, by_node[edge.node])
        return gradients

    def _starts(self, target: Target) -> list[tuple[Edge, torch.Tensor]]:
        """Where backward passes of a target begin, at least one edge and the gradient there."""
        seeds = self.seed(target)[1]
        if not seeds:
            raise GradientError(
                say(
                    "the score of {target} has no gradient: the model's output was computed without autograd "
                    "(torch.no_grad(), detach(), quantised or whole numbers inside its forward); "
                    "a method that needs no gradient, such as Score-CAM or Occlusion, can explain it",
                    target=target,
                )
            )
        return seeds

    def check_followed(self, site: Site, target: Target) -> None:
        """Refuse a zero at a site that only means that the model's forward switched autograd off on the way.

        Raises:
            GradientError: autograd was off at the site, between it and the score, or at the score.
        """
        self._edge(site)
        edges = {id(edge) for edge, _ in self._starts(target)}
        ends = [index for index, value in enumerate(self._tape.values) if id(value.edge) in edges]
        cut = self._tape.cut_between(site.index, ends)
        if cut is not None:
            raise GradientError(
                say(
                    "no gradient at {site!r}: the score of {target} depends on it by way of {cut!r}, "
                    "which was computed under torch.no_grad() inside the model's forward",
                    site=site.name,
                    target=target,
                    cut=cut,
                )
            )

    @contextmanager
    def hooked(self, target: Target, nodes: Callable[[list[Any]], Iterator[Any]], hook: Any) -> Iterator[None]:
        """Backward passes of this thread with a hook at some nodes of the graph; those of others wait.

        Args:
            nodes: chooses from the graph, given the nodes at which a backward pass of the target begins.
        """
        starts = [edge.node.node for edge, _ in self.seed(target)[1]]
        with self._passing, Undisturbed() as gate:
            handles: list[Any] = []
            try:
                handles += [node.register_hook(hook) for node in nodes(starts)]
                gate.open()
                yield
            finally:
                gate.shut()
                for handle in handles:
                    handle.remove()

    def _shaped(self, site: Site, edge: Edge, found: torch.Tensor | None) -> torch.Tensor:
        if found is None:
            return torch.zeros_like(self._tape.value(site.index, site.name))
        return edge.gradient(found.detach())

    def _edge(self, site: Site) -> Edge:
        value = self._tape.values[site.index]
        if value.edge is not None:
            return value.edge
        if not (value.dtype.is_floating_point or value.dtype.is_complex):
            raise GradientError(
                say(
                    "no gradient at {site!r}: its values are {kind}; only floating-point values have a gradient",
                    site=site.name,
                    kind=str(value.dtype).removeprefix("torch."),
                )
            )
        if value.no_grad:
            raise GradientError(
                say(
                    "no gradient at {site!r}: it was computed under torch.no_grad() inside the model's forward; "
                    "a method that needs none, such as Score-CAM or Occlusion, can explain this model",
                    site=site.name,
                )
            )
        raise GradientError(
            say(
                "no gradient at {site!r}: autograd does not follow it back to the input "
                "(a constant, or behind detach())",
                site=site.name,
            )
        )

    # The budget

    def _keep(self, target: Target, found: Mapping[int, torch.Tensor]) -> None:
        with self._lock:
            for index, gradient in found.items():
                key = target, index
                if key in self._kept:  # somebody wrote into it
                    self._bytes -= self._kept[key][0].nbytes
                self._kept[key] = gradient, gradient._version
                self._bytes += gradient.nbytes
            while self._bytes > self.memory_limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1][0].nbytes

    @property
    def kept(self) -> list[torch.Tensor]:
        """The gradients that are remembered."""
        with self._lock:
            return [gradient for gradient, _ in self._kept.values()]

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0
            self._seeds.clear()
