"""Sections as Markdown and HTML: what stands where, and texts that are not markup."""

from html.parser import HTMLParser

from vidsemi.reporting.render import to_html, to_markdown
from vidsemi.reporting.section import Figure, Section, Table

SECTION = Section(
    "Title <i>",
    figures=[Figure('a "picture" > b', b"<svg/>", name="picture"), Figure("page only", b"<svg/>", fold="More")],
    tables=[
        Table(("name", "n"), [("<b>|", "1,000")]),
        Table(("class", "n"), [(f"class {n}", str(n)) for n in range(30)], fold="All classes"),
        Table(("speed",), [("9 clips",)], html_only=True),
    ],
    text=["a note\x1b[31m"],
    warnings=["a <u>warning</u>"],
)


class Page(HTMLParser):
    """The tags of a page, and the addresses in it."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_markdown_links_pictures_and_shortens_folded_tables():
    text = to_markdown([SECTION, Section("Second")])
    assert text.startswith('## Title &lt;i>\n\n![a "picture" > b](picture.svg)\n\n| name ')
    assert "| &lt;b>\\| | 1,000 |" in text
    assert "- a note\\x1b\\[31m\n- **a &lt;u>warning&lt;/u>**\n" in text
    assert "| … 10 more" in text and "class 15" not in text
    assert "page only" not in text and "speed" not in text
    assert text.endswith("\n\n## Second\n")


def test_the_terminal_gets_no_links_to_pictures():
    assert "picture" not in to_markdown([SECTION], figures=False)


def test_the_page_escapes_all_texts():
    page = to_html("run & <script>alert(1)</script>", [SECTION])
    for tag in ("<script", "<i>", "<b>", "<u>"):
        assert tag not in page
    for text in (
        "run &amp; &lt;script&gt;",
        "Title &lt;i&gt;",
        "a &#34;picture&#34; &gt; b",
        "&lt;b&gt;|",
        "a &lt;u&gt;w",
    ):
        assert text in page
    assert '<p class="warning">' in page


def test_the_page_shows_everything_and_loads_nothing():
    page = Page(to_html("run", [SECTION, Section("Second")]))
    assert [page.tags.count(tag) for tag in ("h2", "table", "tr", "details", "img", "li")] == [2, 3, 36 - 1, 2, 2, 1]
    pictures = [address for address in page.addresses if not address.startswith("#section-")]
    assert len(pictures) == 2
    assert all(address.startswith("data:image/svg+xml;base64,") for address in pictures)


def test_numbers_are_aligned_right():
    page = to_html("run", [Section("One", tables=[Table(("name", "kind", "n"), [("a", "b", "1")], text_columns=2)])])
    assert '<th>kind</th><th class="number">n</th>' in page
    assert '<td>b</td><td class="number">1</td>' in page
