"""Multipliers: how much of the score's change each number's change carries, from a reference to the recorded input.

Two recordings of one model, of the input and of the reference, hold the same operations. The walk goes back over
them from the score: each operation turns the multipliers of its outputs into those of its inputs so that the sum of
multiplier times difference stays the same. That is the chain rule of DeepLift (Shrikumar et al. 2017,
arXiv:1704.02685, eq. 3) with these multipliers for the single operation:

- one number at a time: the slope between the two ends (the rescale rule of their section 3.5.2);
- normalisation, softmax, attention, division, max pooling: their secants (``secant.py``);
- anything else: the derivative averaged along the straight line between the ends, first by its midpoint, which is
  exact for whatever is linear in its inputs or a product of two of them, then by Gauss-Legendre nodes until it sums up.

What does not sum up is counted, with the name of the place, so that the caller can refuse in words.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from interp_widgets.errors import GradientError
from interp_widgets.propagation.replay import Points, Replay, check_same_tape
from interp_widgets.propagation.secant import ELEMENTWISE, RULES, Change, slope
from interp_widgets.trace.autocast import Autocast
from interp_widgets.trace.interrupt import Interrupted, interruption
from interp_widgets.trace.target import Target, Values
from interp_widgets.trace.targets import TargetLike, as_target
from interp_widgets.trace.trace import Trace
from interp_widgets.trace.values import Operation, Ref, map_structure
from interp_widgets.words import say

__all__ = ["Multipliers", "multipliers"]

NODES = (1, 8, 16, 32, 64, 128)
LOCAL_GAP = 1e-4  # of the score's change, what one operation may lose before it gets more nodes

Found = dict[int, torch.Tensor]  # multipliers by the index of their value


@dataclass
class Multipliers:
    """What a walk found.

    Args:
        score, change: the score of the input, and by how much it exceeds that of the reference.
        at: the multipliers of each layer asked for, in the layer's shape.
        steps: the difference of the two recordings there.
        leak: the part of the change that was lost on the way back.
        worst: the name of the site whose operation lost most of it.
    """

    score: float = 0.0
    change: float = 0.0
    at: dict[str, torch.Tensor] = field(default_factory=dict)
    steps: dict[str, torch.Tensor] = field(default_factory=dict)
    leak: float = 0.0
    worst: str = ""

    @property
    def gap(self) -> float | None:
        """The share of the change that was lost, ``None`` when there is no change."""
        return abs(self.leak / self.change) if self.change else None


def multipliers(trace: Trace, reference: Trace, layers: Sequence[str], target: TargetLike = None) -> Multipliers:
    """The multipliers of the target's score at some layers, from one walk.

    Multiplier times difference adds up to the change of the score, less ``leak``, where no way from the input to the
    score goes round the layer.

    Args:
        reference: the same model recorded on the reference; see ``Trace.rerun``.
        layers: layers, sites or inputs.

    Raises:
        LayerError, TargetError: no such layer or target.
        GradientError: the model does other operations for the reference, or one that cannot be done again.
    """
    goal = as_target(target, trace)
    wanted = {layer: trace.site(layer).index for layer in layers}
    check_same_tape(trace, reference)
    with torch.inference_mode(mode=False), torch.enable_grad(), Autocast().on():
        walk = _Walk(trace, reference, set(wanted.values()))
        walk.seed(goal)
        walk.back()
    for layer, index in wanted.items():
        step = walk.step(index)
        walk.result.steps[layer] = step
        walk.result.at[layer] = walk.found.get(index, torch.zeros_like(step))
    return walk.result


class _Walk:
    def __init__(self, trace: Trace, reference: Trace, wanted: set[int]) -> None:
        self._trace = trace
        self._tape, self._values = trace.tape, trace.tape.values
        self._end, self._start = Replay(trace), Replay(reference)
        self._wanted = wanted
        self._steps: Found = {}
        self._names = trace.tape.names
        self._moving = self._moved()
        self._tolerance = self._worst = 0.0
        self.found: Found = {}
        self.result = Multipliers()

    def _moved(self) -> set[int]:
        """The values that may differ between the two passes."""
        made = {index for operation in self._tape.operations for _, index in self._tape.made_by(operation)}
        given = set(range(len(self._values))) - made
        moving = {index for index in given if not torch.equal(self._end[index], self._start[index])}
        for operation in self._tape.operations:
            if any(ref.index in moving for ref in operation.refs):
                moving |= {index for _, index in self._tape.made_by(operation)}
        return moving

    def _numbers(self, indices: set[int]) -> list[int]:
        """Those values that are numbers and differ between the two passes."""
        kinds = {index: self._values[index].dtype for index in indices & self._moving}
        numbers = [index for index, kind in kinds.items() if kind.is_floating_point or kind.is_complex]
        return sorted(index for index in numbers if bool(self.step(index).any()))

    def step(self, index: int) -> torch.Tensor:
        """The difference of a value between the two passes; 0 where both are the same infinity."""
        if index not in self._steps:
            step = _precise(self._end[index]) - _precise(self._start[index])
            self._steps[index] = step.nan_to_num(0.0, 0.0, 0.0)
        return self._steps[index]

    # The walk

    def seed(self, target: Target) -> None:
        """Multipliers of the values that the score is a function of."""
        read: set[int] = set()

        def score(side: Replay, points: Points) -> torch.Tensor:
            def value(name: str) -> torch.Tensor:
                index = self._trace.site(name).index
                read.add(index)
                return points[index] if index in points else side[index]

            return target.score(Values(self._trace, value))

        high, low = (float(score(side, {})) for side in (self._end, self._start))
        self.result.score, self.result.change = high, high - low
        inputs = self._numbers(read)
        precision = max((torch.finfo(self._values[index].dtype).eps for index in inputs), default=0.0)
        self._tolerance = LOCAL_GAP * max(abs(high - low), precision**0.5 * max(abs(high), abs(low)))
        one = torch.ones((), device=self._end[inputs[0]].device if inputs else None)
        found = self._averaged(lambda points: [score(self._end, points)], inputs, [one], high - low)
        self._pass_on(found, high - low, say("the target"))

    def back(self) -> None:
        """From the last operation to the one that made the first of the layers asked for."""
        unwanted = interruption()
        makers = {
            index: place
            for place, operation in enumerate(self._tape.operations)
            for _, index in self._tape.made_by(operation)
        }
        first = min((makers.get(index, -1) for index in self._wanted), default=-1)
        for operation in reversed(self._tape.operations[first + 1 :]):
            if unwanted is not None and unwanted():
                raise Interrupted
            made = self._tape.made_by(operation)
            arrived = {position: self.found[index] for position, index in made if index in self.found}
            if any(bool(multiplier.any()) for multiplier in arrived.values()):
                self._through(operation, arrived)
            for _, index in made:
                if index not in self._wanted:
                    self.found.pop(index, None)
                    self._steps.pop(index, None)
                self._end.forget(index)
                self._start.forget(index)
        for index in self._numbers({index for index in self.found if self._values[index].operation is None}):
            self._lose(_dot(self.found[index], self.step(index)), self._name(index, say("what no torch call made")))

    def _name(self, index: int, otherwise: str) -> str:
        return repr(self._names[index]) if index in self._names else otherwise

    def _through(self, operation: Operation, arrived: Found) -> None:
        """From the multipliers of an operation's outputs, by position, to those of its inputs."""
        inputs = self._numbers({ref.index for ref in operation.refs})
        outputs = {position: operation.outputs[position] for position in arrived}
        name = self._name(next(iter(outputs.values())), operation.name)
        whole = sum(_dot(multiplier, self.step(outputs[position])) for position, multiplier in arrived.items())
        try:
            found = self._split(operation, inputs, arrived, whole)
        except (RuntimeError, IndexError) as error:
            raise GradientError(
                say(
                    "{operation} at {name} cannot be done again: {error}",
                    operation=operation.name,
                    name=name,
                    error=error,
                )
            ) from error
        self._pass_on(found, whole, name)

    def _split(self, operation: Operation, inputs: list[int], arrived: Found, whole: float) -> Found:
        name, known = operation.name.strip("_"), None
        if operation.name == "alias":
            sources = self._numbers(set(self._end.alias_sources(operation)))
            return self._averaged(
                lambda points: self._end.run_alias(operation, points), sources, [*arrived.values()], whole
            )
        if set(arrived) == {0}:
            if name in ELEMENTWISE and len(inputs) == 1:
                known = self._rescaled(operation, inputs[0], arrived[0])
            elif name in RULES and inputs:
                known = self._by_rule(operation, RULES[name], inputs, arrived[0])
        if known is not None:
            return known
        outputs = [arrived.get(position) for position in range(len(operation.outputs))]
        return self._averaged(lambda points: self._end.run(operation, points), inputs, outputs, whole)

    def _pass_on(self, found: Found, whole: float, name: str) -> None:
        for index, multiplier in found.items():
            self.found[index] = self.found[index] + multiplier if index in self.found else multiplier
        self._lose(whole - sum(_dot(multiplier, self.step(index)) for index, multiplier in found.items()), name)

    def _lose(self, leak: float, name: str) -> None:
        self.result.leak += leak
        if abs(leak) > self._worst:
            self._worst, self.result.worst = abs(leak), name

    # One operation

    def _rescaled(self, operation: Operation, index: int, arrived: torch.Tensor) -> Found | None:
        """The slope between the two ends, number by number; the derivative where the ends meet."""
        out = operation.outputs[0]
        if self._values[out].shape != self._values[index].shape or self._values[index].dtype.is_complex:
            return None
        start, end = _precise(self._start[index]), _precise(self._end[index])
        found = slope(start, end, _precise(self._start[out]), _precise(self._end[out]))
        unclear = found.isnan()
        if bool(unclear.any()):
            point = ((start + end) / 2).to(self._values[index].dtype).detach().requires_grad_()
            (result,) = self._end.run(operation, {index: point})
            (derivative,) = torch.autograd.grad(result, point, torch.ones_like(result))
            found = torch.where(unclear, _precise(derivative), found)
        return {index: arrived * found}

    def _by_rule(
        self, operation: Operation, rule: Callable[..., torch.Tensor | None], inputs: list[int], arrived: torch.Tensor
    ) -> Found | None:
        """By the secant of the operation; ``None`` where its rule does not know these arguments."""
        steps = {index: self.step(index).clone().requires_grad_() for index in inputs}

        def change(ref: Ref) -> Change | torch.Tensor:
            end = _precise(self._end[ref.index])
            return Change(_precise(self._start[ref.index]), end, steps[ref.index]) if ref.index in steps else end

        arguments = map_structure(lambda tensor: _precise(tensor.detach()), (operation.args, operation.kwargs))
        args, kwargs = map_structure(change, arguments, Ref)
        try:
            inspect.signature(rule).bind(*args, **kwargs)
        except TypeError:
            return None  # they go by other names
        result = rule(*args, **kwargs)
        return None if result is None else _gradients([result], steps, [arrived])

    def _averaged(
        self,
        run: Callable[[Points], list[torch.Tensor]],
        inputs: list[int],
        arrived: Sequence[torch.Tensor | None],
        whole: float,
    ) -> Found:
        """The vector-Jacobian product averaged along the line between the ends, by as many nodes as it takes."""
        best: Found = {}
        least = before = abs(whole)
        for count in NODES if inputs else ():
            found: Found = {}
            for place, weight in _gauss_legendre(count):
                points = {index: self._between(index, place) for index in inputs}
                for index, gradient in _gradients(run(points), points, arrived).items():
                    found[index] = found[index] + weight * gradient if index in found else weight * gradient
            products = [found[index] * self.step(index) for index in found]
            leak = abs(whole - sum(_dot(found[index], self.step(index)) for index in found))
            if leak < least or not best:
                best, least = found, leak
            rounding = torch.finfo(self._values[inputs[0]].dtype).eps * sum(
                float(each.abs().sum()) for each in products
            )
            # more nodes do not help where the gradient does not depend on the place
            if leak <= max(self._tolerance, rounding) or abs(leak - before) <= 1e-3 * leak:
                break
            before = leak
        return best

    def _between(self, index: int, place: float) -> torch.Tensor:
        point = _precise(self._start[index]) + place * self.step(index)
        return point.to(self._values[index].dtype).detach().requires_grad_()


