"""``summary``: a model's modules as a table: shapes, parameters, operations, time and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from interp_widgets.inspectors.attempts import attempted
from interp_widgets.inspectors.cause import likely_cause
from interp_widgets.inspectors.flops import count_flops
from interp_widgets.inspectors.module_rows import ModuleRow, Shape, module_rows
from interp_widgets.inspectors.table import Column, Table, compact, shape_text
from interp_widgets.trace import Trace
from interp_widgets.trace.recording import Attempt
from interp_widgets.words import say

__all__ = ["Summary", "summary"]


@dataclass(frozen=True)
class Summary(Table[ModuleRow]):
    """A model's modules in the order in which they ran; see ``summary``.

    Args:
        rows: the model first, then its modules, each before those in it.
        total_parameters, trainable_parameters: each counted once.
        total_flops: of the pass; 2 for each multiply-add.
        uncounted: operations that could not be looked into, and how many there were of each.
        error: what the model's forward raised, with a likely cause; empty where it did not fail.
        was_training: whether the model that was run for this is in training mode, in which it did not run.
    """

    total_parameters: int
    trainable_parameters: int
    total_flops: int
    uncounted: Mapping[str, int]
    error: str = ""
    was_training: bool = False

    def columns(self) -> Sequence[Column[ModuleRow]]:
        return (
            Column(
                say("module"), lambda row: "  " * row.depth + (row.path.rpartition(".")[2] or row.type), is_number=False
            ),
            Column(say("type"), lambda row: row.type, is_number=False),
            Column(
                say("output"),
                lambda row: shape_text(row.output_shape),
                is_number=False,
                key=lambda row: _size(row.output_shape),
            ),
            Column(
                say("parameters"),
                lambda row: f"{row.parameters:,}" if row.parameters else "",
                key=lambda row: row.parameters,
            ),
            Column(say("share"), lambda row: f"{row.share:.1%}" if row.parameters else "", key=lambda row: row.share),
            Column(say("FLOPs"), lambda row: compact(row.flops) if row.flops else "", key=lambda row: row.flops),
            Column(
                say("time"),
                lambda row: f"{row.seconds * 1e3:.2f} ms" if row.seconds else "",
                key=lambda row: row.seconds,
            ),
            Column(
                say("memory"), lambda row: compact(row.nbytes, "B") if row.nbytes else "", key=lambda row: row.nbytes
            ),
            Column(
                say("input"),
                lambda row: shape_text(row.input_shape),
                is_number=False,
                key=lambda row: _size(row.input_shape),
            ),
            Column(say("note"), lambda row: row.note, is_number=False),
        )

    def notes(self) -> Sequence[str]:
        found = [
            say(
                "{total:,} parameters, {trainable:,} of them trainable; {flops} (2 a multiply-add)",
                total=self.total_parameters,
                trainable=self.trainable_parameters,
                flops=compact(self.total_flops, "FLOPs"),
            )
        ]
        if self.uncounted:
            names = ", ".join(f"{name} \N{MULTIPLICATION SIGN}{count}" for name, count in self.uncounted.items())
            found.append(say("not counted, since nobody can look into them: {names}", names=names))
        if self.was_training:
            found.append(say("run in evaluation mode, as every recording is; the model is in training mode"))
        return [*found, self.error] if self.error else found

    def to_depth(self, depth: int) -> Summary:
        """The same without the modules that are in more than ``depth`` others."""
        return replace(self, rows=tuple(row for row in self.rows if row.depth <= depth))


def summary(model: nn.Module | Trace, inputs: Any = None, *, kwargs: Mapping[str, Any] | None = None) -> Summary:
    """What a model is made of, from one pass; where its forward raises, up to there and with the likely cause.

    Args:
        model: a module, or a trace, which is not run again.
        inputs: what ``record`` takes; or a shape such as ``(1, 3, 224, 224)`` or a list of shapes: then nothing is
            computed, so that models that are too large for this machine can be looked at, and no time is told.
        kwargs: further keyword arguments of the model.

    Raises:
        ModelError: not a module, or one that cannot be recorded.
        InputError: neither inputs nor shapes.

    >>> import torch, interp_widgets as iw
    >>> found = iw.summary(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), (2, 4))
    >>> [(row.path, row.output_shape, row.parameters, row.flops) for row in found.rows]
    [('', (2, 3), 15, 48), ('0', (2, 3), 15, 48), ('1', (2, 3), 0, 0)]
    """
    found = attempted(model, inputs, kwargs)
    table = _summary(found.attempt, found.model)
    if not isinstance(model, Trace):
        table = replace(table, was_training=found.model.training)
    if found.is_computed:
        return table
    return replace(table, rows=tuple(replace(row, seconds=0.0) for row in table.rows))


def _summary(found: Attempt, model: nn.Module) -> Summary:
    flops = count_flops(found.tape)
    parameters = {id(each): each for each in model.parameters()}.values()
    rows = tuple(module_rows(model, found, flops, sum(each.numel() for each in parameters)))
    return Summary(
        rows=rows,
        total_parameters=sum(each.numel() for each in parameters),
        trainable_parameters=sum(each.numel() for each in parameters if each.requires_grad),
        total_flops=flops.total,
        uncounted=flops.uncounted,
        error="" if found.error is None else _failure(found),
    )


def _size(shape: Shape | None) -> int:
    """How many values a tensor of this shape has."""
    return 0 if shape is None else math.prod(shape)


def _failure(found: Attempt) -> str:
    """What was raised and where, and a likely cause."""
    where = found.failed or say("the model's own forward")
    raised = say("{where} raised {kind}: {error}", where=where, kind=type(found.error).__name__, error=found.error)
    return ". ".join(filter(None, (raised.rstrip(". "), likely_cause(found))))
