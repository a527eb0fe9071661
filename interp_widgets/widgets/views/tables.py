"""``show_table``: what an inspector found, brought into the table of a view."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from interp_widgets.inspectors.table import Column, Table
from interp_widgets.widgets.kit import table as kit

__all__ = ["Place", "show_table"]

Row = TypeVar("Row")
LARGEST = sys.float_info.max  # an infinity is sorted as this: JSON has none


@dataclass(frozen=True)
class Place:
    """Where a row stands.

    Args:
        path: its name, which no other row has.
        parent: index of the row that it is in, -1 for none.
        reason: why it cannot be chosen; empty where it can.
    """

    path: str
    parent: int = -1
    reason: str = ""


def show_table(shown: kit.Table, found: Table[Row], place_of: Callable[[Row], Place]) -> None:
    """Replace columns, rows and notes of a widget by those of an inspector's table."""
    columns = found.columns()
    titles = [{"title": column.title, "number": column.is_number} for column in columns]
    rows = [_row(columns, row, place_of(row)) for row in found.rows]
    shown.show(titles, rows, found.notes())


def _row(columns: Sequence[Column[Row]], row: Row, place: Place) -> dict[str, Any]:
    cells = [column.text(row).strip() for column in columns]  # the widget indents the names itself
    keys = [_key(column, row) for column in columns]
    return {"path": place.path, "parent": place.parent, "cells": cells, "keys": keys, "reason": place.reason}


def _key(column: Column[Row], row: Row) -> float | None:
    """By what a row is sorted; where nothing is written there is nothing to compare."""
    if column.key is None or not column.text(row):
        return None
    key = column.key(row)
    if key is None or math.isnan(key):
        return None
    return min(max(key, -LARGEST), LARGEST)
