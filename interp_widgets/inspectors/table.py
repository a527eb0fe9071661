"""``Table``: what an inspector found, as rows: a table in a notebook, text in a terminal, a data frame for pandas."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from interp_widgets.errors import MissingExtraError
from interp_widgets.inspectors.outline import times
from interp_widgets.words import say

__all__ = ["Column", "Table", "compact", "figure_text", "shape_text"]

Row = TypeVar("Row")
MOST_ROWS = 500  # that a notebook shows: a browser draws more of them slowly, and nobody reads them
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Column(Generic[Row]):
    """How one property of a row is shown.

    Args:
        title: the head of the column.
        text: the property in words.
        is_number: whether it stands at the right.
        key: by what rows are sorted; ``None``: by the text. A row of which it gives ``None`` or NaN comes last.
    """

    title: str
    text: Callable[[Row], str]
    is_number: bool = True
    key: Callable[[Row], float | None] | None = None

    @classmethod
    def of_figures(
        cls, title: str, value: Callable[[Row], float | None], text: Callable[[float | None], str] | None = None
    ) -> Column[Row]:
        """A column of numbers, sorted as such; by default in three digits, and empty where one is missing."""
        written = figure_text if text is None else text
        return cls(title, lambda row: written(value(row)), key=value)


@dataclass(frozen=True)
class Table(Generic[Row]):
    """Rows of data, all of one kind.

    An inspector's own kind derives from it, and says what its ``columns`` are, and in ``notes`` what stands below them.

    Args:
        rows: frozen dataclasses; their fields are the columns of the data frame.
    """

    rows: tuple[Row, ...]

    def columns(self) -> Sequence[Column[Row]]:
        """What is shown of a row."""
        raise NotImplementedError

    def title(self) -> str:
        """What stands above the table; nothing by default."""
        return ""

    def notes(self) -> Sequence[str]:
        """Sentences below the table: sums, and what is wrong."""
        return ()

    def __str__(self) -> str:
        columns = self.columns()
        cells = [[column.title, *map(column.text, self.rows)] for column in columns]
        lines = [line.rstrip() for line in map("  ".join, zip(*map(_aligned, columns, cells), strict=True))]
        rule = "─" * max(map(len, lines))
        title, notes = filter(None, [self.title()]), self.notes()
        return "\n".join([*title, lines[0], rule, *lines[1:], rule, *notes])

    def _repr_html_(self) -> str:
        columns = self.columns()
        head = _line("th", [column.title for column in columns], columns)
        shown = self.rows[:MOST_ROWS]
        body = "".join(f"<tr>{_line('td', [column.text(row) for column in columns], columns)}</tr>" for row in shown)
        notes = list(self.notes())
        if len(shown) < len(self.rows):
            notes.append(say("{count:,} more rows: print() shows them all", count=len(self.rows) - len(shown)))
        below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
        caption = f"<caption>{html.escape(self.title())}</caption>" if self.title() else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame`` with a column for each field of a row; the values themselves, not their words.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - optional
        except ImportError as error:
            raise MissingExtraError(
                say("a data frame needs pandas, which is not installed: pip install pandas")
            ) from error
        names = [field.name for field in dataclasses.fields(self.rows[0])] if self.rows else []  # type: ignore[arg-type]  # rows are dataclasses
        return pd.DataFrame([[getattr(row, name) for name in names] for row in self.rows], columns=names)


def compact(number: float, unit: str = "") -> str:
    """A number in three digits with its unit and the prefix of its size.

    >>> compact(11689512), compact(999), compact(3.6e9, "B"), compact(512, "B")
    ('11.7 M', '999', '3.6 GB', '512 B')
    """
    for size, prefix in PREFIXES:
        if abs(number) >= size * 0.9995:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number:.3g} {unit}".rstrip()


def figure_text(number: complex | None) -> str:
    """A number in three digits; empty where there is none, or NaN.

    >>> figure_text(0.012345), figure_text(None)
    ('0.0123', '')
    """
    return "" if number is None or number != number else f"{number:.3g}"  # noqa: PLR0124 - NaN, also a complex one


def shape_text(shape: Sequence[int] | None, missing: str = "") -> str:
    """A shape as people write it; ``()`` of a single number, ``missing`` where there is none.

    >>> shape_text((8,)), shape_text(()), shape_text(None, "?")
    ('8', '()', '?')
    """
    return missing if shape is None else times(shape) or "()"


def _aligned(column: Column[Any], cells: Sequence[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.rjust(width) if column.is_number else cell.ljust(width) for cell in cells]


def _line(tag: str, cells: Iterable[str], columns: Sequence[Column[Any]]) -> str:
    # A number stays in one line; words keep the spaces they begin with, and long sentences are broken.
    styles = [
        "text-align: right; white-space: nowrap" if column.is_number else "text-align: left; white-space: pre-wrap"
        for column in columns
    ]
    return "".join(
        f'<{tag} style="{style}">{html.escape(cell)}</{tag}>' for cell, style in zip(cells, styles, strict=True)
    )
