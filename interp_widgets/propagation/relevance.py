"""Relevance: the score, handed back to what it was made of; a rule for each operation of the recording."""

from __future__ import annotations

from typing import Any

import torch

from interp_widgets.errors import GradientError
from interp_widgets.propagation.replay import VIEWS, Replay
from interp_widgets.propagation.secant import ELEMENTWISE
from interp_widgets.trace.autocast import Autocast
from interp_widgets.trace.interrupt import Interrupted, interruption
from interp_widgets.trace.target import Target, Values
from interp_widgets.trace.trace import Trace
from interp_widgets.trace.values import Operation, Ref, map_structure, refs_in
from interp_widgets.words import say

__all__ = ["Relevance"]

Found = dict[int, torch.Tensor]  # by the index of a value, or by the position of an output

# Where relevance goes with the values: reshaping, padding, joining.
MOVES = frozenset(name.strip("_") for name in VIEWS) | frozenset(
    """
    cat concat concatenate stack hstack vstack dstack roll flip pad constant_pad_nd clone contiguous to float double
    type_as repeat tile dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout identity pixel_shuffle
    pixel_unshuffle channel_shuffle max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d max amax where masked_fill alias gather index_select copy repeat_interleave
    """.split()  # noqa: SIM905 - a list of forty names reads better as words
)
# Sums of their inputs with fixed weights, apart from a constant.
SUMS = frozenset(
    """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear addmm batch_norm add radd iadd sub
    rsub isub mean sum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    interpolate upsample neg instance_norm lerp fold unfold
    """.split()  # noqa: SIM905 - as above
)
PRODUCTS = frozenset(("mul", "rmul", "imul", "multiply", "matmul", "rmatmul", "bmm", "mm", "baddbmm", "einsum"))
DIVISIONS = frozenset(("div", "truediv", "itruediv", "true_divide", "divide"))
NORMS = frozenset(("layer_norm", "group_norm", "rms_norm"))
GATES = frozenset(("softmax", "_softmax", "sigmoid", "hardsigmoid"))
WEIGHTED = frozenset(name for name in SUMS if name.startswith(("conv", "linear")))


