"""An inspector's table in a widget: texts as they are, keys that can be sorted and sent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from interp_widgets.inspectors.table import Column, Table
from interp_widgets.widgets.kit import table as kit
from interp_widgets.widgets.views.tables import Place, show_table


@dataclass(frozen=True)
class Row:
    name: str
    size: float | None


class Sizes(Table[Row]):
    def columns(self) -> Sequence[Column[Row]]:
        return Column("name", lambda row: f"  {row.name}", is_number=False), Column.of_figures(
            "size", lambda row: row.size
        )

    def notes(self) -> Sequence[str]:
        return ("two columns",)


def test_numbers_are_keys_and_what_is_missing_or_infinite_can_be_sent() -> None:
    sizes = {"a": 3.25, "b": None, "c": float("nan"), "d": float("inf"), "e": -float("inf"), "f": 0.0}
    shown = kit.Table()
    show_table(shown, Sizes(tuple(Row(*item) for item in sizes.items())), lambda row: Place(row.name, reason="no"))
    assert shown.columns == [{"title": "name", "number": False}, {"title": "size", "number": True}]
    assert [row["cells"] for row in shown.rows] == [
        ["a", "3.25"],
        ["b", ""],
        ["c", ""],
        ["d", "inf"],
        ["e", "-inf"],
        ["f", "0"],
    ]
    largest = sys.float_info.max
    assert [row["keys"] for row in shown.rows] == [[None, key] for key in (3.25, None, None, largest, -largest, 0.0)]
    assert {(row["parent"], row["reason"]) for row in shown.rows} == {(-1, "no")}
    assert shown.notes == ["two columns"]
    shown.close()
