"""Which module ran in which: what a pass that changes one value need not run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from torch import nn

from interp_widgets.trace.names import SiteName

__all__ = ["Calls"]


class Calls:
    """The module calls of a recorded pass.

    Args:
        outer: the name of each call's site, and that of the call that it ran in; empty for the model itself.
        given: the values that each call was given; the model's own call is the one without a name.
        seconds: how long each call took that ended; on an accelerator until its work was handed over, not until it was
            done.
        whole: the calls that returned one tensor and nothing else.
        stateful: whether a module stored something during the pass, which others may read.
    """

    def __init__(
        self,
        outer: Mapping[str, str],
        given: Mapping[str, tuple[int, ...]],
        seconds: Mapping[str, float],
        whole: Iterable[str],
        *,
        stateful: bool,
    ) -> None:
        self.given = given
        self.seconds = seconds
        self._outer = dict(outer)
        self._whole = frozenset(whole)
        self._stateful = stateful

    def outer(self, call: str) -> str:
        """The call that a call ran in; empty for the model's own code."""
        return self._outer.get(call, "")

    def around(self, call: str) -> Iterator[str]:
        """The calls that a call ran in, the innermost first."""
        while call := self._outer.get(call, ""):
            yield call

    def replaceable(self, model: nn.Module, kept: Iterable[str]) -> frozenset[str]:
        """The calls that a value can stand for, so that nobody notices that the module did not run.

        Not those with hooks of the user's, which would see the value a second time; nor those with a call in them that
        is in ``kept``, or of a module that also runs elsewhere, whose calls would be counted wrongly.
        """
        if self._stateful:
            return frozenset()
        needed = {outer for call in kept for outer in (call, *self.around(call))}
        return frozenset(
            call
            for call in self._self_contained - needed
            if not _hooked(model.get_submodule(SiteName.parse(call).path))
        )

    def outermost(self, calls: Iterable[str]) -> set[str]:
        """Those that ran in none of the others."""
        chosen = set(calls)
        return {call for call in chosen if chosen.isdisjoint(self.around(call))}

    @cached_property
    def _self_contained(self) -> frozenset[str]:
        """Calls of ``whole`` with no module in them that runs elsewhere too."""
        calls_of: dict[str, list[str]] = {}
        for call in self._outer:
            calls_of.setdefault(SiteName.parse(call).path, []).append(call)
        around = {call: frozenset(self.around(call)) for call in self._outer}
        leaky = set()
        for calls in calls_of.values():
            for call in calls:
                leaky |= {outer for outer in around[call] if any(outer not in around[other] for other in calls)}
        return self._whole - leaky


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)  # of the user's: ours are no hooks
