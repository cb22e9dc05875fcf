"""Texts in CSV files that spreadsheets open."""

FORMULA_STARTS = ("=", "+", "-", "@")


def plain_cell(text: str) -> str:
    """A text in one line that no spreadsheet executes: one it would take for a formula gets an apostrophe in front.

    Some skip tabs and carriage returns in front of a formula, so white space at the beginning goes, too.
    """
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def original(cell: str) -> str:
    """The text of a cell that `plain_cell` made."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA_STARTS) else cell
