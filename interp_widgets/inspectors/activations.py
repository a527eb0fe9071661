"""``activations``: how the values of each layer are distributed, over one input, a batch or a whole data set."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from interp_widgets.errors import LayerError
from interp_widgets.inspectors.activation_rows import ActivationRow, ChannelStatistics, activation_row, flags
from interp_widgets.inspectors.loading import batches_of, first_of, inputs_in, trace_of
from interp_widgets.inspectors.running import SAMPLE_SIZE
from interp_widgets.inspectors.survey import Survey
from interp_widgets.inspectors.table import Column, Table
from interp_widgets.trace import Trace
from interp_widgets.trace.arguments import check_whole, plain_module, shown
from interp_widgets.trace.names import SiteName
from interp_widgets.trace.targets import TargetLike
from interp_widgets.words import did_you_mean, say

if TYPE_CHECKING:
    from interp_widgets.render.still import StillFigure

__all__ = ["ActivationReport", "activation_stream", "activations"]


@dataclass(frozen=True)
class ActivationReport(Table[ActivationRow]):
    """The distribution of each layer's values; see ``activations``.

    Args:
        rows: one for each call of a module, in execution order, or for each layer asked for.
        by_channel: statistics of each channel, by the name of the row; the same object for layers that return the
            same tensor.
        inputs: how many were seen.
        batches: how many were seen.
        total_batches: how many there are, ``None`` where the loader does not say.
        seed: of the samples that quantiles are taken from.
    """

    by_channel: Mapping[str, ChannelStatistics]
    inputs: int
    batches: int
    total_batches: int | None
    seed: int

    def columns(self) -> Sequence[Column[ActivationRow]]:
        shown_columns = [
            Column[ActivationRow](say("layer"), lambda row: row.layer, is_number=False),
            Column[ActivationRow](say("type"), lambda row: row.type, is_number=False),
            Column[ActivationRow].of_figures(say("mean"), lambda row: row.mean),
            Column[ActivationRow].of_figures(say("std"), lambda row: row.std),
            Column[ActivationRow].of_figures(say("minimum"), lambda row: row.minimum),
            Column[ActivationRow].of_figures(say("median"), lambda row: row.median),
            Column[ActivationRow].of_figures(say("maximum"), lambda row: row.maximum),
            Column[ActivationRow].of_figures(say("zeros"), lambda row: row.sparsity or None, _share),
            Column[ActivationRow].of_figures(say("dead"), lambda row: row.dead, _share),
            Column[ActivationRow].of_figures(say("saturated"), lambda row: row.saturated, _share),
        ]
        if any(row.gradient is not None for row in self.rows):
            gradient = Column[ActivationRow].of_figures(say("mean |gradient|"), lambda row: row.gradient)
            shown_columns.append(gradient)
        return shown_columns

    def notes(self) -> Sequence[str]:
        head = say("one input") if self.inputs == 1 else say("{count:,} inputs", count=self.inputs)
        if self.total_batches is not None and self.batches < self.total_batches:
            head = say(
                "{count:,} inputs, {done:,} of {all:,} batches",
                count=self.inputs,
                done=self.batches,
                all=self.total_batches,
            )
        sampled = say(
            "quantiles and histograms of a layer with more than {size:,} values are those of so many, "
            "drawn at random (seed {seed})",
            size=SAMPLE_SIZE,
            seed=self.seed,
        )
        distinct = {id(self.by_channel[row.layer]): row for row in reversed(self.rows)}
        return [f"{head}; {sampled}", *flags(list(distinct.values())[::-1], self.inputs)]

    def channels(self, layer: str) -> ChannelStatistics:
        """Statistics of each channel of a layer; of a module that was called more than once, of its last call.

        Raises:
            LayerError: the report has no such layer.
        """
        if layer in self.by_channel:
            return self.by_channel[layer]
        sites = map(SiteName.parse, self.by_channel)
        calls = [site for site in sites if site.is_output and site.path == layer]
        if not calls:
            raise LayerError(
                say(
                    "the report has no layer {layer}{hint} It has {count}, see rows",
                    layer=shown(layer),
                    hint=did_you_mean(str(layer), self.by_channel) or ".",
                    count=len(self.by_channel),
                )
            )
        return self.by_channel[str(max(calls, key=lambda site: site.call or 0))]

    def figure(self, *, log: bool = False) -> StillFigure:
        """A matplotlib figure: a box for each layer through depth, below it the gradient's size where it was measured.

        A box goes from the 25 % to the 75 % quantile, its line is the median, its whiskers end at 5 % and 95 %.

        Args:
            log: a scale that is logarithmic on both sides of zero, and linear next to it.
        """
        from interp_widgets.render.profile import profile_figure  # noqa: PLC0415 - slow to import, only when drawn

        boxes = np.array([row.quantiles for row in self.rows])
        norms: NDArray[np.float64] | None = None
        if any(row.gradient is not None for row in self.rows):
            norms = np.array([np.nan if row.gradient_norm is None else row.gradient_norm for row in self.rows])
        title = say("activations, {count:,} inputs", count=self.inputs)
        return profile_figure([row.layer for row in self.rows], boxes, norms, title=title, log=log)


def activations(
    model: nn.Module | Trace,
    loader: Any = None,
    layers: Iterable[str] | str | None = None,
    *,
    target: TargetLike = None,
    seed: int = 0,
) -> ActivationReport:
    """How the values of each layer are distributed: where signals vanish or explode, which units are dead.

    Each batch runs once, without autograd and without a recording, in evaluation mode; no values are kept. Mean,
    standard deviation, extremes and counts are exact: batches are put together as Chan, Golub and LeVeque 1979 do.
    Quantiles and histograms are those of a random sample of 65,536 values where a layer has more. Values that are not
    finite are counted, and left out of all else.

    Args:
        model: a module, or a trace.
        loader: batches, such as a ``DataLoader``: tensors ``(B, ...)``, or pairs, lists or mappings, of which the first
            tensor is the input; or one tensor. A model with several inputs needs a trace: each is taken from the place
            in the batch that it had in the recorded inputs. ``None``: the inputs of the trace, which is not run again.
        layers: module paths, ``None``: what each call of a module returned; without a loader any site of the trace.
        target: what the gradient is of, such as the number of a class; then each batch runs a second time, with
            autograd. ``None``: gradients are not measured.
        seed: of the random samples.

    Returns:
        A table with one row per layer; see ``ActivationRow`` for what its numbers are.

    Raises:
        InputError: nothing to run the model on; a batch without a tensor, or of another shape than the first one.
        LayerError: no such layer, or one that no module returns.
        TargetError: no such target.
        GradientError: no gradient of the target exists at a layer.
        ModelError: not a module, or one that cannot be recorded.
        StaleError: the model was changed meanwhile.

    >>> import torch, interp_widgets as iw
    >>> model = torch.nn.Sequential(torch.nn.ReLU())
    >>> report = iw.activations(model, torch.tensor([[-1.0, 0.0, 1.0, 4.0]]))
    >>> [(row.layer, row.mean, row.maximum, row.sparsity, row.dead) for row in report.rows]
    [('0', 1.25, 4.0, 0.5, 0.5)]
    """
    number = check_whole(seed, "seed", 0)
    if loader is None and isinstance(model, Trace):
        survey = Survey(model, layers, target, number)
        survey.take_recorded()
        return _report(survey, 1, number)
    *_, last = _surveys(model, loader, layers, target, number)
    return _report(last, last.batches, number)


def activation_stream(
    model: nn.Module | Trace,
    loader: Any,
    layers: Iterable[str] | str | None = None,
    *,
    target: TargetLike = None,
    seed: int = 0,
) -> Iterator[ActivationReport]:
    """What ``activations`` returns, after each batch; the last one is the whole. Whoever stops asking has cancelled.

    ``report.batches`` of ``report.total_batches`` are done. Arguments and errors are those of ``activations``.
    """
    number = check_whole(seed, "seed", 0)
    total = operator.length_hint(batches_of(loader), 0) or None
    for survey in _surveys(model, loader, layers, target, number):
        yield _report(survey, total, number)


def _surveys(
    model: nn.Module | Trace, loader: Any, layers: Iterable[str] | str | None, target: TargetLike, seed: int
) -> Iterator[Survey]:
    """The same survey after each batch."""
    if not isinstance(model, Trace):
        model = plain_module(model)  # first: whoever confuses the arguments hears of the model
    batches = iter(batches_of(loader))
    first = first_of(batches, loader)
    kind = type(loader).__name__
    with trace_of(model, first, kind) as trace:
        survey = Survey(trace, layers, target, seed)
        for batch in chain([first], batches):
            survey.take(inputs_in(trace, batch, kind))
            yield survey


def _report(survey: Survey, total: int | None, seed: int) -> ActivationReport:
    """What a survey has found so far."""
    statistics = {site: ChannelStatistics.of(seen.moments) for site, seen in survey.seen.items()}
    by_channel = {name: statistics[survey.read_at(name)] for name in survey.sites if survey.read_at(name) in statistics}
    return ActivationReport(
        rows=tuple(activation_row(survey, name) for name in by_channel),
        by_channel=by_channel,
        inputs=survey.inputs,
        batches=survey.batches,
        total_batches=total,
        seed=seed,
    )


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