def _gradients(results: Sequence[torch.Tensor], points: Points, arrived: Sequence[torch.Tensor | None]) -> Found:
    """The gradients at some points, given those of the results."""
    followed = [
        (result, multiplier.to(result))
        for result, multiplier in zip(results, arrived, strict=True)
        if multiplier is not None and result.requires_grad
    ]
    if not followed:
        return {}
    outputs, given = zip(*followed, strict=True)
    gradients = torch.autograd.grad(outputs, list(points.values()), given, allow_unused=True)
    pairs: list[tuple[int, torch.Tensor | None]] = list(zip(points, gradients, strict=True))
    return {index: _precise(gradient) for index, gradient in pairs if gradient is not None}


def _gauss_legendre(count: int) -> Iterator[tuple[float, float]]:
    """Places in 0..1 and their weights, which sum to 1."""
    places, weights = np.polynomial.legendre.leggauss(count)
    yield from zip(((places + 1) / 2).tolist(), (weights / 2).tolist(), strict=True)


def _dot(multiplier: torch.Tensor, step: torch.Tensor) -> float:
    product = (multiplier.conj() * step).real if multiplier.is_complex() else multiplier * step
    return float(product.sum(dtype=torch.float64))


def _precise(tensor: torch.Tensor) -> torch.Tensor:
    """In single precision at least."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
