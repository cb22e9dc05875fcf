"""Sections as Markdown and HTML: what stands where, and texts that are not markup."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import Markup

from vidsemi.reporting import page_files
from vidsemi.reporting.plot import Line, Panel, Plot, Scale
from vidsemi.reporting.render import to_html, to_markdown
from vidsemi.reporting.section import Section, Table

PANEL = Panel(Scale("x"), Scale("y"), [Line("</script><q>", [1, 2], [3, 4], hover=["<q>", "b"]), Line("two", [1], [2])])
SECTION = Section(
    "Title <i>",
    lead=["The <s>answer</s>."],
    facts=[("9 <em>", "a number")],
    plots=[Plot('a "picture" > b', [PANEL], name="picture"), Plot("page only", [PANEL], fold="More")],
    tables=[
        Table(("name", "n"), [("<b>|", "1,000")]),
        Table(("class", "n"), [(f"class {n}", str(n)) for n in range(30)], fold="All classes"),
        Table(("speed",), [("9 clips",)], html_only=True),
    ],
    text=["a note\x1b[31m"],
    warnings=["a <u>warning</u>"],
)


class Page(HTMLParser):
    """The tags and texts of a page, the addresses in it, and its plots."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.alternatives: list[str] = []
        self.texts: list[str] = []
        self.panels: list[dict] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.alternatives += [value or "" for name, value in attrs if name in ("alt", "aria-label")]
        self._inside = str(dict(attrs).get("type")) if tag == "script" else tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "application/json":
            self.panels.append(json.loads(data))
        elif self._inside not in ("None", "style"):
            self.texts.append(data)


def test_markdown_links_pictures_and_shortens_folded_tables():
    text = to_markdown([SECTION, Section("Second")])
    assert text.startswith('## Title &lt;i>\n\nThe &lt;s>answer&lt;/s>.\n\n![a "picture" > b](picture.svg)\n\n| name ')
    assert "| &lt;b>\\| | 1,000 |" in text
    assert "- a note\\x1b\\[31m\n- **a &lt;u>warning&lt;/u>**\n" in text
    assert "| … 10 more" in text and "class 15" not in text
    assert "page only" not in text and "speed" not in text
    assert text.endswith("\n\n## Second\n")


def test_the_terminal_gets_no_links_to_pictures():
    assert "picture" not in to_markdown([SECTION], plots=False)


def test_the_page_escapes_all_texts():
    page = Page(to_html("run & <script>alert(1)</script>", [SECTION]))
    assert not {"i", "b", "u", "s", "em", "q"} & {*page.tags}
    assert page.tags.count("script") == 2 + 2  # of two plots, plotly.js and ours
    texts = "".join(page.texts)
    for text in ("run & <script>alert(1)</script>", "Title <i>", "The <s>answer</s>.", "9 <em>", "<b>|", "a <u>w"):
        assert text in texts
    assert {'a "picture" > b', "page only"} <= {*page.alternatives}
    assert "&lt;/script&gt;&lt;q&gt;" in page.panels[0]["data"][0]["name"]  # plotly.js would take it for markup


def test_the_page_shows_everything_and_loads_nothing():
    page = Page(to_html("run", [SECTION, Section("Second")]))
    assert [page.tags.count(tag) for tag in ("h1", "h2", "table", "tr", "img", "figure")] == [1, 2, 3, 36 - 1, 2, 2]
    pictures = [address for address in page.addresses if not address.startswith("#")]
    assert len(pictures) == 2
    assert all(address.startswith("data:image/svg+xml;base64,") for address in pictures)


def test_a_page_without_plots_has_no_library():
    assert len(to_html("run", [Section("One", text=["a note"])])) < 40_000


def test_markup_of_a_section_holds_its_files_or_names_them():
    html = Markup('<video src="report_files/a.mp4"></video><img src="report_files/none.png" alt="">')
    section = Section("One", html=html, files={"a.mp4": b"film"})
    assert Page(to_html("run", [section])).addresses[-2:] == ["data:video/mp4;base64,ZmlsbQ==", "report_files/none.png"]
    assert Page(to_html("run", [section], media_folder='a "b"')).addresses[-2] == "a%20%22b%22/a.mp4"
    assert to_markdown([section]) == "" and "text" in to_markdown([replace(section, text=["text"])])


def test_numbers_are_aligned_right():
    page = to_html("run", [Section("One", tables=[Table(("name", "kind", "n"), [("a", "b", "1")], text_columns=2)])])
    assert '<th scope="col">kind</th><th scope="col" class="number">n</th>' in page
    assert '<td>b</td><td class="number">1</td>' in page


def test_pictures_of_a_large_page_are_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page_files, "LARGEST_PAGE", 1000)
    page_files.write_page(tmp_path / "report.html", "run", [SECTION])
    addresses = [one for one in Page((tmp_path / "report.html").read_text()).addresses if not one.startswith("#")]
    assert {(tmp_path / one).read_bytes() for one in addresses} == {plot.svg for plot in SECTION.plots}
    monkeypatch.undo()
    page_files.write_page(tmp_path / "report.html", "run", [SECTION])
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
