"""Tables as text: aligned Markdown that hostile cells cannot break, and CSV cells that are not formulas."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.io.tables import (
    csv_cell,
    csv_text,
    from_csv_cell,
    inert_cell,
    json_text,
    markdown,
    markdown_table,
    printable,
    printable_lines,
    shorten_rows,
)


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


@given(st.text(alphabet="'=+-@ \t\rab", max_size=6))
def test_cells_are_read_as_they_were_written(text: str):
    assert from_csv_cell(inert_cell(text)) == text
    assert from_csv_cell(csv_cell(text)) == " ".join(text.split())
    for cell in (inert_cell(text), csv_cell(text)):
        assert not cell.lstrip().startswith(("=", "+", "-", "@"))
        assert not cell.startswith(("\t", "\r"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[x](javascript:alert(1))", "\\[x\\](javascript:alert(1))"),
        ("![i](http://127.0.0.1/a.png)", "!\\[i\\](http\\://127.0.0.1/a.png)"),
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("<https://a.b>", "&lt;https\\://a.b>"),
        ("`a` **b** _c_ ~~d~~ $e$", "\\`a\\` \\*\\*b\\*\\* \\_c\\_ \\~\\~d\\~\\~ \\$e\\$"),
        ("a|b\nc", "a\\|b c"),
        ("\\*a*", "\\\\\\*a\\*"),
        ("&lt;b> &#60;", "&amp;lt;b> &amp;#60;"),
        ("\x1b[2J\u202e", "\\x1b\\[2J\\u202e"),
        ("r2plus1d_18_8f, 5-10 (a) < 3 & 1 > 2", "r2plus1d_18_8f, 5-10 (a) < 3 & 1 > 2"),
    ],
)
def test_markdown_shows_names_as_they_are(text: str, shown: str):
    assert markdown(text) == shown
    assert markdown_table(("h",), [(text,)], rendered=True)[2] == f"| {shown} |"


@given(st.text())
def test_json_for_a_terminal_is_the_same_document(text: str):
    document = json_text({"a": [text, 1.5]})
    assert json.loads(document) == {"a": [text, 1.5]}
    assert printable_lines(document) == document


def test_names_of_all_scripts_stay_readable():
    assert json_text(["é 日本 😀"]) == '[\n  "é 日本 😀"\n]'
    assert printable_lines("é 日本\n😀\x9b") == "é 日本\n😀\\x9b"
