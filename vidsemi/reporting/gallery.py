"""Rows of previews with captions, as markup of a section and the files that it shows."""

import hashlib
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from markupsafe import Markup

from vidsemi.data.manifest import Row
from vidsemi.io.errors import DecodeError
from vidsemi.io.tables import printable
from vidsemi.reporting.previews import Preview
from vidsemi.reporting.section import MEDIA

MOST_REASONS = 5  # why previews are missing, in the notes of a section
LONGEST_NAME = 48  # characters of a path that a card shows; all of it when the mouse is over it


@dataclass(frozen=True)
class Picture:
    """Where a preview is, and its size in pixels."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """An example with its preview.

    Attributes:
        heading: what it is, such as its rank.
        notes: one line each.
        beyond: whether it is shown for comparison only, such as one that was not selected.
    """

    row: Row
    preview: Preview
    heading: str
    score: str = ""
    notes: Sequence[str] = ()
    beyond: bool = False

    @property
    def path(self) -> str:
        """The file, and which part of it."""
        trim = "" if self.row.start is None and self.row.end is None else f" {_seconds(self.row)}"
        return printable(f"{self.row.path}{f'#{self.row.member}' if self.row.member else ''}{trim}")

    @property
    def name(self) -> str:
        """The end of the path."""
        path = PurePosixPath(self.row.member or self.row.path)
        trim = self.path[self.path.rindex(" ") :] if self.row.start is not None or self.row.end is not None else ""
        name = printable("/".join(path.parts[-2:])) + trim
        return name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME:]}"

    @property
    def problem(self) -> str:
        """Why there is no preview."""
        return printable(self.preview.reason) if isinstance(self.preview, DecodeError) else "not made: time is up"

    @property
    def alt(self) -> str:
        """For readers who cannot see the preview."""
        return printable(f"{self.heading} {self.score}: {self.name}")

    @property
    def picture(self) -> Picture | None:
        """Where the preview is, if there is one."""
        return _picture(self.preview) if isinstance(self.preview, bytes) else None


@dataclass(frozen=True)
class Strip:
    """Cards in a row, under a title that the reader can search for."""

    title: str
    cards: Sequence[Card]
    summary: str = field(default="")


def _seconds(row: Row) -> str:
    end = "" if row.end is None else f"{row.end:g}"
    return f"{row.start or 0:g}–{end}s"


def _picture(preview: bytes) -> Picture:
    from PIL import Image

    with Image.open(io.BytesIO(preview)) as image:
        return Picture(f"{MEDIA}/{_file_name(preview)}", *image.size)


def _file_name(preview: bytes) -> str:
    return f"{hashlib.sha256(preview).hexdigest()[:20]}.webp"


def gallery(strips: Iterable[Strip], noun: str, notes: Sequence[str]) -> tuple[Markup, dict[str, bytes]]:
    """The markup of strips below notes, with a search for a `noun`, and the files it shows; all texts are escaped."""
    strips = [*strips]
    previews = (card.preview for strip in strips for card in strip.cards)
    media = {_file_name(preview): preview for preview in previews if isinstance(preview, bytes)}
    return Markup(_template().render(strips=strips, noun=noun, notes=notes)), media


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=lambda value: _shown(value)
    )
    return environment.from_string((files("vidsemi.reporting") / "page" / "gallery.html").read_text(encoding="utf-8"))


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def missing_notes(previews: Collection[Preview]) -> list[str]:
    """How many previews are missing, and why."""
    counts, reasons = preview_counts(previews), Counter(one.reason for one in previews if isinstance(one, DecodeError))
    notes = []
    if reasons:
        most = [f"{reason} ({count})" for reason, count in reasons.most_common(MOST_REASONS)]
        more = [f"{len(reasons) - MOST_REASONS} more reasons"] if len(reasons) > MOST_REASONS else []
        notes.append(f"{counts['failed']} of {len(previews)} previews cannot be made: {'; '.join([*most, *more])}.")
    if counts["late"]:
        notes.append(
            f"{counts['late']} of {len(previews)} previews were not made, to end in time. vidsemi report with "
            "--previews takes the time that it needs, and makes only those that are missing."
        )
    return notes


def preview_counts(previews: Collection[Preview]) -> dict[str, int]:
    """How many previews there are, cannot be made, and were not made in time."""
    failed, late = sum(isinstance(one, DecodeError) for one in previews), sum(one is None for one in previews)
    return {"made": len(previews) - failed - late, "failed": failed, "late": late}