class Relevance:
    """A walk back over the recording that hands the score to what it was made of; see ``explainers.lrp``.

    Args:
        epsilon: added to each sum, as a share of the root mean square of its operation's outputs.
        plus: follow only positive contributions at convolutions.
    """

    def __init__(self, trace: Trace, target: Target, *, epsilon: float, plus: bool) -> None:
        self._trace, self._target = trace, target
        self._epsilon, self._plus = epsilon, plus
        self._replay = Replay(trace)
        self._found: Found = {}
        self._names = trace.tape.names
        self._gates = self._gated()

    def at(self, layer: str) -> torch.Tensor:
        """The relevance of the value at a layer, in its shape; zero where the score does not depend on it.

        Raises:
            GradientError: an operation on the way that no rule is known for; autograd was off at the layer, or on every
                way from it to the score.
            StaleError: a parameter changed since the recording.
        """
        trace, site = self._trace, self._trace.site(layer)
        wanted = site.index
        trace.tape.check_fresh(say("relevance"), read=trace.tape.memory)
        unwanted = interruption()
        with torch.inference_mode(mode=False), torch.enable_grad(), Autocast().on():
            self._seed()
            for operation in reversed(trace.tape.operations):
                if unwanted is not None and unwanted():
                    raise Interrupted
                if wanted in operation.outputs and trace.tape.values[wanted].operation is operation:
                    break
                made = [(place, index) for place, index in trace.tape.made_by(operation) if index in self._found]
                if made:
                    self._through(operation, {place: self._found.pop(index) for place, index in made})
                for _, index in made:
                    self._replay.forget(index)
        if wanted not in self._found:
            trace.gradients_of.check_followed(site, self._target)
            return torch.zeros_like(self._replay[wanted])
        return self._found[wanted].detach()

    def _seed(self) -> None:
        """The relevance of the values that the score is a function of: value times derivative."""
        leaves: Found = {}

        def leaf(name: str) -> torch.Tensor:
            index = self._trace.site(name).index
            if index not in leaves:
                leaves[index] = self._replay[index].detach().clone().requires_grad_()
            return leaves[index]

        score = self._target.score(Values(self._trace, leaf))
        self._times_inputs(leaves, [score], {0: torch.ones_like(score)})

    def _gated(self) -> set[int]:
        """Values that weigh others, such as attention: they have no relevance of their own."""
        gates: set[int] = set()
        for operation in self._trace.tape.operations:
            name, refs = operation.name.strip("_"), operation.refs
            moved = name in MOVES and refs and all(ref.index in gates for ref in refs)
            if name in GATES or operation.name in GATES or moved:
                gates |= set(operation.outputs)
        return gates

    def _add(self, index: int, relevance: torch.Tensor) -> None:
        self._found[index] = self._found[index] + relevance if index in self._found else relevance

    def _through(self, operation: Operation, arrived: Found) -> None:
        name = operation.name.strip("_")
        values = self._trace.tape.values
        followed = [ref.index for ref in operation.refs if values[ref.index].edge is not None]
        inputs = list(dict.fromkeys(followed[:1] if name in WEIGHTED else followed))
        if not inputs:
            return  # a constant
        weighing = name in PRODUCTS and len(set(inputs) & self._gates) < len(inputs)
        signals = [index for index in inputs if not (weighing and index in self._gates)]
        factors = len(followed) if name in PRODUCTS and len(signals) == len(inputs) else 1
        if name in ELEMENTWISE or (name == "batch_norm" and self._plus):
            self._add(inputs[0], arrived[0])
        elif name == "alias":
            self._through_alias(operation, arrived)
        elif name in MOVES:
            self._move(operation, inputs, arrived)
        elif name in WEIGHTED and name != "linear" and self._plus:
            self._plus_rule(operation, inputs[0], arrived[0])
        elif name in SUMS or name in PRODUCTS or (name in DIVISIONS and len(inputs) == 1):
            self._share(operation, signals, arrived, factors)
        else:
            self._through_block(operation, name, inputs[0], arrived)

    def _through_block(self, operation: Operation, name: str, first: int, arrived: Found) -> None:
        if name in NORMS:
            self._normalised(operation, first, arrived)
        elif name == "scaled_dot_product_attention":
            value = operation.args[2] if len(operation.args) > 2 else operation.kwargs["value"]
            self._share(operation, [value.index], arrived)
        elif name == "multi_head_attention_forward":
            self._attention(operation, arrived)
        else:
            raise GradientError(
                say(
                    "LRP has no rule for {operation} at {where!r}: choose DeepLift or Integrated Gradients, "
                    "which work for any operation",
                    operation=operation.name,
                    where=self._names.get(operation.outputs[0], operation.name),
                )
            )

    # Rules

    def _points(self, inputs: list[int]) -> Found:
        return {index: self._replay[index].detach().clone().requires_grad_() for index in inputs}

    def _move(self, operation: Operation, inputs: list[int], arrived: Found) -> None:
        points = self._points(inputs)
        results = self._replay.run(operation, points)
        self._hand_back(points, results, arrived)

    def _through_alias(self, operation: Operation, arrived: Found) -> None:
        sources = [index for index in self._replay.alias_sources(operation) if self._trace.tape.values[index].edge]
        points = self._points(list(dict.fromkeys(sources)))
        self._hand_back(points, self._replay.run_alias(operation, points), arrived)

    def _hand_back(self, points: Found, results: list[torch.Tensor], arrived: Found) -> None:
        outputs = [results[place] for place in arrived]
        found = torch.autograd.grad(outputs, list(points.values()), list(arrived.values()), allow_unused=True)
        for index, relevance in zip(points, found, strict=True):
            if relevance is not None:
                self._add(index, relevance)

    def _stable(self, total: torch.Tensor) -> torch.Tensor:
        """A sum kept away from zero."""
        least = self._epsilon * total.square().mean().sqrt() + torch.finfo(total.dtype).tiny
        moved = total + torch.where(total >= 0, least, -least)
        return torch.where(moved.abs() <= torch.finfo(total.dtype).tiny, torch.inf, moved)

    def _share(self, operation: Operation, inputs: list[int], arrived: Found, factors: int = 1) -> None:
        """Each summand's share of the sum; of a product, an equal part to each factor."""
        points = self._points(inputs)
        results = self._replay.run(operation, points)
        weights = {
            place: relevance / (factors * self._stable(results[place].detach())) for place, relevance in arrived.items()
        }
        self._times_inputs(points, results, weights)

    def _times_inputs(self, points: Found, results: list[torch.Tensor], weights: Found) -> None:
        outputs = [results[place] for place in weights]
        found = torch.autograd.grad(outputs, list(points.values()), list(weights.values()), allow_unused=True)
        for (index, point), gradient in zip(points.items(), found, strict=True):
            if gradient is not None:
                self._add(index, (point * gradient).detach())

    def _plus_rule(self, operation: Operation, index: int, relevance: torch.Tensor) -> None:
        """Each positive contribution's share of all positive ones, the positive part of the bias among them.

        Positive are the products of positive inputs and weights, and those of negative inputs and weights.
        """
        value = self._replay[index].detach()
        weight = self._parameter(operation, 1, "weight")
        bias = self._parameter(operation, 2, "bias")
        parts = [self._contributions(operation, value.clamp(min=0), weight.clamp(min=0))]
        if bool((value < 0).any()):
            parts.append(self._contributions(operation, value.clamp(max=0), weight.clamp(max=0)))
        total = torch.stack([result for _, result in parts]).sum(dim=0).detach()  # (N, C, ...)
        if bias is not None:
            spatial = [1] * (weight.ndim - 2)
            total = total + bias.clamp(min=0).reshape(-1, *spatial)
        shares = relevance / self._stable(total)
        for point, result in parts:
            (gradient,) = torch.autograd.grad(result, point, shares)
            self._add(index, (point * gradient).detach())

    def _contributions(
        self, operation: Operation, value: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A leaf with an input's value, and what a convolution without a bias makes of it with another weight."""
        point = value.requires_grad_()
        kwargs = {key: given for key, given in operation.kwargs.items() if key not in ("input", "weight", "bias")}
        return point, operation.function(point, weight, None, *operation.args[3:], **kwargs)

    def _parameter(self, operation: Operation, position: int, name: str) -> Any:
        """A tensor among the arguments of a convolution; ``None`` where none was given."""
        given = operation.args[position] if len(operation.args) > position else operation.kwargs.get(name)
        value = self._replay[given.index] if isinstance(given, Ref) else given
        return None if value is None else value.detach()

    def _normalised(self, operation: Operation, index: int, arrived: Found) -> None:
        """With the deviation taken as a constant: then it is a sum."""
        points = self._points([index])
        (point,) = points.values()
        shape = point.shape
        name = operation.name.strip("_")
        if name == "group_norm":
            flat = point.reshape(shape[0], int(operation.args[1]), -1)
            axes = [-1]
        else:
            flat = point
            axes = list(range(-len(operation.args[1]), 0))
        centred = flat if name == "rms_norm" else flat - flat.mean(dim=axes, keepdim=True)
        deviation = centred.detach().square().mean(dim=axes, keepdim=True).sqrt()
        scaled = (centred / (deviation + 1e-12)).reshape(shape)
        weight = operation.args[2] if len(operation.args) > 2 else operation.kwargs.get("weight")
        if isinstance(weight, torch.Tensor):
            rest = [1] * (len(shape) - 2) if name == "group_norm" else []
            scaled = scaled * weight.detach().reshape(*weight.shape, *rest)
        (result,) = self._replay.run(operation)
        self._times_inputs(points, [scaled], {0: arrived[0] / self._stable(result.detach())})

    def _attention(self, operation: Operation, arrived: Found) -> None:
        """With the attention taken as a constant: a sum of the values."""
        names = {ref.index: self._replay[ref.index].detach() for ref in refs_in(operation.args[:3])}
        value = operation.args[2].index
        point = names[value].clone().requires_grad_()
        others = [names[ref.index] for ref in operation.args[:2]]
        result, _ = operation.function(
            *others, point, *self._plain(operation.args[3:]), **self._plain(operation.kwargs)
        )
        self._times_inputs({value: point}, [result], {0: arrived[0] / self._stable(result.detach())})

    def _plain(self, structure: Any) -> Any:
        return map_structure(lambda ref: self._replay[ref.index].detach(), structure, Ref)
