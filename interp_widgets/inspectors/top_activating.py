"""``top_activating``: the inputs of a data set that excite each channel of a layer most, and where in them."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, get_args

from torch import nn

from interp_widgets.errors import ParameterError
from interp_widgets.inspectors.kept_search import FORMAT, KeptSearch, checksum_of_batch, checksum_of_model
from interp_widgets.inspectors.loading import batches_of, first_of, inputs_in, trace_for
from interp_widgets.inspectors.search import By, Search, Wanted
from interp_widgets.inspectors.top_inputs import TopActivating
from interp_widgets.inspectors.units import check_channel, check_channels
from interp_widgets.trace import Trace
from interp_widgets.trace.arguments import as_list, check_whole, is_name_of, plain_module, shown
from interp_widgets.words import say

__all__ = ["TopActivating", "top_activating", "top_activating_stream"]

SAVED_EVERY = 30.0  # seconds: what a crash loses at most


def top_activating(
    model: nn.Module | Trace,
    layer: str,
    channel: int | Iterable[int] | None,
    loader: Any,
    k: int = 9,
    *,
    kept: Any = None,
    by: By = "maximum",
) -> TopActivating:
    """The inputs of a data set that excite each channel most, and the region of each that the channel saw.

    Each batch runs once, without autograd and without a recording, in evaluation mode. The k inputs of every channel
    are kept in memory, each once, until the answer is let go. Of equal activations the earlier input comes first.

    Args:
        model: a module, or a trace.
        layer: a module path or the site of a module's output; each channel of it is searched for.
        channel: the number of a channel, several numbers, or ``None`` for all channels.
        loader: batches as ``activations`` takes them. Inputs are counted in the order in which the loader gives them,
            so one that shuffles gives numbers that mean nothing later.
        k: how many inputs of each channel.
        kept: a folder where the search is kept, every half a minute and when it ends or is stopped. The same call
            again goes on from there: the batches that were seen are loaded, and not run.
        by: what of a channel is compared: its ``"maximum"`` or its ``"mean"`` over positions.

    Returns:
        Numbers, activations, positions, regions and crops of the inputs; see ``TopActivating``.

    Raises:
        LayerError: no such layer, one that no module returns, or one without channels.
        ParameterError: no such channel, k, measure or folder.
        InputError: a batch without a tensor, or of another shape than the first one; NaN at the layer, with the number
            of the input; a kept search that is broken, or of another model, layer, question or loader.
        ModelError: not a module, or one that cannot be recorded.
        StaleError: the model was changed meanwhile.

    >>> import torch, interp_widgets as iw
    >>> images = torch.tensor([0.0, 3.0, 1.0, 2.0]).reshape(4, 1, 1, 1).expand(4, 1, 5, 5)
    >>> top = iw.top_activating(torch.nn.Sequential(torch.nn.AvgPool2d(3)), "0", 0, images, k=2)
    >>> top.indices.tolist(), top.values.tolist(), top.boxes(0).tolist()
    ([[1, 3]], [[3.0, 2.0]], [[0, 0, 3, 3], [0, 0, 3, 3]])
    """
    *_, last = top_activating_stream(model, layer, channel, loader, k, kept=kept, by=by)
    return last


def top_activating_stream(
    model: nn.Module | Trace,
    layer: str,
    channel: int | Iterable[int] | None,
    loader: Any,
    k: int = 9,
    *,
    kept: Any = None,
    by: By = "maximum",
) -> Iterator[TopActivating]:
    """What ``top_activating`` returns, after each batch; the last one is the whole. Whoever stops asking has cancelled.

    ``found.batches`` of ``found.total_batches`` are done, ``found.seconds_left`` is how long the others will take. A
    search that goes on begins with what was kept. Arguments and errors are those of ``top_activating``.
    """
    if not isinstance(model, Trace):
        model = plain_module(model)  # first: whoever confuses the arguments hears of the model
    count = check_whole(k, "k", 1)
    if not is_name_of(by, get_args(By)):
        raise ParameterError(say("by must be 'maximum' or 'mean', got {given}", given=shown(by)))
    total = operator.length_hint(batches_of(loader), 0) or None
    batches = iter(batches_of(loader))
    first = first_of(batches, loader)
    kind = type(loader).__name__
    trace = trace_for(model, first, kind)
    wanted = _wanted(trace, layer, channel, count, by)
    search = Search(trace, wanted)
    store = None if kept is None else KeptSearch.at(kept, _key(wanted, trace, first, total, kind))
    if store is not None and store.load(search):
        yield TopActivating.of(search, trace, total, 0.0)
        return
    if search.batches:
        yield TopActivating.of(search, trace, total, None)
    rest = islice(chain([first], batches), search.batches, None)
    yield from _searched(search, trace, (inputs_in(trace, batch, kind) for batch in rest), total, store)


def _searched(
    search: Search, trace: Trace, batches: Iterator[Any], total: int | None, store: KeptSearch | None
) -> Iterator[TopActivating]:
    """What is found after each batch."""
    begun, already = time.perf_counter(), search.batches
    with _saving(search, store) as save:
        for batch in batches:
            search.take(batch)
            save()
            each = (time.perf_counter() - begun) / (search.batches - already)
            left = None if total is None else each * max(0, total - search.batches)
            yield TopActivating.of(search, trace, total, left)


@contextmanager
def _saving(search: Search, store: KeptSearch | None) -> Iterator[Any]:
    """Within it a search is kept now and then, and at the end; also when it is stopped or a batch fails."""
    saved = time.perf_counter()

    def now_and_then() -> None:
        nonlocal saved
        if store is not None and time.perf_counter() - saved >= SAVED_EVERY:
            store.save(search, complete=False)
            saved = time.perf_counter()

    is_complete = False
    try:
        yield now_and_then
        is_complete = True
    finally:
        if store is not None and search.batches:
            store.save(search, complete=is_complete)


def _wanted(trace: Trace, layer: str, channel: Any, k: int, by: By) -> Wanted:
    """What is searched for, in numbers."""
    axis, count = check_channels(trace, layer)
    site = trace.site(layer).name
    asked = range(count) if channel is None else as_list(channel)
    numbers = tuple(check_channel(number, site, count) for number in asked)
    if not numbers:
        raise ParameterError(
            say("channel must hold at least one number, got {given}; None stands for all", given=shown(channel))
        )
    if len(set(numbers)) < len(numbers):
        raise ParameterError(say("channel must hold each number once, got {given}", given=shown(channel)))
    return Wanted(site, axis, numbers, k, by)


def _key(wanted: Wanted, trace: Trace, first: Any, total: int | None, kind: str) -> dict[str, Any]:
    """What a kept search must be of to be gone on with."""
    return {
        "format": FORMAT,
        "weights": checksum_of_model(trace.model),
        "layer": wanted.layer,
        "channels": wanted.channels,
        "k": wanted.k,
        "by": wanted.by,
        "batches": total,
        "first_batch": checksum_of_batch(inputs_in(trace, first, kind)),
    }
