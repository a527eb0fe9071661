"""Checksums of tensors: they see a write that torch does not count, through ``.data`` or a view of numpy's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

__all__ = ["Blocks", "Memory"]

Held = torch.Tensor | np.ndarray[Any, Any]
COLUMNS = 1021  # a prime: no filter or row of a matrix is a multiple of it
BLOCK = 2**18  # whole numbers of small tensors that an accelerator sums at a time: 2 MiB for the products
FACTOR = 0x9E3779B97F4A7C1  # odd, with many bits set


class Memory:
    """The memory of some tensors and arrays, by name, looked through on demand.

    Args:
        groups: tensors and arrays by name, each name in one group; on an accelerator a group is read as a whole.
    """

    def __init__(self, *groups: Mapping[str, Held]) -> None:
        self.names = [name for group in groups for name in group]
        self._readers: dict[str, Callable[[], int]] = {}
        self._elsewhere: dict[str, Blocks] = {}
        for group in groups:
            elsewhere: dict[torch.device, dict[str, torch.Tensor]] = defaultdict(dict)
            for name, held in group.items():
                if isinstance(held, torch.Tensor) and held.device.type != "cpu" and _has_memory(held):
                    elsewhere[held.device][name] = held.detach()
                else:
                    self._readers[name] = _reader(held)
            for tensors in elsewhere.values():
                self._elsewhere |= dict.fromkeys(tensors, Blocks(tensors))

    def sums(self, names: Iterable[str]) -> list[int]:
        """A number for the memory of each: any single change changes it, and so does another order."""
        asked = list(names)
        found: dict[str, int] = {}
        for name in asked:
            if name in self._readers:
                found[name] = self._readers[name]()
            elif name not in found:
                found |= self._elsewhere[name].sums()
        return [found[name] for name in asked]


def _has_memory(tensor: torch.Tensor) -> bool:
    """Whether a tensor has plain memory with something in it."""
    unfilled = isinstance(tensor, (UninitializedBuffer, UninitializedParameter))
    plain = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized
    return plain and not unfilled and tensor.numel() > 0


def _reader(held: Held) -> Callable[[], int]:
    """What reads the memory of an array or of a tensor of the CPU; nothing for what has no plain memory."""
    if isinstance(held, np.ndarray):
        return lambda: hash(held.tobytes())
    if not _has_memory(held):
        return lambda: 0
    tensor = held.detach()
    flat = _flat(tensor)
    if flat is not None:
        return _sum(_whole(flat))

    def copied() -> int:
        return _sum(_whole(tensor.contiguous().reshape(-1)))()

    return copied


def _whole(flat: torch.Tensor) -> torch.Tensor:
    """Numbers in a row as whole numbers, the longest that fit."""
    whole = flat.view(torch.uint8)
    return whole.view(torch.int64) if whole.numel() % 8 == 0 and whole.data_ptr() % 8 == 0 else whole


def _sum(whole: torch.Tensor) -> Callable[[], int]:
    """The sums of the columns, with the memory laid out in rows of a prime length, as one number.

    So a number has its column, and weights that are shuffled move to others; a plain sum would stay the same.
    """
    inside = whole.numel() // COLUMNS * COLUMNS
    numbers = whole.numpy().view(np.uint64 if whole.dtype == torch.int64 else np.uint8)
    if not inside:  # a bias, a running mean: most tensors, so their time counts
        return lambda: hash(numbers.tobytes())
    table, end = numbers[:inside].reshape(-1, COLUMNS), numbers[inside:]
    return lambda: hash((np.add.reduce(table, axis=0, dtype=np.uint64).tobytes(), end.tobytes()))


def _flat(tensor: torch.Tensor) -> torch.Tensor | None:
    """All numbers in a row without a copy, ``None`` where they do not lie densely."""
    if tensor.is_contiguous():
        return tensor.reshape(-1)
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).reshape(-1)
    return None


class Blocks:
    """Tensors of one accelerator, looked through many at a time.

    There a call costs more than the reading of a layer's weights, so that a few calls look through a whole model. A
    large tensor is summed by columns, as on the CPU, in a call of its own; small ones are laid out in a row together,
    where each number has a weight. Nothing as large as the model's memory is made.

    Args:
        tensors: by name, each with memory, all on one device.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        flats = {name: _flat(tensor) for name, tensor in tensors.items()}
        self._dense = _packed({name: flat for name, flat in flats.items() if flat is not None})
        self._loose = {name: tensor for name, tensor in tensors.items() if flats[name] is None}

    def sums(self) -> dict[str, int]:
        """A number for the memory of each; waits for the device once."""
        parts = [*self._dense, *_packed({name: each.contiguous().reshape(-1) for name, each in self._loose.items()})]
        device = parts[0].device
        weights = _weights(max(COLUMNS, *(part.size for part in parts)), device)
        read = iter(torch.cat([part.sums(weights) for part in parts]).tolist())
        found: dict[str, list[int]] = defaultdict(list)
        for part in parts:
            for name in part.names:
                found[name].append(next(read))
        return {name: hash(tuple(numbers)) for name, numbers in found.items()}


