"""Previews of examples for a page: made by worker processes within a time limit, and kept for the next page."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from vidsemi.data.manifest import Row
from vidsemi.data.preview import MAX_BYTES, make_preview, preview_key
from vidsemi.data.worker_pool import read_all
from vidsemi.io.errors import DecodeError
from vidsemi.io.files import remove_temporary, write_bytes
from vidsemi.io.progress import progress_bar

FOLDER = "previews"  # beside a selection or predictions
DEFAULT_COUNT, MAX_COUNT = 4, 100  # examples of each class to show
SECONDS_PER_FILE = 60.0  # a preview takes about 0.2 s, the first of a process some seconds on a busy machine
SECONDS = 60.0  # for all previews of a page by default; with `--previews` they take the time they need
PREFETCH = 2  # files per worker that are read ahead; these may still take their time after the limit

Preview = bytes | DecodeError | None  # None: there was no time to make it


@dataclass(frozen=True)
class PreviewRequest:
    """An example whose preview is wanted, and the folder that keeps previews."""

    row: Row
    cache: Path

    @property
    def path(self) -> str:
        """Of the example."""
        return self.row.path


class PreviewMaker:
    """Makes the previews of a page.

    Args:
        count: examples of each class to show.
        workers: processes that decode; with 0 this process does, and does not survive files that crash it.
        seconds: limit for all previews of the page, from now on; None for no limit.
    """

    def __init__(self, count: int, *, workers: int, seconds: float | None):
        self.count, self.seconds, self._workers = count, seconds, workers
        self._until = None if seconds is None else time.monotonic() + seconds

    def make(self, rows: Sequence[Row], cache: Path) -> list[Preview]:
        """The previews of examples, the most important first; those in the folder `cache` are not made again."""
        remove_temporary(cache, 3600.0)
        requests = [PreviewRequest(row, cache) for row in rows]
        results = read_all(
            fetch_preview,
            self._in_time(requests),
            workers=min(self._workers, len(rows)),
            seconds=SECONDS_PER_FILE,
            prefetch=PREFETCH * self._workers,
        )
        made: list[Preview] = []
        with closing(results), progress_bar(len(rows), "preview", FOLDER, delay=1) as bar:
            for result in results:
                made.append(result)
                bar.update()
        return [*made, *[None] * (len(rows) - len(made))]

    def _in_time(self, requests: Sequence[PreviewRequest]) -> Iterator[PreviewRequest]:
        for request in requests:
            if self._until is not None and time.monotonic() > self._until:
                return
            yield request


def preview_maker(count: int | None, workers: int) -> PreviewMaker:
    """The maker of a report's previews: `count` examples of each class, or the default in limited time."""
    if count is None:
        return PreviewMaker(DEFAULT_COUNT, workers=workers, seconds=SECONDS)
    return PreviewMaker(count, workers=workers, seconds=None)


def fetch_preview(request: PreviewRequest) -> bytes:
    """The preview of an example: the one that is kept, or a new one; raises a `DecodeError` if it cannot be read."""
    file = request.cache / f"{preview_key(request.row)}.webp"
    with suppress(OSError):
        content = file.read_bytes()
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and len(content) <= MAX_BYTES:
            return content
    content = make_preview(request.row)
    with suppress(OSError):  # the folder of somebody else's run, or a full disk: the page matters more
        write_bytes(file, content)
    return content
