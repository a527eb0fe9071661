"""All explainers by name: those of this package, and those that other packages bring."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points

from interp_widgets.explainers.base import Explainer
from interp_widgets.words import say

__all__ = ["GROUP", "Registry"]

GROUP = "interp_widgets.explainers"
"""Entry point group of the explainers of other packages."""


class Registry(Mapping[str, type[Explainer]]):
    """Explainer classes by class name, in the order of the menu.

    Another package adds one by an entry point of the group ``interp_widgets.explainers`` that loads an ``Explainer``
    subclass. They are loaded when somebody asks for the whole list or for a name that is not ours; one that does not
    load, or takes a name that is there, is skipped with a warning that names it.
    """

    def __init__(self, own: Iterable[type[Explainer]]) -> None:
        self._own = {kind.__name__: kind for kind in own}
        self._all: dict[str, type[Explainer]] | None = None

    def __getitem__(self, name: str) -> type[Explainer]:
        if name in self._own:  # plug-ins are loaded only when somebody asks for one
            return self._own[name]
        return self._with_plugins()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._with_plugins())

    def __len__(self) -> int:
        return len(self._with_plugins())

    def __repr__(self) -> str:
        return f"<explainers: {', '.join(self)}>"

    def _with_plugins(self) -> dict[str, type[Explainer]]:
        if self._all is None:
            self._all = dict(self._own)  # before loading: a plug-in may look at the list itself
            for entry in entry_points(group=GROUP):
                where = say("explainer plug-in {name!r} ({place})", name=entry.name, place=entry.value)
                try:
                    kind = entry.load()
                except Exception as error:  # noqa: BLE001 - a stranger's package may raise anything
                    failed = say(
                        "{where} was skipped: {kind}: {error}", where=where, kind=type(error).__name__, error=error
                    )
                    warnings.warn(failed, RuntimeWarning, stacklevel=4)
                    continue
                if not (isinstance(kind, type) and issubclass(kind, Explainer)):
                    other = say("{where} was skipped: it is no Explainer class", where=where)
                    warnings.warn(other, RuntimeWarning, stacklevel=4)
                elif kind.__name__ in self._all:
                    name = kind.__name__
                    taken = say(
                        "{where} was skipped: there is an explainer named {name} already", where=where, name=name
                    )
                    warnings.warn(taken, RuntimeWarning, stacklevel=4)
                else:
                    self._all[kind.__name__] = kind
        return self._all
