"""The report: mean, spread, table, plot and page."""

from html.parser import HTMLParser

import pytest

from vidsemi.report.page import html_page
from vidsemi.report.plot import plot_accuracy_flops
from vidsemi.report.summary import Spread, summarize
from vidsemi.report.table import markdown


def row(student: str, approach: str, seed: int, top1: float, gmacs: float = 1.0, **more: object) -> dict:
    figures = {"top1": top1, "top5": 95.0, "mean_class_top1": top1, "views": 10, "gmacs_per_view": gmacs}
    return {"student": student, "approach": approach, "seed": seed, "parameters": 1_500_000, **figures, **more}


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
    assert "multiply-adds of convolutions and linear layers, per view" in text
    assert "2 test videos could not be read; they count as wrong." in text
    assert "sample standard deviation" not in text
    widths = {len(line) for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_plots_are_pictures():
    lines = summarize(
        [row("a", "supervised", 0, 50), row("a2", "supervised", 0, 60, 4.0), row("teacher", "teacher", 0, 80, 9.0)]
    )
    svg = plot_accuracy_flops(lines, "svg")
    assert svg == plot_accuracy_flops(lines, "svg")
    assert b"<svg" in svg
    assert plot_accuracy_flops(lines, "png").startswith(b"\x89PNG")


def test_the_page_escapes_names_and_asks_for_nothing_outside():
    lines = summarize([row("<script>alert(1)</script>", "supervised", 0, 50)])
    page = html_page("run & <b>", lines, b"<svg/>")
    assert "<script" not in page
    assert "run &amp; &lt;b&gt;" in page
    addresses = []

    class Addresses(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            addresses.extend(value for name, value in attrs if name in ("src", "href"))

    Addresses().feed(page)
    assert len(addresses) == 1
    assert addresses[0].startswith("data:image/svg+xml;base64,")
