"""``Watcher``: looks on a pass that is not recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from interp_widgets.trace.names import SiteName
from interp_widgets.trace.recorder import counted, main_tensor, with_tensor
from interp_widgets.trace.shadow import run_module
from interp_widgets.trace.values import tensors_in

__all__ = ["Keep", "Watcher"]

Keep = Callable[[str, torch.Tensor], Any]
"""What is kept of a value: a function of its site's name and of the value, which the next operation may write into."""


def _copied(_site: str, value: torch.Tensor) -> torch.Tensor:
    return value.clone()


@dataclass
class Watcher:
    """Looks on a pass that is not recorded: reads and exchanges what modules return, or answers in their place.

    Args:
        edits: values that stand at the sites of modules.
        wanted: module path of each site that is read, by its name.
        known: what modules return that need not run.
        keep: what is kept of each value that is read, by default a copy.

    Attributes:
        found: what was kept, by the names of the sites.
    """

    edits: Mapping[str, torch.Tensor]
    wanted: Mapping[str, str]
    known: Mapping[str, torch.Tensor]
    keep: Keep = _copied
    found: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._edited = {counted(site): value for site, value in self.edits.items()}
        self._read = {counted(site): site for site in self.wanted}
        self._known = {counted(site): value for site, value in self.known.items()}
        self._paths = {SiteName.parse(name).path for name in (*self._edited, *self._read, *self._known)}
        self._calls: Counter[str] = Counter()
        self._called: set[str] = set()

    @property
    def was_passed_over(self) -> bool:
        """Whether a module did not run whose value was to be read or exchanged: torch took a fused way around it."""
        return not self._called.issuperset((*self._edited, *self._read, *self._known))

    def call(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See ``shadow.Observer``."""
        if path not in self._paths:
            return run_module(module, args, kwargs)
        name = f"{path}:{self._calls[path]}" if self._calls[path] else path
        self._calls[path] += 1
        self._called.add(name)
        output = self._known[name] if name in self._known else run_module(module, args, kwargs)
        tensors = list(tensors_in(output))
        main = dict(tensors).get(main_tensor(tensors))
        if main is None:
            return output
        if name in self._edited:
            output, main = with_tensor(output, main, self._edited[name].clone()), self._edited[name]
        if name in self._read:
            site = self._read[name]
            self.found[site] = self.keep(site, main)
        return output
