"""report.html: one file that a browser opens as it is, with no address of anything outside itself."""

import base64
from collections.abc import Sequence

from vidsemi import __version__
from vidsemi.report.selections import SelectionSection
from vidsemi.report.summary import Line
from vidsemi.report.table import HEADER, cells, notes
from vidsemi.selection.describe import CLASS_HEADER

TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; }
img { max-width: 100%; } small { color: #777; } .warning { color: #a40000; }
</style>
<h1>{{ title }}</h1>
<img alt="top-1 accuracy against multiply-adds" src="data:image/svg+xml;base64,{{ plot }}">
<table>
<tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% for note in notes %}<p>{{ note }}</p>
{% endfor %}{% for section in sections %}<h2>{{ section.title }}</h2>
<p>{% for line in section.lines %}{{ line }}<br>
{% endfor %}</p>
{% for text in section.warnings %}<p class="warning">{{ text }}</p>
{% endfor %}{% if section.plot %}
<img alt="candidates and chosen examples by class" src="data:image/svg+xml;base64,{{ section.plot }}">
<details><summary>All classes</summary><table>
<tr>{% for cell in class_header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></details>
{% endif %}{% endfor %}<small>vidsemi {{ version }}</small>
</html>
"""


def html_page(title: str, lines: Sequence[Line], plot: bytes, sections: Sequence[SelectionSection] = ()) -> str:
    """The page; all texts are escaped.

    Args:
        title: heading.
        lines: of the table.
        plot: an SVG.
        sections: the selections.
    """
    import jinja2

    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE)
    return template.render(
        title=title,
        header=HEADER,
        rows=[cells(line) for line in lines],
        notes=notes(lines),
        plot=base64.b64encode(plot).decode(),
        sections=sections,
        class_header=CLASS_HEADER,
        version=__version__,
    )
