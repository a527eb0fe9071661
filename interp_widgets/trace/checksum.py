"""Checksums of tensors: they see a write that torch does not count, through ``.data`` or a view of numpy's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

__all__ = ["Memory"]

Sum = int | torch.Tensor
Held = torch.Tensor | np.ndarray[Any, Any]
COLUMNS = 1021  # a prime: no filter or row of a matrix is a multiple of it
FACTOR = 0x9E3779B97F4A7C1  # odd, with many bits set


class Memory:
    """The memory of some tensors and arrays, by name, looked through on demand."""

    def __init__(self, tensors: Mapping[str, Held]) -> None:
        self.names = list(tensors)
        self._readers = {name: _reader(tensor) for name, tensor in tensors.items()}

    def sums(self, names: Iterable[str]) -> list[int]:
        """A number for the memory of each: any single change changes it, and so does another order."""
        sums = [self._readers[name]() for name in names]
        elsewhere = {place: each for place, each in enumerate(sums) if isinstance(each, torch.Tensor)}
        for device in {each.device for each in elsewhere.values()}:  # wait for each device once
            places = [place for place, each in elsewhere.items() if each.device == device]
            found = torch.stack([elsewhere[place] for place in places]).tolist()
            for place, number in zip(places, found, strict=True):
                sums[place] = number
        return list(map(int, sums))


def _reader(held: Held) -> Callable[[], Sum]:
    """What reads a tensor's or an array's memory; nothing for what has no plain memory."""
    if isinstance(held, np.ndarray):
        return lambda: hash(held.tobytes())
    unfilled = isinstance(held, (UninitializedBuffer, UninitializedParameter))
    if unfilled or held.layout != torch.strided or held.is_meta or held.is_quantized or not held.numel():
        return lambda: 0
    tensor = held.detach()
    flat = _flat(tensor)
    if flat is not None:
        return _sum(_whole(flat))

    def copied() -> Sum:
        return _sum(_whole(tensor.contiguous().reshape(-1)))()

    return copied


def _whole(flat: torch.Tensor) -> torch.Tensor:
    """Numbers in a row as whole numbers, the longest that fit."""
    whole = flat.view(torch.uint8)
    return whole.view(torch.int64) if whole.numel() % 8 == 0 and whole.data_ptr() % 8 == 0 else whole


def _sum(whole: torch.Tensor) -> Callable[[], Sum]:
    """The sums of the columns, with the memory laid out in rows of a prime length, as one number.

    So a number has its column, and weights that are shuffled move to others; a plain sum would stay the same.
    """
    inside = whole.numel() // COLUMNS * COLUMNS
    if whole.device.type != "cpu":
        weights = torch.arange(1, COLUMNS + 1, device=whole.device) * FACTOR
        rows, rest = whole[:inside].view(-1, COLUMNS), whole[inside:]
        return lambda: (rows.sum(dim=0) * weights).sum() + (rest * weights[: len(rest)]).sum()
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
