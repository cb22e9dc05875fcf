"""report.html: one file that a browser opens as it is, with no address of anything outside itself."""

from collections.abc import Sequence

from vidsemi import __version__
from vidsemi.report.curves import HEADER as CURVE_HEADER
from vidsemi.report.curves import CurveSection
from vidsemi.report.drawing import Picture
from vidsemi.report.duplicates import DuplicateNotes
from vidsemi.report.frequency_sections import FrequencySection
from vidsemi.report.hashtags import HEADER, HashtagSection
from vidsemi.report.selections import SelectionSection
from vidsemi.report.speed import Speeds
from vidsemi.report.summary import Line
from vidsemi.report.table import notes, table
from vidsemi.report.transfer import TransferLine, transfer_notes, transfer_table
from vidsemi.selection.describe import CLASS_HEADER

TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; }
td { font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
img { max-width: 100%; } small { color: #777; } .warning { color: #a40000; }
</style>
<h1>{{ title }}</h1>
{% for picture in pictures %}<img alt="{{ picture.title }}" src="data:image/svg+xml;base64,{{ picture.encoded }}">
{% endfor %}{% if rows %}<div class="wide"><table>
<tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% for note in notes %}<p>{{ note }}</p>
{% endfor %}{% endif %}{% for text in duplicates.said %}<p>{{ text }}</p>
{% endfor %}{% for text in duplicates.warnings %}<p class="warning">{{ text }}</p>
{% endfor %}{% if transfer_rows %}<h2>Transfer</h2>
<div class="wide"><table>
<tr>{% for cell in transfer_header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in transfer_rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% for note in transfer_notes %}<p>{{ note }}</p>
{% endfor %}{% endif %}{% for section in frequency %}<h2>{{ section.title }}</h2>
<p>{% for line in section.lines %}{{ line }}<br>
{% endfor %}</p>
{% if section.picture %}
<img alt="{{ section.picture.title }}" src="data:image/svg+xml;base64,{{ section.picture.encoded }}">
<div class="wide"><table>
<tr>{% for cell in section.header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% endif %}{% endfor %}{% for section in hashtags %}<h2>{{ section.title }}</h2>
<p>{% for line in section.lines %}{{ line }}<br>
{% endfor %}</p>
<details><summary>All labels</summary><table>
<tr>{% for cell in hashtag_header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></details>
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
{% endif %}{% endfor %}{% for section in curves %}<details><summary>{{ section.title }}</summary>
<img alt="{{ section.title }}" src="data:image/svg+xml;base64,{{ section.picture.encoded }}">
{% if section.note %}<p>{{ section.note }}</p>
{% endif %}<div class="wide"><table>
<tr>{% for cell in curve_header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div></details>
{% endfor %}<small>vidsemi {{ version }}</small>
</html>
"""


def html_page(
    title: str,
    lines: Sequence[Line],
    pictures: Sequence[Picture],
    sections: Sequence[SelectionSection] = (),
    speeds: Speeds | None = None,
    hashtags: Sequence[HashtagSection] = (),
    curves: Sequence[CurveSection] = (),
    frequency: Sequence[FrequencySection] = (),
    transfers: Sequence[TransferLine] = (),
    duplicates: DuplicateNotes | None = None,
) -> str:
    """The page; all texts are escaped.

    Args:
        title: heading.
        lines: of the table.
        pictures: of accuracy.
        sections: the selections.
        speeds: what the lines' speeds were measured with; None where they were not.
        hashtags: the labels that were learnt from hashtags.
        curves: how the trainings went.
        frequency: accuracy by class frequency in D.
        transfers: what was reached on other datasets.
        duplicates: whether the test set was looked for in what is trained on.
    """
    import jinja2

    header, rows = table(lines, speed=speeds is not None)
    transfer_header, transfer_rows = transfer_table(transfers)
    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE)
    return template.render(
        title=title,
        header=header,
        rows=rows,
        notes=notes(lines, speeds),
        pictures=pictures,
        transfer_header=transfer_header,
        transfer_rows=transfer_rows,
        transfer_notes=transfer_notes(transfers),
        hashtags=hashtags,
        hashtag_header=HEADER,
        sections=sections,
        class_header=CLASS_HEADER,
        curves=curves,
        duplicates=duplicates,
        curve_header=CURVE_HEADER,
        frequency=frequency,
        version=__version__,
    )
