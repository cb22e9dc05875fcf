"""The documentation as a site: it builds strictly, loads nothing from elsewhere, and generated pages are current."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import REPOSITORY
from tests.docs.test_docs import PAGES, name_of


def test_the_command_line_reference_is_that_of_the_parser():
    script = REPOSITORY / "docs" / "make_cli_reference.py"
    made = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert made.stdout == (REPOSITORY / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert "|  |\n" not in made.stdout  # every option says what it means


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_addresses_are_well_formed(page: Path):
    for address in re.findall(r"\]\(([a-z]+:[^)]*)\)", page.read_text(encoding="utf-8")):
        parts = urlsplit(address)
        assert parts.scheme == "https" and re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc), address
        assert re.fullmatch(r"[\w/.~%#?=&+:@,-]*", address), address


def test_pages_named_in_code_exist():
    folders = ("vidsemi", "tools", "configs", "datasets")
    files = [file for folder in folders for file in REPOSITORY.glob(f"{folder}/**/*.*")]
    for file in files:
        if file.suffix in {".py", ".yaml", ".md", ".csv"}:
            for name in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text(encoding="utf-8")):
                assert (REPOSITORY / name).is_file(), f"{file}: {name}"


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(tmp_path: Path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").glob("**/*.html"))
    assert len(pages) > len(PAGES)  # all of them and the page of unknown addresses
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"""(?:src=|<link[^>]*href=|url\()["']?https?:""", text), page
    assert (tmp_path / "site" / "search" / "search_index.json").stat().st_size > 100_000
