"""Checksums of tensors: they see a write that torch does not count, through ``.data`` or a view of numpy's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

__all__ = ["Blocks", "Memory"]

Held = torch.Tensor | np.ndarray[Any, Any]
COLUMNS = 1021  # a prime: no filter or row of a matrix is a multiple of it
BLOCK = 2**22  # whole numbers that an accelerator sums at a time: 32 MiB for the products
FACTOR = 0x9E3779B97F4A7C1  # odd, with many bits set


class Memory:
    """The memory of some tensors and arrays, by name, looked through on demand.

    Args:
        groups: tensors and arrays by name, each name in one group; on an accelerator those of one group are always read together.
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
    """Tensors of one accelerator, looked through a block of many at a time.

    There a call costs more than the reading of a layer's weights, so that a few calls look through a whole model.

    Args:
        tensors: by name, each with memory, all on one device.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        flats = {name: _flat(tensor) for name, tensor in tensors.items()}
        self._dense = list(_blocks({name: flat for name, flat in flats.items() if flat is not None}))
        self._loose = {name: tensor for name, tensor in tensors.items() if flats[name] is None}

    def sums(self) -> dict[str, int]:
        """A number for the memory of each; waits for the device once."""
        loose = {name: tensor.contiguous().reshape(-1) for name, tensor in self._loose.items()}
        blocks = [*self._dense, *_blocks(loose)]
        weights = _weights(max(block.size for block in blocks), blocks[0].parts[0].device)
        read = iter(torch.cat([block.sums(weights) for block in blocks]).tolist())
        parts: dict[str, list[int]] = defaultdict(list)
        for block in blocks:
            before = 0
            for name in block.names:
                total = next(read)
                parts[name].append((total - before) % 2**64)
                before = total
        return {name: hash(tuple(numbers)) for name, numbers in parts.items()}


@dataclass(frozen=True)
class _Block:
    """Parts of tensors, each a row of whole numbers of one width, with the names of the tensors."""

    names: list[str]
    parts: list[torch.Tensor]
    size: int
    ends: torch.Tensor  # of the parts, the last number of each

    def sums(self, weights: torch.Tensor) -> torch.Tensor:
        """For each part what all numbers up to its end sum to, each times the weight of its place; modulo 2**64."""
        row = self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts)
        return (row * weights[: self.size]).cumsum_(0)[self.ends]


def _blocks(flats: Mapping[str, torch.Tensor]) -> Iterator[_Block]:
    """Rows of numbers cut and packed so that no block has more than ``BLOCK`` of them."""
    widths: dict[torch.dtype, list[tuple[str, torch.Tensor]]] = defaultdict(list)
    for name, flat in flats.items():
        whole = flat.view({1: torch.uint8, 2: torch.int16}.get(flat.element_size(), torch.int32))
        widths[whole.dtype] += [(name, part) for part in torch.split(whole, BLOCK)]
    for rows in widths.values():
        packed: list[tuple[str, torch.Tensor]] = []
        size = 0
        for name, part in rows:
            if size + len(part) > BLOCK:
                yield _block(packed)
                packed, size = [], 0
            packed.append((name, part))
            size += len(part)
        yield _block(packed)


def _block(packed: list[tuple[str, torch.Tensor]]) -> _Block:
    names, parts = [name for name, _ in packed], [part for _, part in packed]
    sizes = np.cumsum([len(part) for part in parts])
    return _Block(names, parts, int(sizes[-1]), torch.from_numpy(sizes - 1).to(parts[0].device))


def _weights(count: int, device: torch.device) -> torch.Tensor:
    """Odd numbers without a pattern: with regular ones the same change everywhere, such as a sign, can sum to zero."""
    places = torch.arange(1, count + 1, device=device) * FACTOR
    return (places ^ (places >> 29)) * FACTOR | 1
