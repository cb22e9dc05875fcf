"""The page of a report in a real browser: what it draws, loads and says, and how it is used."""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.report_runs import fake_run
from tests.helpers.result_rows import row, write_results
from vidsemi.reporting.write import write_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 300_000  # ms, for slow machines
MARKUP = [
    "<b>bold</b>",
    "</script><script>alert(1)</script>",
    "'\"><img src=x onerror=alert(2)>",
    "$x$ & %{y}",
    "plain",
]
SIZES = [(1280, 900), (390, 800)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("install Chromium, or set CHROMIUM to its program")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open the page of a run's directory; nothing may go wrong in it, and nothing be requested but the file itself."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    problems: list[str] = []

    def opened(folder: Path, size: tuple[int, int] = SIZES[0], scheme: str = "light") -> Any:
        page = context.new_page()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: problems.append(request.url) if _is_foreign(request.url) else None)
        page.goto((folder / "report.html").as_uri())
        return page

    yield opened
    context.close()
    assert problems == []


def _is_foreign(address: str) -> bool:
    return not address.startswith(("data:", "blob:")) and not address.endswith("/report.html")


def draw_all(page: Any) -> int:
    """Open all that is folded and come near every plot, as a reader would; returns the number of plots."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    plots = page.locator(".live")
    for number in range(plots.count()):
        plots.nth(number).evaluate("(one) => one.scrollIntoView({ block: 'center' })")
        plots.nth(number).locator("svg.main-svg").first.wait_for()
    page.wait_for_function("[...document.querySelectorAll('.live')].every((one) => one.dataset.drawn)")
    return int(plots.count())


def width_of(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with five classes whose names are markup; its own name is markup, too."""
    folder = fake_run(tmp_path_factory.mktemp("runs") / "a <i>run<", MARKUP, 60)
    write_report([folder], folder)
    return folder


@pytest.mark.parametrize(("size", "scheme"), [*zip(SIZES, ("light", "dark"), strict=True)])
def test_every_plot_is_drawn_and_nothing_is_wider_than_the_window(
    visit: Callable[..., Any], run: Path, size: tuple[int, int], scheme: str
):
    page = visit(run, size, scheme)
    assert draw_all(page) == page.locator(".live").count() > 5
    assert page.locator(".live .scatterlayer .trace").count() > 20
    assert page.locator(".live .heatmaplayer image").count() == 1
    assert width_of(page) <= size[0]
    plots = page.evaluate("[...document.querySelectorAll('.live svg.main-svg')].map((one) => one.clientWidth)")
    assert all(0 < width <= size[0] for width in plots)
    ink = page.evaluate("document.querySelector('.live').layout.font.color")
    assert ink == page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--text').trim()")


def test_texts_of_strangers_are_texts(visit: Callable[..., Any], run: Path):
    page = visit(run)
    draw_all(page)
    assert page.title() == "a <i>run<" and page.locator("main i, main b, td img").count() == 0
    cells = page.locator("td").all_inner_texts()
    assert {*MARKUP} <= {*cells}
    ticks = page.locator(".live .ytick").all_text_contents()
    assert "<b>bold</b>" in ticks and any(text.startswith("</script><script>") for text in ticks)


def test_hover_shows_the_figures(visit: Callable[..., Any], run: Path):
    page = visit(run)
    page.locator(".live[data-drawn]").first.wait_for()
    point = page.locator(".live").first.locator(".points path").last
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 - 30, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    label = page.locator(".live").first.locator(".hovertext")
    label.wait_for()
    assert "% top-1" in label.text_content() and "GMAC per view" in label.text_content()


def test_the_keyboard_switches_approaches_off_and_on(visit: Callable[..., Any], run: Path):
    page = visit(run)
    page.locator(".live[data-drawn]").first.wait_for()
    figure = page.locator("figure").first
    button = figure.get_by_role("button", name="semi-supervised", exact=True)

    def shown() -> list[str]:
        return figure.locator(".live").evaluate(
            "(one) => one.data.filter((t) => t.visible !== false).map((t) => t.name)"
        )

    assert "semi-supervised" in shown()
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert "semi-supervised" not in shown() and "supervised" in shown()
    page.keyboard.press("Enter")
    assert "semi-supervised" in shown()


