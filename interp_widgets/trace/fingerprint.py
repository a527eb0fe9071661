"""``Fingerprint``: whether a model is still the one that was recorded."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from interp_widgets.trace.checksum import checksums
from interp_widgets.trace.contents import Contents
from interp_widgets.trace.in_place import InPlace
from interp_widgets.trace.shadow import Shadow, version_of

__all__ = ["Fingerprint"]


class Fingerprint:
    """What a model held when it was recorded: asked cheaply before every answer, thoroughly before a new pass.

    The cheap question compares what the modules hold by identity, and tensors by address and version counter: it sees
    an optimiser's step, a replaced attribute, another hook. A write that torch does not count, through ``.data`` or a
    view of numpy's, shows in the checksums alone; they read all the memory once (``python -m tests.benchmarks.live``
    prints what that costs).

    Args:
        shadow: what was run.
    """

    def __init__(self, shadow: Shadow | InPlace) -> None:
        self._shadow = shadow
        self._held = Contents(shadow.tables)
        self._counted = {
            f"{path}.{name}" if path else name: tensor
            for path, table in shadow.tables
            for name, tensor in (table.items() if isinstance(table, dict) else ())
            if isinstance(tensor, torch.Tensor)
        }
        self._recorded = self._counters()
        # The copy has buffers of its own, but a new pass would begin with the user's.
        self._memory = {**dict(shadow.copy.named_parameters()), **dict(shadow.model.named_buffers())}
        self._names = {id(tensor): name for name, tensor in shadow.copy.named_parameters()}
        self._sums = dict(zip(self._memory, checksums(self._memory.values()), strict=True))

    @property
    def names(self) -> list[str]:
        """Names of the tensors whose memory can be looked through."""
        return list(self._memory)

    def name_of(self, tensor: torch.Tensor) -> str:
        """The name of a parameter that the pass has read, empty for any other tensor."""
        return self._names.get(id(tensor), "")

    def _counters(self) -> list[tuple[int, int]]:
        return [(tensor.data_ptr(), version_of(tensor)) for tensor in self._counted.values()]

    def changed(self) -> str | None:
        """The name of the first entry that is no longer what it was, such as ``layer1.0.conv1.weight``, or ``None``."""
        now = self._counters()
        if now != self._recorded:
            pairs = zip(self._counted, now, self._recorded, strict=True)
            changed = (name for name, present, before in pairs if present != before)
            found = next((name for name in changed if name not in self._shadow.stored), None)
            if found is not None:
                return found
        changes = self._held.changes(self._shadow.stored)
        return changes[0] if changes else None

    def written(self, names: Iterable[str]) -> str | None:
        """The first of some tensors that was written into uncounted, ``None`` if none was."""
        asked = list(names)
        now = checksums(self._memory[name] for name in asked)
        return next((name for name, found in zip(asked, now, strict=True) if found != self._sums[name]), None)
