"""``SiteName``: what a recorded tensor is called. The only place that reads such names."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

__all__ = ["SiteName"]

# A path, the number of the call, and what of that call: a further tensor ``[1]`` or an operation inside ``/add:2``.
PARTS = re.compile(r"(?P<path>[^:/\[]*)(?::(?P<call>\d+))?(?P<part>[/\[].*)?")


class SiteName(NamedTuple):
    """The name of a site in its parts: ``layer4.2.relu:2``, ``layer4.2/add`` or ``lstm[1]['cell']``.

    Args:
        path: of the module; empty for the model's own code.
        call: which of several calls, in ``0..``; ``None`` for a module that was called once.
        part: what of that call, empty for what the module returned.
    """

    path: str
    call: int | None = None
    part: str = ""

    @classmethod
    def parse(cls, name: str) -> Self:
        """The parts of a name; one that is none becomes a path."""
        found = PARTS.fullmatch(name)
        if found is None:
            return cls(name)
        number = found["call"]
        return cls(found["path"], None if number is None else int(number), found["part"] or "")

    @property
    def is_output(self) -> bool:
        """Whether it is the main tensor that a module returned."""
        return bool(self.path) and not self.part

    @property
    def counted(self) -> Self:
        """The name while the pass runs, when nobody knows yet whether there will be a second call."""
        return self._replace(call=self.call or None)

    def __str__(self) -> str:
        number = "" if self.call is None else f":{self.call}"
        return f"{self.path}{number}{self.part}"