def test_columns_are_sorted_as_numbers(visit: Callable[..., Any], run: Path):
    page = visit(run)
    table = page.locator("table").first
    header = table.get_by_role("button", name="top-1 %")
    column = [*table.locator("th").all_inner_texts()].index("top-1 %") + 1

    def values() -> list[float]:
        return [float(text.split()[0]) for text in table.locator(f"td:nth-child({column})").all_inner_texts()]

    before = values()
    header.click()
    assert values() == sorted(before, reverse=True) != before
    header.click()
    assert values() == sorted(before)
    assert table.locator("th").nth(column - 1).get_attribute("aria-sort") == "ascending"


def test_the_page_says_what_it_is_to_those_who_do_not_see_it(visit: Callable[..., Any], run: Path):
    page = visit(run)
    headings = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))")
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert page.locator("img:not([alt]), .live:not([aria-label]), [alt=''], [aria-label='']").count() == 0
    assert page.locator("html").get_attribute("lang") == "en"
    links = page.locator("nav a")
    assert links.count() == page.locator("main > section").count()
    targets = links.evaluate_all("(all) => all.map((one) => document.querySelector(one.hash) !== null)")
    assert all(targets)


def test_print_shows_the_static_pictures(visit: Callable[..., Any], run: Path):
    page = visit(run)
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert not any(page.locator(".live").evaluate_all("(all) => all.map((one) => one.checkVisibility())"))
    pictures = page.locator("img.static")
    assert all(pictures.evaluate_all("(all) => all.map((one) => one.checkVisibility() && one.naturalWidth > 99)"))


@pytest.mark.parametrize("size", SIZES)
def test_many_classes_and_examples(visit: Callable[..., Any], many: Path, size: tuple[int, int]):
    page = visit(many, size)
    assert draw_all(page) > 5 and width_of(page) <= size[0]
    region = page.get_by_role("region", name="Accuracy by class: All classes")
    search = region.locator("xpath=preceding-sibling::label").last.locator("input")
    search.fill("number 217 ")
    assert region.locator("tbody tr:visible").count() == 1
    assert "class number 217 of many" in region.locator("tbody tr:visible").inner_text()
    search.fill("")
    assert region.locator("tbody tr:visible").count() == 400
    assert page.locator(".live .heatmaplayer image").count() == 1
    assert page.evaluate("document.querySelectorAll('.ytick').length") > 20


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 classes, 10,000 test examples."""
    names = [f"class number {number} of many" for number in range(400)]
    folder = fake_run(tmp_path_factory.mktemp("many"), names, 10_000, seeds=1, students=("small",))
    write_report([folder], folder)
    return folder


def test_a_single_class(visit: Callable[..., Any], tmp_path: Path):
    write_report([fake_run(tmp_path, ["only"], 10, students=("small",))], tmp_path)
    page = visit(tmp_path)
    assert draw_all(page) > 3
    assert page.locator("h2", has_text="Confused classes").count() == 0


def test_runs_without_students_and_without_anything(visit: Callable[..., Any], tmp_path: Path):
    teacher = fake_run(tmp_path / "teacher", MARKUP, 10, students=())
    write_report([teacher], teacher)
    page = visit(teacher, SIZES[1])
    assert draw_all(page) > 0 and "No student has been evaluated yet" in page.locator(".lead").inner_text()
    nothing = write_results(tmp_path / "nothing", [])
    write_report([nothing], nothing)
    assert "No network has been evaluated yet" in visit(nothing).locator(".lead").inner_text()


def test_rows_of_runs_without_files(visit: Callable[..., Any], tmp_path: Path):
    rows = [row("s" * 90, "supervised", 0, 50.0), row("t", "of tomorrow", 0, 50.0, predictions="gone.parquet")]
    write_report([write_results(tmp_path, rows)], tmp_path)
    page = visit(tmp_path, SIZES[1])
    assert draw_all(page) == 1 and width_of(page) <= SIZES[1][0]
