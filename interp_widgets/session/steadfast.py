"""``Steadfast``: traits of which a refused change changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import traitlets as t

__all__ = ["Steadfast"]


class _RefusedError(t.TraitError):
    """What traitlets takes back the changes of a block for; ``error`` is what the user is told."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Steadfast(t.HasTraits):
    """Traits whose validators may raise any error, also at the end of ``hold_trait_notifications``.

    traitlets checks what was set in such a block at its end, and takes all of it back, but only for its own
    ``TraitError``.
    """

    CHECKED: ClassVar[tuple[str, ...]] = ()
    """The traits with validators, in the order in which they are checked."""

    @contextmanager
    def hold_trait_notifications(self) -> Iterator[None]:
        """Set several traits at once; all of them stay as they were when one is refused."""
        if self._cross_validation_lock:  # inside another such block, which checks for both
            yield
            return
        try:
            with super().hold_trait_notifications():
                before = dict(self._trait_values)
                try:
                    yield
                    self._check_changed(before)
                except BaseException as error:
                    raise _RefusedError(error) from error
        except _RefusedError as refused:
            self.taken_back()
            raise refused.error from None

    def taken_back(self) -> None:
        """All changes of a block were taken back: forget what was prepared for them."""

    def _check_changed(self, before: dict[str, Any]) -> None:
        """Raise what setting each of the changed traits by itself would raise."""
        traits = self.traits()
        for name in self.CHECKED:
            value = getattr(self, name)
            if value is not before.get(name):
                traits[name]._cross_validate(self, value)  # noqa: SLF001 - there is no public way
