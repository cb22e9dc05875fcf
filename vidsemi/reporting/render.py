"""Sections as Markdown and as an HTML page."""

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from vidsemi import __version__
from vidsemi.io.tables import markdown, markdown_table, printable, shorten_rows
from vidsemi.reporting.interactive import GLYPHS, panels, plotly_js
from vidsemi.reporting.plot import Plot
from vidsemi.reporting.section import MEDIA, Section, Table

KINDS = {".webp": "image/webp", ".mp4": "video/mp4"}  # not all versions of Python know WebP


def to_markdown(sections: Sequence[Section], *, plots: bool = True) -> str:
    """Sections as Markdown that also reads well on a terminal, there without links to `plots`."""
    return "\n".join(_section_markdown(section, plots) for section in sections if not section.page_only)


def _section_markdown(section: Section, plots: bool) -> str:
    text = markdown if plots else printable  # for a file, which is rendered, or for a terminal
    blocks = [f"## {text(section.title)}"]
    blocks += [text(sentence) for sentence in section.lead]
    if plots:
        blocks += [f"![{text(plot.alt)}]({plot.name}.svg)" for plot in section.plots if plot.name]
    tables = [table for table in section.tables if not table.html_only]
    blocks += [_table_markdown(table, plots) for table in tables if not table.fold]
    notes = [
        *map(text, [*section.markdown_text, *section.text]),
        *(f"**{text(warning)}**" for warning in section.warnings),
    ]
    if notes:
        blocks.append("\n".join(f"- {note}" for note in notes))
    blocks += [_table_markdown(table, plots) for table in tables if table.fold]
    return "\n\n".join(blocks) + "\n"


def _table_markdown(table: Table, rendered: bool) -> str:
    rows = shorten_rows(table.rows) if table.fold else table.rows
    return "\n".join(markdown_table(table.header, rows, table.text_columns, rendered=rendered))


def to_html(title: str, sections: Sequence[Section], *, media_folder: str | None = None) -> str:
    """Sections as one HTML page that loads nothing from outside; all texts are escaped.

    The pictures and videos of `Section.files`, and `static_pictures`, are expected in the folder `media_folder` beside
    the page; without one, the page holds them.
    """
    page: str = _template().render(
        title=title,
        sections=sections,
        media_folder=media_folder,
        version=__version__,
        style=Markup("\n").join([_part("style.css"), _part("gallery.css")]),
        script=Markup("\n").join([_part("script.js"), _part("gallery.js")]),
        plotly=Markup(plotly_js()) if any(section.plots for section in sections) else "",
    )
    return page


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["breakable"] = _breakable
    environment.filters["static"] = _static
    environment.filters["with_media"] = _with_media
    environment.globals |= {"panels": panels, "glyphs": GLYPHS}
    return environment.from_string(_part("template.html"))


@cache
def _part(name: str) -> Markup:
    return Markup((files("vidsemi.reporting") / "page" / name).read_text(encoding="utf-8"))


def static_pictures(sections: Sequence[Section]) -> dict[str, bytes]:
    """File name → the static picture of a plot."""
    return {_picture_name(plot): plot.svg for section in sections for plot in section.plots}


def _picture_name(plot: Plot) -> str:
    return f"{hashlib.sha256(plot.svg).hexdigest()[:20]}.svg"


def _breakable(text: str) -> Markup:
    """A name that may be broken after an underscore, so that numbers beside it stay in a narrow window."""
    return Markup("_<wbr>").join(text.split("_"))


def _static(plot: Plot, folder: str | None) -> str:
    return _uri(plot.svg, "image/svg+xml") if folder is None else f"{quote(folder)}/{_picture_name(plot)}"


def _with_media(section: Section, folder: str | None) -> Markup:
    """The markup of a section; its pictures and videos are in it, or in a folder beside the page."""

    def address(match: re.Match[str]) -> str:
        name, content = match[1], section.files.get(match[1])
        if content is None:
            return match[0]
        kind = KINDS.get(PurePosixPath(name).suffix, "application/octet-stream")
        return f'src="{_uri(content, kind) if folder is None else f"{quote(folder)}/{name}"}"'

    return Markup(re.sub(f'src="{MEDIA}/([^"]+)"', address, section.html or ""))


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
