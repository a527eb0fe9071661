"""Checksums of tensors: they see a write that torch does not count, through ``.data`` or a view of numpy's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

__all__ = ["checksums"]


def checksums(tensors: Iterable[torch.Tensor]) -> list[int]:
    """The sum of each tensor's memory, read as whole numbers: any single change changes it.

    0 for a tensor without plain memory.
    """
    sums = [_checksum(tensor) for tensor in tensors]
    elsewhere = {place: each for place, each in enumerate(sums) if isinstance(each, torch.Tensor)}
    for device in {each.device for each in elsewhere.values()}:  # wait for each device once
        places = [place for place, each in elsewhere.items() if each.device == device]
        found = torch.stack([elsewhere[place] for place in places]).tolist()
        for place, number in zip(places, found, strict=True):
            sums[place] = number
    return [int(each) for each in sums]


def _checksum(tensor: torch.Tensor) -> int | torch.Tensor:
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or not tensor.numel():
        return 0
    whole = _flat(tensor.detach()).view(torch.uint8)
    if whole.numel() % 8 == 0 and whole.data_ptr() % 8 == 0:
        whole = whole.view(torch.int64)
    if whole.device.type != "cpu":
        return whole.sum()
    unsigned = whole.numpy().view(np.uint64 if whole.dtype == torch.int64 else np.uint8)
    return int(np.add.reduce(unsigned, dtype=np.uint64))  # torch adds whole numbers up several times slower


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """All numbers in a row, without a copy where they lie densely."""
    if tensor.is_contiguous():
        return tensor.reshape(-1)
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).reshape(-1)
    return tensor.contiguous().reshape(-1)
