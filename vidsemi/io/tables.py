"""Tables as text: aligned Markdown for files and terminals, and CSV cells that spreadsheets do not execute."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

JOINERS = "\u200c\u200d"  # not printable, but some scripts and emoji need them
FORMULA_STARTS = ("=", "+", "-", "@")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int | None = None) -> list[str]:
    """Format a Markdown table that also reads well on a terminal.

    Line breaks and control characters in cells are replaced. The first `text_columns` are aligned left, the others,
    numbers, right; None aligns all columns left. All lines returned have the same width.
    """
    table = [[_markdown_cell(text) for text in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    left = len(header) if text_columns is None else text_columns
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    rules = ["-" * (width + 2) if column < left else "-" * (width + 1) + ":" for column, width in enumerate(widths)]
    return [lines[0], f"|{'|'.join(rules)}|", *lines[1:]]


def _markdown_cell(text: str) -> str:
    return printable(" ".join(text.split())).replace("|", "\\|")


def printable(text: str) -> str:
    """Escape control characters, which a terminal would execute."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS else ascii(c)[1:-1] for c in text)


def shorten_rows(rows: Sequence[tuple[str, ...]], most: int = 20) -> list[tuple[str, ...]]:
    """Replace the middle rows of a long table by one row that says how many were left out."""
    if len(rows) <= most:
        return list(rows)
    head = most // 2
    left_out = (f"… {len(rows) - most} more", *[""] * (len(rows[0]) - 1))
    return [*rows[:head], left_out, *rows[len(rows) - (most - head) :]]


def csv_cell(text: str) -> str:
    """Make a text one line that no spreadsheet executes: an apostrophe goes before what looks like a formula.

    Leading white space is removed, since some spreadsheets skip tabs and carriage returns before a formula.
    """
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def inert_cell(text: str) -> str:
    """Keep a text such as a path as it is, but with an apostrophe before it if a spreadsheet would execute it."""
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) or text.startswith(("\t", "\r")) else text


def from_csv_cell(cell: str) -> str:
    """Undo `csv_cell`."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA_STARTS) else cell


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Format one or more records with the same keys as CSV with a header; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(records[0])
    writer.writerows([_csv_value(value) for value in record.values()] for record in records)
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return csv_cell(value) if isinstance(value, str) else value
