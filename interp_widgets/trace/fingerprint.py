"""``Fingerprint``: whether a model is still the one that was recorded."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from interp_widgets.trace.contents import Contents
from interp_widgets.trace.subject import Subject, address_of, version_of
from interp_widgets.words import say

__all__ = ["Fingerprint"]


class Fingerprint:
    """What a model held when it was recorded: asked cheaply before every answer, thoroughly before a new pass.

    The cheap question compares what the modules hold by identity, and tensors by address and version counter: it sees
    an optimiser's step, a replaced attribute, another hook. A write that torch does not count, through ``.data`` or a
    view of numpy's, shows in the checksums alone; they read all the memory once (``python -m tests.benchmarks.live``
    prints what that costs).

    Args:
        subject: what was run.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._held = Contents(subject.tables)
        self._recorded = self._counters()
        self._kinds = subject.kinds_now()
        self._uncounted: str | None = None  # the first that was found written into in a way that torch does not count
        self._sums = dict(zip(self.names, subject.memory.sums(self.names), strict=True))

    @property
    def names(self) -> list[str]:
        """Names of the tensors whose memory can be looked through."""
        return self._subject.memory.names

    def name_of(self, tensor: torch.Tensor) -> str:
        """The name of a parameter that the pass has read, empty for any other tensor."""
        return self._subject.name_of(tensor)

    def _counters(self) -> list[tuple[int, int]]:
        return [(address_of(tensor), version_of(tensor)) for tensor in self._subject.tensors.values()]

    def changed(self) -> str | None:
        """The name of the first entry that is no longer what it was, such as ``layer1.0.conv1.weight``, or ``None``."""
        now = self._counters()
        if now != self._recorded:
            pairs = zip(self._subject.tensors, now, self._recorded, strict=True)
            changed = (name for name, present, before in pairs if present != before)
            found = next((name for name in changed if name not in self._subject.stored), None)
            if found is not None:
                return found
        if self._subject.kinds_now() != self._kinds:
            return say("the class of a module")
        changes = self._held.changes(self._subject.stored)
        return changes[0] if changes else self._uncounted

    def take_back(self) -> None:
        """Give the user's modules back what they held."""
        self._held.take_back()

    def written(self, names: Iterable[str]) -> str | None:
        """The first of some tensors that was written into uncounted, ``None`` if none was; `changed` knows it then."""
        asked = list(names)
        now = self._subject.memory.sums(asked)
        found = next((name for name, now in zip(asked, now, strict=True) if now != self._sums[name]), None)
        self._uncounted = self._uncounted or found
        return found
