"""Checksums of tensors: they see a write that torch does not count, through ``.data`` or a view of numpy's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

__all__ = ["Memory"]

Sum = int | torch.Tensor


class Memory:
    """The memory of some tensors, by name, looked through on demand."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.names = list(tensors)
        self._readers = {name: _reader(tensor) for name, tensor in tensors.items()}

    def sums(self, names: Iterable[str]) -> list[int]:
        """The sum of each tensor's memory, read as whole numbers: any single change changes it."""
        sums = [self._readers[name]() for name in names]
        elsewhere = {place: each for place, each in enumerate(sums) if isinstance(each, torch.Tensor)}
        for device in {each.device for each in elsewhere.values()}:  # wait for each device once
            places = [place for place, each in elsewhere.items() if each.device == device]
            found = torch.stack([elsewhere[place] for place in places]).tolist()
            for place, number in zip(places, found, strict=True):
                sums[place] = number
        return list(map(int, sums))


def _reader(tensor: torch.Tensor) -> Callable[[], Sum]:
    """What reads a tensor's memory; nothing for a tensor without plain memory."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or not tensor.numel():
        return lambda: 0
    tensor = tensor.detach()
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
    if whole.device.type != "cpu":
        return whole.sum
    unsigned = whole.numpy().view(np.uint64 if whole.dtype == torch.int64 else np.uint8)
    return lambda: int(np.add.reduce(unsigned, dtype=np.uint64))  # torch adds whole numbers up several times slower


def _flat(tensor: torch.Tensor) -> torch.Tensor | None:
    """All numbers in a row without a copy, ``None`` where they do not lie densely."""
    if tensor.is_contiguous():
        return tensor.reshape(-1)
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).reshape(-1)
    return None
