"""Tables as text, and the escaping of strangers' texts: of terminals, Markdown, JSON and CSV.

Names of files, classes and hashtags come from strangers. Whatever is shown or written passes one of the functions here.
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

ENTITIES = {"<": "&lt;", "&": "&amp;"}  # which no renderer takes for the beginning of a tag or of an entity
JOINERS = "\u200c\u200d"  # not printable, but some scripts and emoji need them
# Text that a spreadsheet executes, or took for text only because of the apostrophes before it.
FORMULA = re.compile(r"'*(\s*[=+\-@]|[\t\r])")
# Markdown that formats, links, embeds or is HTML; underscores inside words do nothing.
MARKDOWN = re.compile(
    r"\\(?=[!-/:-@\[-`{-~]|$)|[`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|<(?=[\w/!?])|&(?=[#\w]+;)|(?<=\w):(?=//)|(?<=www)\."
)


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int | None = None, *, rendered: bool = False
) -> list[str]:
    """Format a Markdown table that also reads well on a terminal.

    Line breaks and control characters in cells are replaced. The first `text_columns` are aligned left, the others,
    numbers, right; None aligns all columns left. All lines returned have the same width. If it is to be `rendered`, in
    a file, cells are `markdown`.
    """
    cell_of = markdown if rendered else _terminal_cell
    table = [[cell_of(text) for text in row] for row in (header, *rows)]
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


def _terminal_cell(text: str) -> str:
    return printable(" ".join(text.split())).replace("|", "\\|")


def markdown(text: str) -> str:
    """Make a text one line of Markdown that shows it as it is: no links, pictures, HTML, formulas or formats."""
    return MARKDOWN.sub(lambda match: ENTITIES.get(match[0], f"\\{match[0]}"), printable(" ".join(text.split())))


def printable_lines(text: str) -> str:
    """Escape the control characters of a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def json_text(document: Any) -> str:
    """Format a JSON document for a terminal: letters of all scripts as they are, control characters escaped."""
    lines = json.dumps(document, indent=2, ensure_ascii=False).split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_json_character, line)) for line in lines)


def _json_character(character: str) -> str:
    return character if character.isprintable() or character in JOINERS else json.dumps(character)[1:-1]


def printable(text: str) -> str:
    """Escape control characters, which a terminal would execute, and those that reverse the order of others."""
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
    return inert_cell(" ".join(text.split()))


def inert_cell(text: str) -> str:
    """Keep a text such as a path as it is, but with an apostrophe before it if a spreadsheet would execute it."""
    return f"'{text}" if FORMULA.match(text) else text


def from_csv_cell(cell: str) -> str:
    """Undo `csv_cell` and `inert_cell`."""
    return cell[1:] if cell[:1] == "'" and FORMULA.match(cell) else cell


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
