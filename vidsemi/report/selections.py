"""The selections of runs as sections of a report."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsemi.io.errors import UserError
from vidsemi.io.tables import markdown_table, shorten_rows
from vidsemi.report.selection_plot import plot_selection
from vidsemi.selection.describe import CLASS_HEADER, class_rows, summary, warnings
from vidsemi.selection.result import SelectionInfo, read_selection_info


@dataclass(frozen=True)
class SelectionSection:
    """A selection in a report.

    Attributes:
        title: which one it is.
        lines: what it holds.
        warnings: what looks wrong.
        rows: of the table of classes, under `CLASS_HEADER`.
        plot: an SVG as base64.
    """

    title: str
    lines: list[str]
    warnings: list[str]
    rows: list[tuple[str, ...]]
    plot: str


def selection_sections(runs: Mapping[str, Path]) -> list[SelectionSection]:
    """One section for each selection in the runs' directories, which come by the runs' names."""
    found = []
    for name, run in runs.items():
        for file in sorted(run.glob("seed*/*teacher/select/selection.parquet")):
            seed, teacher = file.relative_to(run).parts[:2]
            title = f"Selection of the {teacher.replace('_', ' ')}, {seed if len(runs) == 1 else f'{name} {seed}'}"
            try:
                found.append(_section(title, read_selection_info(file)))
            except UserError as error:  # of another version; the report of all else is not lost for that
                found.append(SelectionSection(title, [], [str(error)], [], ""))
    return found


def _section(title: str, info: SelectionInfo) -> SelectionSection:
    plot = base64.b64encode(plot_selection(info, "svg")).decode()
    return SelectionSection(title, summary(info), warnings(info), class_rows(info), plot)


def selections_markdown(sections: Sequence[SelectionSection]) -> str:
    """The sections for results.md: without their plots; of many classes the first and the last."""
    texts = []
    for section in sections:
        lines = [f"- {line}" for line in [*section.lines, *(f"**{text}**" for text in section.warnings)]]
        table = ["", *markdown_table(CLASS_HEADER, shorten_rows(section.rows))] if section.rows else []
        texts.append("\n".join([f"\n## {section.title}\n", *lines, *table, ""]))
    return "".join(texts)
