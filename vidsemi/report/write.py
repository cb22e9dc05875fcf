"""The report of one or more runs: results.md, accuracy_flops.svg and .png, report.html."""

from collections.abc import Sequence
from pathlib import Path

from vidsemi.files import write_bytes, write_text
from vidsemi.report.page import html_page
from vidsemi.report.plot import plot_accuracy_flops
from vidsemi.report.selections import selection_sections, selections_markdown
from vidsemi.report.summary import summarize
from vidsemi.report.table import markdown
from vidsemi.results import read_results


def write_report(runs: Sequence[Path], output: Path) -> str:
    """Write a report into a directory.

    Args:
        runs: run directories; with more than one, students carry the name of their run.
        output: where the files go.

    Returns:
        The table in Markdown.
    """
    rows = []
    for run in runs:
        name = run.resolve().name
        alone = [other.resolve().name for other in runs].count(name) == 1
        prefix = "" if len(runs) == 1 else f"{name}/" if alone else f"{run.resolve()}/"
        rows += [{**row, "student": prefix + row["student"]} for row in read_results(run)]
    lines = summarize(rows)
    table = markdown(lines)
    title = ", ".join(run.resolve().name for run in runs)
    sections = selection_sections(runs)
    text = f"# {title}\n\n{table}\n![top-1 against multiply-adds](accuracy_flops.svg)\n"
    write_text(output / "results.md", text + selections_markdown(sections))
    svg = plot_accuracy_flops(lines, "svg")
    write_bytes(output / "accuracy_flops.svg", svg)
    write_bytes(output / "accuracy_flops.png", plot_accuracy_flops(lines, "png"))
    write_text(output / "report.html", html_page(title, lines, svg, sections))
    return table
