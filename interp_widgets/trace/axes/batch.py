"""``Batch``: which inputs have one row per example. Decided once for a recording; everything else asks here.

Sizes alone cannot tell a batch of 20 rows from the 20 nodes of a graph. So, in this order:

1. what the user says (``record(..., batch_axis=...)``);
2. sizes: the class scores and at least one input of two axes or more have equally many rows, else there is no batch.
   Inputs with another number of rows (a time step, a mask) are shared by all examples;
3. of several rows, what the tape knows: an axis that a convolution took for the batch, and that was followed to the
   class scores;
4. where the tape lost it, the gradient: rows of which one changes the score of another are no examples. (A batch norm
   tells nothing: graph networks norm their nodes. In training mode it mixes all rows, then sizes have to do.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.trace.arguments import shown
from interp_widgets.trace.axes.dims import Atom
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.values import Operation, Site, Value
from interp_widgets.words import say

__all__ = ["Batch", "BatchAxis", "as_batch_axis", "batch_of"]

BatchAxis = Literal["auto", 0] | None
"""Which axis of the inputs counts examples: the first, none, or to be found."""


@dataclass(frozen=True)
class Batch:
    """The examples of a recording.

    Args:
        inputs: names of the inputs with one row per example; none for a model that takes one example without a batch.
        examples: how many there are.
    """

    inputs: frozenset[str] = frozenset()
    examples: int = 1


def as_batch_axis(given: object) -> BatchAxis:
    """The argument ``batch_axis``, checked.

    Raises:
        ParameterError: anything but ``"auto"``, ``0`` and ``None``.
    """
    if given is None or (isinstance(given, str) and given == "auto"):
        return given  # type: ignore[return-value]  # the only text it can be
    if type(given) is int and given == 0:
        return 0
    raise ParameterError(
        say(
            "batch_axis must be 'auto', 0 (the first axis of the inputs counts examples) or None (no axis does), "
            "got {given}",
            given=shown(given),
        )
    )


def batch_of(tape: Tape, results: Sequence[str], given: BatchAxis) -> Batch:
    """The examples of a recorded pass.

    Args:
        results: sites of the class scores, or of all that was returned where there are none.
        given: what the user says.

    Raises:
        InputError: ``given`` is 0 and no input has an axis.
    """
    if given is None:
        return Batch()
    inputs = {name: tape.sites[name].shape for name in tape.inputs}
    if given == 0:
        rows = next((shape[0] for shape in inputs.values() if shape), None)
        if rows is None:
            raise InputError(say("batch_axis=0, but no input has an axis: leave it out"))
        return Batch(frozenset(name for name, shape in inputs.items() if shape and shape[0] == rows), rows)
    sites = [tape.site(name) for name in results]
    counts = {site.shape[0] if site.shape else -1 for site in sites}
    if len(counts) != 1:
        return Batch()
    (rows,) = counts
    by_row = frozenset(name for name, shape in inputs.items() if shape and shape[0] == rows)
    if not any(len(inputs[name]) > 1 for name in by_row):
        return Batch()
    if rows == 1 or _is_followed(tape, sites) or any(map(_norms_the_batch, tape.operations)):
        return Batch(by_row, rows)
    return Batch() if _rows_are_mixed(tape, sites, by_row) else Batch(by_row, rows)


def _is_followed(tape: Tape, sites: Sequence[Site]) -> bool:
    """Whether a convolution took the first axis for the batch, and the results have it."""
    batches = ((Atom("N", 1, site.shape[0]),) for site in sites)
    labels = [tape.layouts.labels[site.index] for site in sites]
    return all(found is not None and found[0] == batch for found, batch in zip(labels, batches, strict=True))


def _norms_the_batch(operation: Operation) -> bool:
    """Whether it is a batch norm in training mode, which takes mean and deviation of all rows."""
    training = operation.kwargs.get("training", operation.args[5] if len(operation.args) > 5 else False)
    return operation.name == "batch_norm" and bool(training)


def _rows_are_mixed(tape: Tape, sites: Sequence[Site], inputs: frozenset[str]) -> bool:
    """Whether the first row of a result depends on other rows of an input, as far as a gradient tells."""
    values = [tape.values[site.index] for site in sites]
    ends = [value.edge for value in values if value.edge is not None]
    edges = [tape.values[tape.sites[name].index].edge for name in inputs]
    starts = [edge for edge in edges if edge is not None]
    if not ends or not starts:
        return False
    try:
        with torch.inference_mode(mode=False), torch.enable_grad():
            found: tuple[torch.Tensor | None, ...] = torch.autograd.grad(
                [edge.node for edge in ends],
                [edge.node for edge in starts],
                grad_outputs=[_of_first_row(value) for value in values if value.edge is not None],
                retain_graph=True,
                allow_unused=True,
            )
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # autograd cannot go this way, or the model has changed meanwhile: sizes decide
        return False
    return any(bool(gradient[1:].any()) for gradient in found if gradient is not None)


def _of_first_row(value: Value) -> torch.Tensor:
    """A gradient that is not zero in the first row; numbers of different size, so that they do not cancel out."""
    weights = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
    weights[0] = torch.linspace(1, 2, weights[0].numel()).reshape(value.shape[1:])
    return weights
