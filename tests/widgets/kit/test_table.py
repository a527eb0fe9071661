"""`Table` without a browser: rows that are no tree, or do not fit the columns, are refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets import TraitError

from interp_widgets.widgets.kit.table import Table

COLUMNS = [{"title": "module", "number": False}, {"title": "parameters", "number": True}]
ROW = {"path": "a", "parent": -1, "cells": ["a", "3"], "keys": [None, 3], "reason": ""}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"path": "a", "parent": -1}], r"rows\[0\] needs 'cells' \(list\), got None"),
        ([ROW | {"reason": None}], r"rows\[0\] needs 'reason' \(str\), got None"),
        ([ROW | {"parent": 0}], r"rows\[0\]\['parent'\] must be -1 or the index of a node before it, got 0"),
        ([ROW, ROW], r"rows\[1\]\['path'\] must be unique, got 'a' twice"),
        ([ROW | {"cells": ["a"]}], r"a text and a key for each of 2 columns, got \['a'\] and \[None, 3\]"),
        ([ROW | {"cells": ["a", 3]}], r"a text and a key for each of 2 columns, got \['a', 3\] and \[None, 3\]"),
        ([ROW | {"keys": [None]}], r"a text and a key for each of 2 columns, got \['a', '3'\] and \[None\]"),
        ([ROW | {"keys": [None, float("nan")]}], r"rows\[0\]\['keys'\] must be finite numbers or None, got nan"),
        ([ROW | {"keys": [None, "3"]}], r"rows\[0\]\['keys'\] must be finite numbers or None, got '3'"),
    ],
)
def test_rows_that_are_none_are_refused_in_words(rows: list[dict[str, Any]], sentence: str) -> None:
    table = Table()
    with pytest.raises(TraitError, match=sentence):
        table.show(COLUMNS, rows)
    with pytest.raises(TraitError, match=sentence):
        Table(columns=COLUMNS, rows=rows)
    table.close()


def test_a_column_without_a_title_is_refused_in_words() -> None:
    with pytest.raises(TraitError, match=r"columns\[0\] needs 'title' \(str\), got 3"):
        Table(columns=[{"title": 3, "number": True}])


def test_other_columns_replace_the_rows_that_fitted_the_last_ones() -> None:
    table = Table(columns=COLUMNS, rows=[ROW])
    table.show(COLUMNS[:1], [ROW | {"cells": ["b"], "keys": [None]}], ["one column"])
    assert [row["cells"] for row in table.rows] == [["b"]]
    assert table.notes == ["one column"]
    table.close()