@dataclass(frozen=True)
class _Large:
    """Large tensors, each as a table of whole numbers with ``COLUMNS`` columns."""

    names: list[str]
    tables: list[torch.Tensor]
    size: int = COLUMNS

    @property
    def device(self) -> torch.device:
        return self.tables[0].device

    def sums(self, weights: torch.Tensor) -> torch.Tensor:
        """For each the sum of its columns' sums, each mixed and times the weight of its place; modulo 2**64."""
        columns = torch.stack([table.sum(dim=0) for table in self.tables])
        return (_mixed(columns) * weights[:COLUMNS]).sum(dim=1)


@dataclass(frozen=True)
class _Small:
    """Small tensors, and ends of large ones, each a row of whole numbers of one width."""

    names: list[str]
    rows: list[torch.Tensor]
    size: int
    ends: torch.Tensor  # of the rows, the last number of each

    @property
    def device(self) -> torch.device:
        return self.ends.device

    def sums(self, weights: torch.Tensor) -> torch.Tensor:
        """For each the sum of its numbers, each times the weight of its place among all; modulo 2**64."""
        totals = (torch.cat(self.rows) * weights[: self.size]).cumsum_(0)[self.ends]
        return torch.cat((totals[:1], totals.diff()))


def _packed(flats: Mapping[str, torch.Tensor]) -> list[_Large | _Small]:
    """Rows of numbers as tables where they are long, and packed so that no block has more than ``BLOCK`` of them."""
    tables: list[tuple[str, torch.Tensor]] = []
    widths: dict[torch.dtype, list[tuple[str, torch.Tensor]]] = defaultdict(list)
    for name, flat in flats.items():
        whole = flat.view({1: torch.uint8, 2: torch.int16}.get(flat.element_size(), torch.int32))
        if len(whole) > BLOCK // 2:
            row = COLUMNS * 8 // whole.element_size()
            inside = len(whole) // row * row
            tables.append((name, _as_table(whole[:inside])))
            whole = whole[inside:]
        if len(whole):
            widths[whole.dtype].append((name, whole))
    large = [_Large([name for name, _ in tables], [table for _, table in tables])] if tables else []
    return [*large, *(block for rows in widths.values() for block in _blocks(rows))]


def _as_table(whole: torch.Tensor) -> torch.Tensor:
    """A row as a table with ``COLUMNS`` columns, of the longest numbers: shorter ones would be copied to be summed."""
    aligned = whole.data_ptr() % 8 == 0
    return (whole.view(torch.int64) if aligned else whole).view(-1, COLUMNS)


def _blocks(rows: Iterable[tuple[str, torch.Tensor]]) -> Iterator[_Small]:
    packed: list[tuple[str, torch.Tensor]] = []
    size = 0
    for name, row in rows:
        if size + len(row) > BLOCK:
            yield _block(packed)
            packed, size = [], 0
        packed.append((name, row))
        size += len(row)
    yield _block(packed)


def _block(packed: Sequence[tuple[str, torch.Tensor]]) -> _Small:
    names, rows = [name for name, _ in packed], [row for _, row in packed]
    ends = np.cumsum([len(row) for row in rows])
    return _Small(names, rows, int(ends[-1]), torch.from_numpy(ends - 1).to(rows[0].device))


def _weights(count: int, device: torch.device) -> torch.Tensor:
    """Odd numbers without a pattern: with regular ones the same change everywhere, such as a sign, can sum to zero."""
    return _mixed(torch.arange(1, count + 1, device=device)) | 1


def _mixed(numbers: torch.Tensor) -> torch.Tensor:
    """Each number as another one in which every bit depends on all of its bits."""
    numbers = (numbers ^ (numbers >> 32)) * FACTOR
    return (numbers ^ (numbers >> 29)) * FACTOR
