"""Rows of previews in a real browser: they load, are found, stop, and are no wider than the window."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.reporting.test_page import SIZES, browser, visit, width_of  # noqa: F401
from tests.reporting.test_selected_examples import NAMES, write_selection
from vidsemi.api.browse import browse

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a selection of images."""
    folder = tmp_path_factory.mktemp("selection")
    file = write_selection(folder, NAMES)
    return browse(file, folder / "report.html", manifest=folder / "m.csv", scores=folder / "scores", workers=0).parent


@pytest.mark.parametrize("size", SIZES)
def test_search_finds_a_class_and_previews_load_and_stop(
    visit: Callable[..., Any],  # noqa: F811
    page_folder: Path,
    size: tuple[int, int],
):
    page = visit(page_folder, size)
    pictures, strips = page.locator("img.preview"), page.locator(".strip")
    assert pictures.count() == 15 and strips.count() == 3
    for number in range(pictures.count()):
        pictures.nth(number).evaluate("(one) => one.scrollIntoView({ block: 'center' })")
        # before the next scroll: the browser may not have noticed that this one is in view, and load it never
        pictures.nth(number).evaluate(
            "(one) => one.complete || new Promise((done) => { one.onload = one.onerror = done; })"
        )
    assert pictures.evaluate_all("(all) => all.every((one) => one.complete && one.naturalWidth > 0)")
    assert width_of(page) <= size[0]
    search = page.get_by_label("Find a class")
    for words, found in (("QUOTED", 1), ("a", 2), ("<u>", 1), ("nothing", 0), ("", 3)):
        search.fill(words)
        assert page.locator(".strip:visible").count() == found
        assert page.locator(".gallery [role=status]").inner_text() == (f"{found} of 3" if words else "")
    page.get_by_role("button", name="Pause previews").click()
    assert page.locator("canvas.preview").count() == 15 and page.locator("img.preview:visible").count() == 0
    page.get_by_role("button", name="Play previews").click()
    assert page.locator("canvas.preview:visible").count() == 0
    assert page.locator("main u, main i, main b u").count() == 0
