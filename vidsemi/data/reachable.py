"""Tell a file that is missing from a disk or server that is.

"No such file" and "connection refused" say nothing about a file while its disk is unmounted or its server is down: each
file left would become a failure. Such an error counts only if a file that was read before can be reached before and
after another look at the failed one. Otherwise the reader waits for the disk, then stops with an error.
"""

import logging
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol
from urllib.parse import urlsplit

from vidsemi.data.look import Look, Looker, first_reachable
from vidsemi.data.manifest import Row
from vidsemi.data.worker_pool import read_all
from vidsemi.data.worker_process import File, Result
from vidsemi.io.download import is_address
from vidsemi.io.errors import FATAL, REFUSED, DecodeError, UserError

logger = logging.getLogger("vidsemi")

WAIT_SECONDS = 120.0  # for a disk or server that went away; an NFS client reconnects within a minute or two
LOOK_EVERY = 2.0  # seconds, meanwhile
SAMPLE = 1000  # files of the dataset to look for before any was read; at an address 10
PLACES, PER_PLACE = 256, 4  # folders and servers to remember files of
NEAR = 100  # examples before and after one, whose files are looked for if those that were read are gone
SERVER_SECONDS = 1.0  # that a server which answers "not found" is trusted after a look, since each is a request


class Dataset(Protocol):
    """A manifest, or other examples by number."""

    def __len__(self) -> int: ...

    def row(self, example_id: int) -> Row: ...  # noqa: D102


Known = Callable[[Row], Iterable[Row]]  # a row → examples near it that were read before, by any process


def nothing_known(row: Row) -> Iterable[Row]:
    """Where no other process reads the dataset."""
    return ()


@dataclass(frozen=True)
class Rows:
    """Rows in a list, as a dataset."""

    rows: Sequence[Row]

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, number: int) -> Row:
        """The row at a place of the list."""
        return self.rows[number]


