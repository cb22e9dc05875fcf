"""Write a page: one file, or with its pictures and videos in a folder beside it."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vidsemi.io.files import write_bytes, write_text
from vidsemi.reporting.render import static_pictures, to_html
from vidsemi.reporting.section import Section

LARGEST_PAGE = 10_000_000  # characters
OWN_NAME = re.compile(
    r"[0-9a-f]{20}\.\w+"
)  # of files in such a folder; a browser keeps those of saved pages there, too


def write_page(file: Path, title: str, sections: Sequence[Section]) -> None:
    """Write a page; the pictures of a large one are in the folder NAME_files beside it, which loses all others."""
    media = {name: content for section in sections for name, content in section.files.items()}
    media |= static_pictures(sections)
    folder = file.with_name(f"{file.stem}_files")
    page = to_html(title, sections)
    if len(page) <= LARGEST_PAGE:
        media = {}
    if media:
        for name, content in media.items():
            write_bytes(folder / name, content)
        page = to_html(title, sections, media_folder=folder.name)
    write_text(file, page)
    if folder.is_dir():
        for old in folder.iterdir():
            if OWN_NAME.fullmatch(old.name) and old.name not in media:
                old.unlink()
        with suppress(OSError):  # it has other files
            folder.rmdir()
