"""Sections as Markdown and as an HTML page."""

import base64
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from vidsemi import __version__
from vidsemi.io.tables import markdown, markdown_table, printable, shorten_rows
from vidsemi.reporting.section import Figure, Section, Table


def to_markdown(sections: Sequence[Section], *, figures: bool = True) -> str:
    """Sections as Markdown that also reads well on a terminal, there without links to `figures`."""
    return "\n".join(_section_markdown(section, figures) for section in sections)


def _section_markdown(section: Section, figures: bool) -> str:
    text = markdown if figures else printable  # for a file, which is rendered, or for a terminal
    blocks = [f"## {text(section.title)}"]
    if figures:
        blocks += [f"![{text(figure.alt)}]({figure.name}.svg)" for figure in section.figures if figure.name]
    tables = [table for table in section.tables if not table.html_only]
    blocks += [_table_markdown(table, figures) for table in tables if not table.fold]
    notes = [*map(text, section.text), *(f"**{text(warning)}**" for warning in section.warnings)]
    if notes:
        blocks.append("\n".join(f"- {note}" for note in notes))
    blocks += [_table_markdown(table, figures) for table in tables if table.fold]
    return "\n\n".join(blocks) + "\n"


def _table_markdown(table: Table, rendered: bool) -> str:
    rows = shorten_rows(table.rows) if table.fold else table.rows
    return "\n".join(markdown_table(table.header, rows, table.text_columns, rendered=rendered))


def to_html(title: str, sections: Sequence[Section]) -> str:
    """Sections as one HTML page that loads nothing from outside; all texts are escaped."""
    page: str = _template().render(title=title, sections=sections, version=__version__)
    return page


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = _data_uri
    return environment.from_string((files("vidsemi.reporting") / "template.html").read_text(encoding="utf-8"))


def _data_uri(figure: Figure) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(figure.svg).decode()}"
