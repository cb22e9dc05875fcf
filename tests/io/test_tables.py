"""Tables as text: aligned Markdown that hostile cells cannot break, and CSV cells that are not formulas."""

import csv
import io

import pytest

from vidsemi.io.tables import csv_cell, csv_text, from_csv_cell, markdown_table, printable, shorten_rows


def test_columns_of_numbers_are_aligned_right():
    assert markdown_table(("name", "n"), [("a", "1"), ("bb", "1,000")], text_columns=1) == [
        "| name |     n |",
        "|------|------:|",
        "| a    |     1 |",
        "| bb   | 1,000 |",
    ]
    assert markdown_table(("name", "n"), [("a", "1")])[1:] == ["|------|---|", "| a    | 1 |"]


def test_cells_neither_end_their_row_nor_control_a_terminal():
    (line,) = markdown_table(("h",), [("a|b\n\nc\x1b[31m",)])[2:]
    assert line == "| a\\|b c\\x1b[31m |"
    assert printable("नि\u200dक") == "नि\u200dक"


def test_long_tables_keep_their_ends():
    rows = [(str(n), "x") for n in range(25)]
    short = shorten_rows(rows, most=4)
    assert short == [*rows[:2], ("… 21 more", ""), *rows[-2:]]
    assert shorten_rows(rows, most=25) == rows


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\r\n=", " @"])
def test_no_cell_is_a_formula(start: str):
    text = csv_text([{"name": f'{start}1+1,"x"', "top1": -1.5, "front": True, "none": None}])
    mark = f"'{start.strip()}" if start.strip() else ""
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"name": f'{mark}1+1,"x"', "top1": "-1.5", "front": "true", "none": ""}
    ]
    assert text.count("\n") == 2 and not set("\r\t") & set(text)
    assert from_csv_cell(csv_cell(f"{start}1")) == f"{start}1".strip()
