"""A table is told in a notebook, in a terminal and to pandas; nothing in it becomes markup."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from interp_widgets.errors import MissingExtraError
from interp_widgets.inspectors import table
from interp_widgets.inspectors.table import Column, Table, compact


@dataclass(frozen=True)
class Fruit:
    name: str
    count: int


class Fruits(Table[Fruit]):
    def columns(self) -> Sequence[Column[Fruit]]:
        return Column("name", lambda row: row.name, is_number=False), Column("count", lambda row: f"{row.count:,}")

    def notes(self) -> Sequence[str]:
        return (f"{len(self.rows)} kinds <in all>",)


FRUITS = Fruits((Fruit("fig", 1200), Fruit("<b>plum</b>", 7)))


def test_text_has_its_columns_aligned() -> None:
    assert str(FRUITS).splitlines() == [
        "name         count",
        "──────────────────",
        "fig          1,200",
        "<b>plum</b>      7",
        "──────────────────",
        "2 kinds <in all>",
    ]


def test_nothing_that_came_from_outside_is_markup() -> None:
    found = FRUITS._repr_html_()
    assert "&lt;b&gt;plum&lt;/b&gt;" in found
    assert "&lt;in all&gt;" in found
    assert "<b>" not in found


class Titled(Fruits):
    def title(self) -> str:
        return "<fruit>"


def test_a_title_stands_above() -> None:
    found = Titled(FRUITS.rows)
    assert str(found) == f"<fruit>\n{FRUITS}"
    assert "<caption>&lt;fruit&gt;</caption>" in found._repr_html_()
    assert "<caption>" not in FRUITS._repr_html_()


def test_a_long_table_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_ROWS", 1)
    found = FRUITS._repr_html_()
    assert "plum" not in found
    assert "1 more rows: print() shows them all" in found
    assert "plum" in str(FRUITS)


def test_a_data_frame_has_the_values_themselves() -> None:
    pytest.importorskip("pandas")
    found = FRUITS.to_dataframe()
    assert list(found.columns) == ["name", "count"]
    assert found["count"].tolist() == [1200, 7]
    assert Fruits(()).to_dataframe().empty


def test_without_pandas_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pandas(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(MissingExtraError, match="pip install pandas"):
        FRUITS.to_dataframe()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (999.6, "1 k"),
        (1000, "1 k"),
        (11_689_512, "11.7 M"),
        (-2.5e9, "-2.5 G"),
        (4e15, "4e+03 T"),
    ],
)
def test_compact_numbers_keep_three_digits(number: float, text: str) -> None:
    assert compact(number) == text
