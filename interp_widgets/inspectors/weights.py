"""``weights``: the numbers of each parameter of a model, and what is odd about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from interp_widgets.inspectors.filters import Filters, filters_of
from interp_widgets.inspectors.moments import moments_of
from interp_widgets.inspectors.spectrum import EXACT, effective_rank, singular_values, spectral_norm
from interp_widgets.inspectors.table import Column, Table, compact, figure_text, shape_text
from interp_widgets.inspectors.tensors import NamedTensor, blocks, parameters_of, tensor_named
from interp_widgets.words import say

__all__ = ["Weight", "WeightReport", "weights"]

PARALLEL = 0.999  # absolute cosine above which two filters are duplicates
DEAD = 1e-6  # of the mean norm of a layer's filters, up to which one is dead
MANY_ZEROS = 0.5  # share that is worth a note
MOST_MULTIPLICATIONS = 2**36  # for the cosines of a layer's filters: seconds
COSINES = 2**22  # computed together
MOST_NOTES = 20


@dataclass(frozen=True)
class Weight:
    """One parameter. A number that does not exist is ``None``; ``reason`` says why where that is not plain.

    Norm, minimum, maximum, mean, standard deviation and zeros are those of the finite values.

    Args:
        path: its name.
        tied: its other names.
        shape: ``None`` as long as it is lazy, and so is ``count``.
        dtype: such as ``"float32"``.
        count: of its values.
        trainable: whether it requires a gradient; ``None`` for a tensor that is no parameter, as in a state dict.
        norm: Frobenius.
        spectral_norm: the largest singular value of the matrix ``(out, rest)``, for 2 axes or more. Exact where rows or
            columns are at most 1,024, else by Lanczos iteration to 1e-4.
        rank: effective rank of that matrix, 1 to its smaller side: the exponential of the entropy of the normalised
            singular values (Roy and Vetterli 2007); up to 1,024 rows or columns.
        zeros: share of zeros, 0..1.
        filters: the rows of that matrix; the output channels, of a transposed convolution too.
        duplicates: filters whose absolute cosine with an earlier one is above 0.999.
        dead: filters whose norm is at most 1e-6 of the mean norm of the layer's filters.
        nonfinite: values that are NaN or infinite.
        minimum, maximum: ``None`` for complex numbers, which have no order.
        mean: complex for complex numbers.
        std: standard deviation, divided by the number of values.
        reason: why numbers are missing; empty where none is.
    """

    path: str
    tied: tuple[str, ...]
    shape: tuple[int, ...] | None
    dtype: str
    count: int | None
    trainable: bool | None
    norm: float | None = None
    spectral_norm: float | None = None
    rank: float | None = None
    zeros: float | None = None
    filters: int | None = None
    duplicates: int | None = None
    dead: int | None = None
    nonfinite: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | complex | None = None
    std: float | None = None
    reason: str = ""

    def remarks(self) -> Iterator[str]:
        """Sentences on what a reader should know of it."""
        if self.nonfinite:
            yield say(
                "{path}: {count:,} of {total:,} values are NaN or infinite",
                path=self.path,
                count=self.nonfinite,
                total=self.count,
            )
        if self.zeros == 1 and not self.nonfinite and self.filters:
            yield say("{path}: all values are zero", path=self.path)
            return
        if self.dead:
            yield say(
                "{path}: {count:,} of {total:,} filters are dead", path=self.path, count=self.dead, total=self.filters
            )
        if self.duplicates:
            yield say(
                "{path}: {count:,} of {total:,} filters point the way of an earlier one",
                path=self.path,
                count=self.duplicates,
                total=self.filters,
            )
        if self.zeros is not None and self.zeros >= MANY_ZEROS and self.filters:  # biases often begin as zeros
            yield say("{path}: {share:.0%} of the values are zero", path=self.path, share=self.zeros)
        if self.reason:
            yield say("{path}: {reason}", path=self.path, reason=self.reason)


@dataclass(frozen=True)
class WeightReport(Table[Weight]):
    """What ``weights`` found: a row for each parameter, in the model's order.

    Args:
        tensors: the parameters themselves, by each of their names; not copied, so `filters` shows what they hold now.
    """

    tensors: Mapping[str, NamedTensor] = field(repr=False, compare=False)

    def columns(self) -> Sequence[Column[Weight]]:
        return (
            Column(say("parameter"), lambda row: " = ".join((row.path, *row.tied)), is_number=False),
            Column(say("shape"), lambda row: shape_text(row.shape, "?"), key=lambda row: row.count),
            Column(say("type"), lambda row: row.dtype, is_number=False),
            Column.of_figures(
                say("values"), lambda row: row.count, lambda count: "?" if count is None else compact(count)
            ),
            Column(say("trainable"), _trainable, is_number=False),
            Column.of_figures(say("norm"), lambda row: row.norm),
            Column.of_figures(say("spectral norm"), lambda row: row.spectral_norm),
            Column.of_figures(say("rank"), lambda row: row.rank),
            Column.of_figures(say("zeros"), lambda row: row.zeros, _share),
            Column.of_figures(say("duplicates"), lambda row: row.duplicates),
            Column.of_figures(say("dead"), lambda row: row.dead),
            Column.of_figures(say("NaN, Inf"), lambda row: row.nonfinite),
            Column.of_figures(say("min"), lambda row: row.minimum),
            Column.of_figures(say("max"), lambda row: row.maximum),
            Column(say("mean"), lambda row: figure_text(row.mean), key=_mean_key),
            Column.of_figures(say("std"), lambda row: row.std),
        )

    def notes(self) -> Sequence[str]:
        """The sums, and what is odd about single parameters, at most 20 sentences of that."""
        if not self.rows:
            return [say("no parameters")]
        notes = [self._sums()]
        odd = [note for row in self.rows for note in row.remarks()]
        notes += odd[:MOST_NOTES]
        if len(odd) > MOST_NOTES:
            notes.append(say("{count:,} more remarks: the rows hold them", count=len(odd) - MOST_NOTES))
        return notes

    def _sums(self) -> str:
        total = sum(row.count or 0 for row in self.rows)
        if all(row.trainable is None for row in self.rows):  # a state dict, which has buffers, too
            return say("{count:,} values in {tensors:,} tensors", count=total, tensors=len(self.rows))
        trained = sum(row.count or 0 for row in self.rows if row.trainable)
        return say("{count:,} parameters, {trainable:,} of them trainable", count=total, trainable=trained)

    def filters(self, layer: str, *, channel: int | None = None) -> Filters:
        """The filters of a layer as pictures.

        Args:
            layer: the path of a module with a ``weight``, or of a parameter.
            channel: the input channel to show; by default three input channels are colours, and of any other number
                the norm over them is shown.

        Raises:
            LayerError: there is no such layer.
            InputError: a weight of fewer than two axes, or one whose values cannot be read.
            ParameterError: the layer has no such input channel.
        """
        path = tensor_named(layer, self.tensors)
        return filters_of(self.tensors[path], path, channel=channel)


def weights(model: Any) -> WeightReport:
    """The numbers of each parameter of a model: size, norms, rank, zeros, dead and duplicate filters, NaN.

    The model is neither changed nor moved. Values are read in blocks, so that beside the model there is room needed for
    little more than its largest parameter.

    Args:
        model: a model, or a state dict (its buffers are rows, too), or the path of a ``.safetensors``, ``.pt`` or
            ``.pth`` with one.

    Raises:
        ModelError: it is none of these.
        InputError: a file that cannot be read, or a mapping without tensors.

    >>> report = weights(torch.nn.Linear(2, 2, bias=False).requires_grad_(False))
    >>> [(row.path, row.shape, row.trainable) for row in report.rows]
    [('weight', (2, 2), False)]
    """
    found = parameters_of(model)
    with torch.no_grad():
        rows = tuple(map(_weight, found))
    return WeightReport(rows, {path: each for each in found for path in each.paths})


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _mean_key(row: Weight) -> float | None:
    """The mean; complex ones are sorted by their size."""
    return abs(row.mean) if isinstance(row.mean, complex) else row.mean


def _trainable(row: Weight) -> str:
    if row.trainable is None:
        return ""
    return say("yes") if row.trainable else say("no")


def _weight(named: NamedTensor) -> Weight:
    tensor = named.tensor
    row = Weight(
        path=named.paths[0],
        tied=named.paths[1:],
        shape=named.shape,
        dtype=str(tensor.dtype).removeprefix("torch."),
        count=None if named.shape is None else tensor.numel(),
        trainable=tensor.requires_grad if isinstance(tensor, torch.nn.Parameter) else None,
        reason=named.obstacle,
    )
    if row.reason:
        return row
    values = named.by_filter()
    row = replace(row, **vars(moments_of(values)))
    if values.ndim < 2 or values.numel() == 0:
        return row
    if row.nonfinite:
        return replace(row, reason=say("of NaN and infinity there is no rank, and no direction"))
    matrix = values.flatten(1)  # (out, rest)
    return _with_directions(_with_spectrum(row, matrix), matrix)


def _with_spectrum(row: Weight, matrix: torch.Tensor) -> Weight:
    """The row with the spectral norm of its matrix ``(out, rest)``, and the rank where that can be afforded."""
    if min(matrix.shape) > EXACT:
        reason = say("no rank: more than {exact:,} rows and columns", exact=EXACT)
        return replace(row, spectral_norm=spectral_norm(matrix), reason=reason)
    found = singular_values(matrix)
    return replace(row, spectral_norm=float(found[0]), rank=effective_rank(found))


def _with_directions(row: Weight, matrix: torch.Tensor) -> Weight:
    """The row with its dead filters and those that are nearly parallel to an earlier one."""
    norms = torch.cat([block.norm(dim=1) for block in blocks(matrix)])  # (out,)
    dead = int((norms <= DEAD * norms.mean()).sum())
    row = replace(row, filters=len(matrix), dead=dead)
    if matrix.shape[1] == 1:
        return row  # single numbers have no direction
    if len(matrix) * matrix.numel() > MOST_MULTIPLICATIONS:
        too_many = say("duplicates are not looked for among {count:,} filters", count=len(matrix))
        return replace(row, reason="; ".join(filter(None, (row.reason, too_many))))
    return replace(row, duplicates=_duplicates(matrix, norms))


def _duplicates(matrix: torch.Tensor, norms: torch.Tensor) -> int:
    """How many rows have an absolute cosine above ``PARALLEL`` with an earlier row; rows of zeros have none.

    In single precision, whose error of about 1e-6 is far below 1 - ``PARALLEL``.
    """
    inverse = torch.where(norms > 0, 1 / norms, 0)  # (out,)
    single = torch.complex64 if matrix.is_complex() else torch.float32
    start = 0
    parts = []
    for block in blocks(matrix):
        parts.append((block * inverse[start : start + len(block), None]).to(single))
        start += len(block)
    directions = torch.cat(parts)  # (out, rest), each row of length 1
    count = 0
    size = max(1, COSINES // len(directions))
    for start in range(0, len(directions), size):
        end = start + size
        cosines = directions[start:end] @ directions[:end].mH  # (size, all up to these)
        earlier = cosines.abs().tril(diagonal=start - 1)
        count += int((earlier > PARALLEL).any(dim=1).sum())
    return count
