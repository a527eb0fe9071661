"""``check_nodes``: whether a list of dicts is a tree, for the widgets that draw one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets as t

from interp_widgets.words import say

__all__ = ["check_nodes"]

NODE: Mapping[str, type] = {"path": str, "parent": int}


def check_nodes(nodes: list[dict[str, Any]], fields: Mapping[str, type], *, trait: str) -> None:
    """Refuse what is no list of nodes, each with a unique ``path``, a ``parent`` before it, and these further fields.

    Args:
        fields: the type of each.
        trait: the name of the list, for the sentence.

    Raises:
        TraitError: what is wrong with which node.
    """
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        for field, kind in {**NODE, **fields}.items():
            if not isinstance(node.get(field), kind):
                raise t.TraitError(
                    say(
                        "{trait}[{index}] needs {field!r} ({kind}), got {value!r}",
                        trait=trait,
                        index=index,
                        field=field,
                        kind=kind.__name__,
                        value=node.get(field),
                    )
                )
        if not -1 <= node["parent"] < index:
            raise t.TraitError(
                say(
                    "{trait}[{index}]['parent'] must be -1 or the index of a node before it, got {parent}",
                    trait=trait,
                    index=index,
                    parent=node["parent"],
                )
            )
        if node["path"] in seen:
            raise t.TraitError(
                say(
                    "{trait}[{index}]['path'] must be unique, got {path!r} twice",
                    trait=trait,
                    index=index,
                    path=node["path"],
                )
            )
        seen.add(node["path"])
