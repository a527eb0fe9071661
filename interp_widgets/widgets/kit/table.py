"""``Table``: rows with columns, some of them in others, that the browser sorts, filters, opens and closes.

Only the rows in sight are made, so that thousands are no more work than twenty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets as t

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.help_trait import help_trait
from interp_widgets.widgets.kit.tree_nodes import check_nodes
from interp_widgets.words import say

__all__ = ["Table"]

COLUMN: Mapping[str, type] = {"title": str, "number": bool}
ROW: Mapping[str, type] = {"cells": list, "keys": list, "reason": str}


class Table(BrowserWidget):
    """A table of a tree; ``selected`` is the path of the chosen row.

    Each column is a dict: ``title``, ``number`` (whether it stands at the right, and its largest come first). Each row
    is a dict: ``path`` (unique), ``parent`` (index of a row before it, or -1), ``cells`` (a text for each column),
    ``keys`` (for each column the number it is sorted by, or ``None``: by its text), ``reason`` (why it cannot be
    chosen; empty: it can). Rows are sorted among those of the same parent.

    >>> table = Table()
    >>> row = {"path": "conv", "parent": -1, "cells": ["conv", "224"], "keys": [None, 224], "reason": ""}
    >>> table.show([{"title": "module", "number": False}, {"title": "parameters", "number": True}], [row])
    >>> table.rows[0]["path"]
    'conv'
    """

    _text = module("table")

    columns = t.List(t.Dict(), help="title and kind of each; the first holds the tree").tag(sync=True)
    rows = t.List(t.Dict(), help="parents before children").tag(sync=True)
    notes = t.List(t.Unicode(), help="sentences below the table").tag(sync=True)
    selected = t.Unicode("", help="path of the chosen row; empty, or of no row: none").tag(sync=True)
    query = t.Unicode("", help="what is typed into the search field").tag(sync=True)
    searched = t.Bool(True, help="whether the search field, and how many levels are open, stand above").tag(sync=True)
    sorted_by = t.Int(-1, min=-1, help="index of a column; -1: rows as they are given").tag(sync=True)
    descending = t.Bool(False, help="the largest first").tag(sync=True)
    depth = t.Int(0, min=0, help="rows that are in fewer others than this are open").tag(sync=True)
    toggled = t.List(t.Unicode(), help="paths of rows that are open or closed against the depth").tag(sync=True)
    height = t.Int(360, min=72, max=4000, help="CSS pixels at most; the rows scroll inside").tag(sync=True)
    label = t.Unicode("", help="whose rows these are, for screen readers").tag(sync=True)
    help = help_trait()

    def show(
        self, columns: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], notes: Sequence[str] = ()
    ) -> None:
        """Replace columns, rows and notes in one message.

        Raises:
            TraitError: these are no columns, or no rows of a tree with a cell for each column.
        """
        with self.hold_sync():
            self.rows = []
            self.columns = list(columns)
            self.rows = list(rows)
            self.notes = list(notes)

    @t.validate("columns")
    def _validate_columns(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        columns: list[dict[str, Any]] = proposal["value"]
        for index, column in enumerate(columns):
            for field, kind in COLUMN.items():
                if not isinstance(column.get(field), kind):
                    raise t.TraitError(
                        say(
                            "{trait}[{index}] needs {field!r} ({kind}), got {value!r}",
                            trait="columns",
                            index=index,
                            field=field,
                            kind=kind.__name__,
                            value=column.get(field),
                        )
                    )
        return columns

    @t.validate("rows")
    def _validate_rows(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = proposal["value"]
        check_nodes(rows, ROW, trait="rows")
        for index, row in enumerate(rows):
            self._check_cells(index, row)
        return rows

    def _check_cells(self, index: int, row: Mapping[str, Any]) -> None:
        count = len(self.columns)
        fits = len(row["cells"]) == len(row["keys"]) == count
        if not fits or not all(isinstance(cell, str) for cell in row["cells"]):
            raise t.TraitError(
                say(
                    "rows[{index}] needs a text and a key for each of {count} columns, got {cells!r} and {keys!r}",
                    index=index,
                    count=count,
                    cells=row["cells"],
                    keys=row["keys"],
                )
            )
        wrong = [key for key in row["keys"] if key is not None and not _is_finite(key)]
        if wrong:
            raise t.TraitError(
                say("rows[{index}]['keys'] must be finite numbers or None, got {key!r}", index=index, key=wrong[0])
            )


def _is_finite(key: object) -> bool:
    return isinstance(key, (int, float)) and math.isfinite(key)
