"""The parts that a report is made of. Each part of the report is a function that returns a `Section`, or None."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from vidsemi.reporting.plot import Plot

MEDIA = "report_files"  # folder that `Section.html` names its files in


@dataclass(frozen=True)
class Table:
    """A table of texts; a cell without a value is empty.

    Attributes:
        text_columns: number of text columns at the start; the columns after them are numbers, aligned right.
        fold: title of the closed element at the section's end that holds it in the HTML page; Markdown shows the first
            and last rows of a folded table. Empty to show it at once.
        html_only: leave the table out of Markdown.
    """

    header: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    text_columns: int = 1
    fold: str = ""
    html_only: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        lead: the sentences that answer the reader's question, in large letters.
        facts: a few numbers, each with what it is.
        text: notes, one sentence or paragraph each.
        markdown_text: notes before these that only Markdown and terminals have, as the page says it otherwise.
        warnings: notes that a reader must not miss.
        html: markup for the page only, below the tables; every text of strangers in it is escaped. Its pictures and
            videos have the addresses report_files/NAME. Markdown leaves out a section that has nothing else.
        files: NAME → content of those pictures and videos. The page holds them, or they are written beside it.
        data: what report.json holds of the section. Lists that several sections have under one key are joined.
    """

    title: str
    lead: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    text: Sequence[str] = ()
    markdown_text: Sequence[str] = ()
    warnings: Sequence[str] = ()
    html: Markup | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def page_only(self) -> bool:
        """Whether it has nothing but markup."""
        others = (self.lead, self.facts, self.plots, self.tables, self.text, self.markdown_text, self.warnings)
        return self.html is not None and not any(others)
