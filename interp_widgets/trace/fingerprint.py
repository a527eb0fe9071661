"""``Fingerprint``: whether a model is still the one that was recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from interp_widgets.trace.contents import Contents
from interp_widgets.trace.in_place import InPlace
from interp_widgets.trace.shadow import Shadow, version_of

__all__ = ["Fingerprint", "checksum"]


class Fingerprint:
    """What a model held when it was recorded: asked cheaply before every answer, thoroughly before a new pass.

    The cheap question compares what the modules hold by identity, and tensors by address and version counter: it sees
    an optimiser's step, a replaced attribute, another hook. A write that torch does not count, through ``.data`` or a
    view of numpy's, shows in the checksums alone; they read all the memory once (``python -m tests.benchmarks.live``
    prints what that costs).

    Args:
        shadow: what was run.
        tensors: the memory that the pass has read, by name; checksums are taken of these.
    """

    def __init__(self, shadow: Shadow | InPlace, tensors: dict[str, torch.Tensor]) -> None:
        self._shadow = shadow
        self._held = Contents(shadow.tables)
        self._tensors = {
            f"{path}.{name}" if path else name: tensor
            for path, table in shadow.tables
            for name, tensor in (table.items() if isinstance(table, dict) else ())
            if isinstance(tensor, torch.Tensor)
        }
        self._recorded = self._counters()
        self._read = tensors
        self._sums = {name: checksum(tensor) for name, tensor in tensors.items()}

    def _counters(self) -> list[tuple[int, int]]:
        return [(tensor.data_ptr(), version_of(tensor)) for tensor in self._tensors.values()]

    def changed(self) -> str | None:
        """The name of the first entry that is no longer what it was, such as ``layer1.0.conv1.weight``, or ``None``."""
        if self._counters() != self._recorded:
            pairs = zip(self._tensors, self._counters(), self._recorded, strict=True)
            return next(name for name, now, before in pairs if now != before)
        changes = self._held.changes(self._shadow.stored)
        return changes[0] if changes else None

    def written(self, names: Iterable[str] | None = None) -> str | None:
        """The first tensor that was written into uncounted, ``None`` if none was.

        Args:
            names: of the tensors to look at; all by default.
        """
        asked = self._read if names is None else names
        pairs = {name: (checksum(self._read[name]), self._sums[name]) for name in asked}
        return next((name for name, (now, before) in pairs.items() if not _equal(now, before)), None)


def _equal(now: Any, before: Any) -> bool:
    return bool(now == before)


def checksum(tensor: torch.Tensor) -> Any:
    """The sum of a tensor's memory, read as whole numbers: any single change changes it.

    A number, or on an accelerator a tensor ``()`` of which nobody has waited; 0 for what has no plain memory.
    """
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or not tensor.numel():
        return 0
    flat = _flat(tensor.detach())
    if flat.nbytes % 8 or flat.data_ptr() % 8:
        whole = flat.view(torch.uint8)
    else:
        whole = flat.view(torch.uint8).view(torch.int64)
    if whole.device.type != "cpu":
        return whole.sum()
    # torch adds whole numbers up several times slower
    return int(
        np.add.reduce(whole.numpy().view(np.uint64 if whole.dtype == torch.int64 else np.uint8), dtype=np.uint64)
    )


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """All numbers in a row, without a copy where they lie densely."""
    if tensor.is_contiguous():
        return tensor.reshape(-1)
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).reshape(-1)
    return tensor.contiguous().reshape(-1)