class Reachability:
    """Judges errors of files that could not be reached.

    Args:
        dataset: the examples, of which some are looked for before any was read.
        known: returns examples near a row that were read before, by any process.
        look: returns the first file that can be reached; by default in this process, which may hang with the disk.
    """

    def __init__(
        self,
        dataset: Dataset,
        known: Known = nothing_known,
        look: Callable[[Look], Row | DecodeError | None] = first_reachable,
    ):
        self._dataset, self._known, self.look = dataset, known, look
        self._read: OrderedDict[str, dict[str, Row]] = OrderedDict()  # files that were read, by place; the latest last
        self._reads = False  # whether any file was read here; if none was, there is nothing to wait for
        self._asked: set[str] = set()  # places that `known` was called for
        self._answered: dict[str, float] = {}  # when a server was last seen to serve a file

    def was_read(self, row: Row) -> None:
        """Remember a file that could be read."""
        self._reads = True
        self._remember(row)

    def _remember(self, row: Row) -> None:
        place = _place(row.path)
        files = self._read.setdefault(place, {})
        self._read.move_to_end(place)
        if len(self._read) > PLACES:
            self._read.popitem(last=False)
        if row.path not in files:  # a tar has many examples
            files[row.path] = row
            if len(files) > PER_PLACE:
                del files[next(iter(files))]

    def confirm(
        self,
        row: Row,
        error: DecodeError,
        again: Callable[[], Result | DecodeError],
        may_warn: Callable[[float], bool] | None = None,
    ) -> Result | DecodeError:
        """Decide whether an error is the file's own; if its disk was away for a while, return what `again` reads.

        `may_warn` says whether to log that this waits, which other processes may have logged in the last seconds.

        Raises:
            UserError: neither this file nor those read before can be reached, or no file can be.
        """
        if error.code in FATAL:
            raise UserError(error.code, f"{row.path} cannot be read: {error.reason}")
        started: float | None = None  # waiting
        while True:
            if self._another_reachable(row, error):
                if started is None and error.code == "worker.timeout":
                    return error
                if (started is not None or error.code != "file.not_served") and self._find([row]):
                    result = again()
                    if not (isinstance(result, DecodeError) and result.unreachable):
                        return result
                    error = result
                if self._another_reachable(row, error):
                    return error
            waited = 0.0 if started is None else time.monotonic() - started
            if error.code in REFUSED:
                raise UserError(error.code, error.reason)
            if waited >= WAIT_SECONDS or not self._reads:
                after = f" after waiting {waited:.0f} s" if waited else ""
                raise UserError(
                    "files.unreachable",
                    f"{row.path} cannot be reached{after} ({error.reason}), nor can files that were read before; is "
                    "the disk mounted or the server up, and is the root of the paths (--root) right? Then run the same "
                    "command again",
                )
            if started is None:
                started = time.monotonic()
            if waited == 0 and (may_warn is None or may_warn(WAIT_SECONDS)):
                logger.warning(
                    "%s cannot be reached (%s), nor can files that were read before: waiting up to %g s for the disk "
                    "or server",
                    row.path,
                    error.reason,
                    WAIT_SECONDS,
                )
            time.sleep(LOOK_EVERY)

    def _another_reachable(self, row: Row, error: DecodeError) -> bool:
        """Whether a file that was read before can be reached now, of the same folder or else of the nearest one.

        Raises:
            UserError: nothing was read, and nothing of the dataset can be reached.
        """
        place = _place(row.path)
        if error.code == "file.not_served" and time.monotonic() - self._answered.get(place, -1e9) < SERVER_SECONDS:
            return True
        if place not in self._read and place not in self._asked:
            self._asked.add(place)
            for other in self._known(row):
                self._remember(other)
        if not self._read:
            self._find_any(row, error)
            return True
        nearest = max(reversed(self._read), key=lambda other: _in_common(place, other))
        found = self._find([*reversed(self._read[nearest].values())])
        if found is None and not is_address(row.path):  # somebody may remove files once they are read
            found = self._find(self._neighbors(row, nearest))
        if found is None:
            return False
        self._remember(found)
        self._answered[place] = time.monotonic()
        return True

    def _neighbors(self, row: Row, place: str) -> list[Row]:
        """Other files of a place, of examples near to one."""
        near = range(max(row.example_id - NEAR, 0), min(row.example_id + NEAR, len(self._dataset)))
        rows = (self._dataset.row(example_id) for example_id in near if example_id != row.example_id)
        return [other for other in rows if _place(other.path) == place and other.path != row.path]

    def _find_any(self, row: Row, error: DecodeError) -> None:
        """Look for files all over the dataset, and remember one that is there as if it had been read."""
        most = 10 if is_address(row.path) else SAMPLE
        number = min(len(self._dataset), most)
        rows = [self._dataset.row(place * len(self._dataset) // number) for place in range(number)]
        found = self._find(rows)
        if found is None and error.code in REFUSED:
            raise UserError(error.code, error.reason)
        if found is None:
            raise UserError(
                "files.none_reachable",
                f"none of {number} files of {getattr(self._dataset, 'file', 'the dataset')} can be reached, such as "
                f"{row.path}: {error.reason}; is the disk mounted, and is the root of the paths (--root) right?",
            )
        self._remember(found)

    def _find(self, rows: Sequence[Row]) -> Row | None:
        if not rows:
            return None
        found = self.look(Look(tuple(rows)))
        return None if isinstance(found, DecodeError) else found


def _place(path: str) -> str:
    if is_address(path):
        address = urlsplit(path)
        return f"{address.scheme}://{address.netloc}"
    return os.path.dirname(path)


def _in_common(one: str, other: str) -> int:
    """Length of what two places have in common."""
    both = takewhile(lambda pair: pair[0] == pair[1], zip(one.split("/"), other.split("/"), strict=False))
    return len(list(both))


def read_reachable(
    read: Callable[[File], Result],
    files: Iterable[File],
    dataset: Dataset,
    *,
    workers: int,
    seconds: float,
    prefetch: int | None = None,
    known: Known = nothing_known,
) -> Generator[Result | DecodeError, None, None]:
    """Read files as `read_all` does, but take no failure for the file's own while its disk or server is away.

    Args:
        read: reads a file, which is a `Row` or has one as its attribute `row`.
        files: to read.
        dataset: all examples that they belong to.
        workers: as for `read_all`, and so are `seconds` and `prefetch`.
        seconds: limit per file.
        prefetch: files to read ahead.
        known: returns examples near a row that were read before, by any process.

    Raises:
        UserError: a disk or server went away and did not come back, or was never there.
    """
    begun: deque[File] = deque()

    def noted() -> Iterator[File]:
        for file in files:
            begun.append(file)
            yield file

    def again(file: File) -> Result | DecodeError:
        with closing(read_all(read, [file], workers=min(workers, 1), seconds=seconds)) as result:
            return next(result)

    with (
        Looker(workers) as looker,
        closing(read_all(read, noted(), workers=workers, seconds=seconds, prefetch=prefetch)) as results,
    ):
        disk = Reachability(dataset, known, looker)
        for result in results:
            file = begun.popleft()
            row: Any = getattr(file, "row", file)
            if isinstance(result, DecodeError) and result.unreachable:
                result = disk.confirm(row, result, lambda file=file: again(file))  # type: ignore[misc]
            elif not isinstance(result, DecodeError):
                disk.was_read(row)
            yield result
