"""Markdown tables that also read well on a terminal."""

from collections.abc import Sequence

JOINERS = "\u200c\u200d"  # which scripts and emoji need


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are padded to one width."""
    table = [[_cell(text) for text in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    return [texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]]


def _cell(text: str) -> str:
    """Text that neither ends its cell nor its line, and says nothing to a terminal."""
    return printable(" ".join(text.split())).replace("|", "\\|")


def printable(text: str) -> str:
    """Text from strangers as it can be shown: control characters, which terminals obey, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS else ascii(c)[1:-1] for c in text)
