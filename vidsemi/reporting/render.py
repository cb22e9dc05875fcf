"""Sections as Markdown and as an HTML page."""

import base64
import mimetypes
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from vidsemi import __version__
from vidsemi.io.tables import markdown, markdown_table, printable, shorten_rows
from vidsemi.reporting.interactive import GLYPHS, panels, plotly_js
from vidsemi.reporting.plot import Plot
from vidsemi.reporting.section import MEDIA, Section, Table


def to_markdown(sections: Sequence[Section], *, plots: bool = True) -> str:
    """Sections as Markdown that also reads well on a terminal, there without links to `plots`."""
    return "\n".join(_section_markdown(section, plots) for section in sections)


def _section_markdown(section: Section, plots: bool) -> str:
    text = markdown if plots else printable  # for a file, which is rendered, or for a terminal
    blocks = [f"## {text(section.title)}"]
    blocks += [text(sentence) for sentence in section.lead]
    if plots:
        blocks += [f"![{text(plot.alt)}]({plot.name}.svg)" for plot in section.plots if plot.name]
    tables = [table for table in section.tables if not table.html_only]
    blocks += [_table_markdown(table, plots) for table in tables if not table.fold]
    notes = [*map(text, section.text), *(f"**{text(warning)}**" for warning in section.warnings)]
    if notes:
        blocks.append("\n".join(f"- {note}" for note in notes))
    blocks += [_table_markdown(table, plots) for table in tables if table.fold]
    return "\n\n".join(blocks) + "\n"


def _table_markdown(table: Table, rendered: bool) -> str:
    rows = shorten_rows(table.rows) if table.fold else table.rows
    return "\n".join(markdown_table(table.header, rows, table.text_columns, rendered=rendered))


def to_html(title: str, sections: Sequence[Section], *, media_beside: bool = False) -> str:
    """Sections as one HTML page that loads nothing from outside; all texts are escaped.

    With `media_beside` the pictures and videos of `Section.files` are expected in the folder `MEDIA` beside the page,
    else the page holds them.
    """
    page: str = _template().render(
        title=title,
        sections=sections,
        media_beside=media_beside,
        version=__version__,
        style=_part("style.css"),
        script=_part("script.js"),
        plotly=Markup(plotly_js()) if any(section.plots for section in sections) else "",
    )
    return page


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = _data_uri
    environment.filters["with_media"] = _with_media
    environment.globals |= {"panels": panels, "glyphs": GLYPHS}
    return environment.from_string(_part("template.html"))


@cache
def _part(name: str) -> Markup:
    return Markup((files("vidsemi.reporting") / "page" / name).read_text(encoding="utf-8"))


def _data_uri(plot: Plot) -> str:
    return _uri(plot.svg, "image/svg+xml")


def _with_media(section: Section) -> Markup:
    """The markup of a section, which holds its pictures and videos."""

    def uri(match: re.Match[str]) -> str:
        content = section.files.get(match[1])
        return match[0] if content is None else f'"{_uri(content, mimetypes.guess_type(match[1])[0] or "")}"'

    return Markup(re.sub(f'"{MEDIA}/([^"]+)"', uri, section.html or ""))


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
