"""One table, four ways out: Markdown, JSON, CSV rows, and the terminal."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearken.metrics.agreement import Interval

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Table", "as_json", "cell", "markdown", "plain", "rows_csv", "show", "write"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Cell = Interval | float | int | str | None


@dataclass(frozen=True)
class Table:
    """A titled table: columns, rows of cells, notes to print under it, decimals of numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    decimals: int = 2


def cell(value: Cell, decimals: int = 2) -> str:
    """A cell as text; an interval as "value [low, high]", what is not a number as "-".

    >>> cell(Interval(0.5, 0.25, 0.75, 10, 10))
    '0.50 [0.25, 0.75]'
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, Interval):
        middle = cell(value.value, decimals)
        if not (math.isfinite(value.low) and math.isfinite(value.high)):
            return middle
        return f"{middle} [{cell(value.low, decimals)}, {cell(value.high, decimals)}]"
    # + 0.0 turns a rounded -0.0 into 0.0.
    return (
        f"{round(value, decimals) + 0.0:.{decimals}f}" if isinstance(value, float) else str(value)
    )


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown, its notes below."""
    lines = [f"## {table.title}", "", _line(table.columns), _line(["---"] * len(table.columns))]
    lines += [_line([cell(c, table.decimals) for c in row]) for row in table.rows]
    lines += ["", *[f"- {note}" for note in table.notes], ""]
    return "\n".join(lines)


def as_json(table: Table) -> dict[str, Any]:
    """The table as JSON values: rows by column name, intervals as objects, NaN as null."""
    rows = [dict(zip(table.columns, map(plain, r), strict=True)) for r in table.rows]
    return {"title": table.title, "rows": rows, "notes": list(table.notes)}


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV. Text that a spreadsheet would run as a formula gets a leading quote."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: _safe(v) for k, v in row.items()})
    return buffer.getvalue()


def write(
    folder: Path, tables: Sequence[Table], rows: Sequence[Mapping[str, Any]], head: str = ""
) -> None:
    """Write table.md (`head` above all), table.json and rows.csv, each whole or not at all."""
    from hearken import media

    texts = {
        "table.md": (head and f"{head}\n\n") + "\n".join(markdown(t) for t in tables),
        "table.json": json.dumps([as_json(t) for t in tables], indent=1) + "\n",
        "rows.csv": rows_csv(rows),
    }
    for name, text in texts.items():
        with media.atomic(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def show(tables: Sequence[Table], head: str = "") -> None:
    """Print `head` and the tables on stdout; values alone where intervals would not fit."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    console = Console()
    if head:
        console.print(f"{escape(head)}\n", highlight=False)
    for table in tables:
        narrow = 21 * len(table.columns) > console.width
        grid = RichTable(title=escape(table.title))
        for i, name in enumerate(table.columns):
            grid.add_column(escape(name), justify="left" if i == 0 else "right")
        for row in table.rows:
            brief = [c.value if narrow and isinstance(c, Interval) else c for c in row]
            grid.add_row(*[escape(cell(c, table.decimals)) for c in brief])
        console.print(grid)
        for note in table.notes:
            console.print(f"  {escape(note)}", highlight=False)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


def plain(value: Cell) -> Any:
    """A cell as a JSON value: an interval as an object, what is not a number as None."""
    if isinstance(value, Interval):
        parts = {"value": value.value, "low": value.low, "high": value.high}
        sizes = {"count": value.count, "clusters": value.clusters}
        return {**{k: plain(v) for k, v in parts.items()}, **sizes}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _safe(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
