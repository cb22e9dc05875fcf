"""The parts that a report is made of. Each part of the report is a function that returns a `Section`, or None."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        png: the same picture, written beside the SVG; None for SVG only.
        name: file name without suffix; None for a picture that is only in the HTML page.
        fold: title of the closed element at the section's end that holds it in the HTML page; empty to show it at once.
    """

    alt: str
    svg: bytes
    png: bytes | None = None
    name: str | None = None
    fold: str = ""

    @property
    def files(self) -> dict[str, bytes]:
        """File name → content."""
        if self.name is None:
            return {}
        return {f"{self.name}.svg": self.svg} | ({} if self.png is None else {f"{self.name}.png": self.png})


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
        text: notes, one sentence or paragraph each.
        warnings: notes that a reader must not miss.
        data: what report.json holds of the section. Lists that several sections have under one key are joined.
    """

    title: str
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    text: Sequence[str] = ()
    warnings: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
