"""What a loader gives: its batches, the model's inputs in each, and a trace from the first of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import nn

from interp_widgets.errors import InputError
from interp_widgets.trace import Trace
from interp_widgets.trace.arguments import check_batches, shown
from interp_widgets.trace.recording import record
from interp_widgets.trace.values import tensors_in
from interp_widgets.words import say

__all__ = ["as_dense", "as_real", "batches_of", "first_of", "first_tensor", "inputs_in", "trace_for", "trace_of"]

SHOWN_FIRST = 2  # inputs that are recorded, so that layers and their axes are known


def first_of(batches: Iterator[Any], loader: Any) -> Any:
    """The first batch of a loader.

    Raises:
        InputError: it has none.
    """
    first = list(islice(batches, 1))
    if not first:
        raise InputError(say("the loader has no batch, got {given}: give at least one", given=shown(loader)))
    return first[0]


def trace_of(model: nn.Module | Trace, batch: Any, loader: str) -> AbstractContextManager[Trace]:
    """A trace, which stays open; or that of a model's first inputs, from which the layers are known."""
    return nullcontext(model) if isinstance(model, Trace) else trace_for(model, batch, loader)


def trace_for(model: nn.Module | Trace, batch: Any, loader: str) -> Trace:
    """A trace as it is; or that of a model's first inputs."""
    if isinstance(model, Trace):
        return model
    given = first_tensor(batch, loader, model)
    check_batches({"input": given})
    try:
        return record(model, given[:SHOWN_FIRST], batch_axis=0)
    except TypeError as error:
        if "required positional argument" not in str(error):
            raise
        sentence = say(
            "the model's forward takes several inputs, and the loader gives one: give a trace as the model, "
            "iw.record(model, (a, b)), whose inputs are then found in each batch"
        )
        raise InputError(sentence) from error


def batches_of(loader: Any) -> Iterable[Any]:
    """The batches of a loader; a tensor is one batch.

    Raises:
        InputError: it has none.
    """
    if isinstance(loader, torch.Tensor):
        return [loader]
    if not isinstance(loader, Iterable) or isinstance(loader, (str, bytes, Mapping)):
        raise InputError(
            say(
                "loader must be an iterable of batches, such as a DataLoader, or one batch as a tensor, got {given}",
                given=shown(loader),
            )
        )
    return loader


def first_tensor(batch: Any, loader: str, model: nn.Module) -> torch.Tensor:
    """The tensor of a batch for a model of one input: of a mapping the one that ``forward`` names, else the first.

    Args:
        loader: the type of what gave the batch, for the sentence.

    Raises:
        InputError: there is none.
    """
    if isinstance(batch, Mapping):  # labels may stand before what they are of
        wanted = next(iter(inspect.signature(model.forward).parameters), "")
        batch = batch.get(wanted, batch)
    for _, tensor in tensors_in(batch):
        return tensor
    raise InputError(
        say(
            "each batch of the loader ({kind}) must be a tensor or hold one, got {given}",
            kind=loader,
            given=shown(batch),
        )
    )


def inputs_in(trace: Trace, batch: Any, loader: str) -> dict[str, torch.Tensor]:
    """The tensors of a batch by the model's inputs: the first one, or those at the places of the inputs recorded.

    Raises:
        InputError: there are none.
    """
    if len(trace.input_sites) == 1:
        return {trace.input_sites[0]: first_tensor(batch, loader, trace.model)}
    tensors = dict(tensors_in(batch))
    places = {name: name.removeprefix("input") for name in trace.input_sites if trace.has_rows(name)}
    found = {name: tensors[place] for name, place in places.items() if place in tensors}
    if not found:
        raise InputError(
            say(
                "the model has the inputs {names}, and a batch of the loader ({kind}) has none of them, got {given}",
                names=", ".join(trace.input_sites),
                kind=loader,
                given=shown(batch),
            )
        )
    return found


def as_real(value: torch.Tensor) -> torch.Tensor:
    """Values as real numbers, of complex ones their sizes, where there are doubles."""
    plain = as_dense(value)
    if plain.device.type == "mps":  # has no doubles
        plain = plain.cpu()
    return plain.abs() if plain.is_complex() else plain


def as_dense(value: torch.Tensor) -> torch.Tensor:
    """A tensor detached, its numbers in plain memory: neither quantised nor sparse."""
    plain = value.detach()
    if plain.is_quantized:
        plain = plain.dequantize()
    return plain if plain.layout == torch.strided else plain.to_dense()
