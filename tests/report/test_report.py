"""The report: mean, spread, table, plot and page."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.helpers.result_rows import row
from vidsemi.report.drawing import Picture
from vidsemi.report.page import html_page
from vidsemi.report.selection_plot import plot_selection
from vidsemi.report.selections import selection_sections, selections_markdown
from vidsemi.report.summary import Spread, summarize
from vidsemi.report.table import markdown
from vidsemi.selection.result import Selection, write_selection
from vidsemi.selection.score_format import ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.select import select


def test_spread_is_the_sample_deviation():
    assert Spread.of([1.0, 2.0, 6.0]) == Spread(3.0, pytest.approx(7**0.5))
    assert str(Spread.of([1.0, 2.0, 6.0])) == "3.0 ± 2.6"
    assert str(Spread.of([3.25])) == "3.2"


def test_lines_group_seeds_in_the_order_of_the_run():
    rows = [row("b", "supervised", 0, 50), row("a", "semi_supervised", 0, 70), row("b", "supervised", 1, 60)]
    lines = summarize(rows)
    assert [(line.student, line.approach, line.seeds, line.top1.mean) for line in lines] == [
        ("b", "supervised", 2, 55),
        ("a", "semi_supervised", 1, 70),
    ]


def test_table_says_its_convention_and_what_was_not_read():
    text = markdown(summarize([row("a", "supervised", 0, 50, read=7, total=9)]))
    assert "multiply-adds of convolutions, linear layers and attention, per view" in text
    assert "2 test videos could not be read; they count as wrong." in text
    assert "sample standard deviation" not in text
    widths = {len(line) for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_the_page_escapes_names_and_asks_for_nothing_outside():
    lines = summarize([row("<script>alert(1)</script>", "supervised", 0, 50)])
    pictures = [Picture("one", 'a "picture" > b', b"<svg/>"), Picture("two", "another", b"<svg/>")]
    page = html_page("run & <b>", lines, pictures)
    assert "<script" not in page
    assert "run &amp; &lt;b&gt;" in page
    assert "a &#34;picture&#34; &gt; b" in page
    addresses = []

    class Addresses(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            addresses.extend(value for name, value in attrs if name in ("src", "href"))

    Addresses().feed(page)
    assert len(addresses) == 2
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)


def selection(names: list[str]) -> Selection:
    """Ten examples, all of the first class; the others have none."""
    rows = ScoreRows(np.arange(10), np.zeros(10, np.int16), np.linspace(0.1, 0.9, 10, dtype=np.float32))
    parts = [ScoreShard("part 0", 0, lambda: [rows], lambda: 10)]
    return select(parts, ScoresInfo("m", "w", names, 1, views=10, examples=20), per_class=3, per_example=1)


def test_selections_are_a_section_with_table_plot_and_warnings(tmp_path: Path):
    names = ["<b>bold</b>", "nobody's", "$\\foo$|"]
    write_selection(tmp_path / "seed3/teacher/select/selection.parquet", selection(names))
    (section,) = selection_sections({"run": tmp_path})
    assert section.title == "Selection of the teacher, seed3"
    both = selection_sections({"x/run": tmp_path, "y/run": tmp_path})
    assert [section.title for section in both] == [
        f"Selection of the teacher, {run} seed3" for run in ("x/run", "y/run")
    ]
    text = selections_markdown([section])
    assert "- 3 rows selected: 3 examples, 15.0% of 20 unlabeled" in text
    assert "**2 of 3 classes have no candidates: nobody's, $\\foo$|**" in text
    assert "| <b>bold</b> | 3      | 10         | 3      | 0.7222     |" in text
    assert "| $\\foo$\\|    |" in text
    page = html_page("run", summarize([row("a", "supervised", 0, 50)]), [], [section])
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    assert page.count("<img") == 1
    assert 'class="warning"' in page


def test_a_selection_of_another_version_costs_its_section_only(tmp_path: Path):
    file = tmp_path / "seed0/teacher/select/selection.parquet"
    write_selection(file, selection(["a"]))
    table = pq.read_table(file).replace_schema_metadata(
        {"vidsemi": json.dumps({"format": 1, "policy": "balanced_ranked"})}
    )
    pq.write_table(table, file)
    (section,) = selection_sections({"run": tmp_path})
    assert "format 1" in section.warnings[0]
    assert "format 1" in selections_markdown([section])
    assert page_has_no_empty_picture(html_page("run", [], [], [section]))


def page_has_no_empty_picture(page: str) -> bool:
    return 'base64,"' not in page


def test_plots_of_selections_are_pictures():
    few, many = selection(["a", "b"]).info, selection([f"class {i}" for i in range(60)]).info
    assert plot_selection(few, "svg") == plot_selection(few, "svg")
    assert plot_selection(many, "png").startswith(b"\x89PNG")
    without_scores = replace(few, last_score_per_class=[None, None])
    assert b"<svg" in plot_selection(without_scores, "svg")
