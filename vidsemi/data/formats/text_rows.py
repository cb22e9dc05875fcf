"""Rows of text files from others, plain or compressed. Broken lines are recorded and skipped."""

import bz2
import codecs
import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from vidsemi.io.errors import UserError
from vidsemi.io.progress import SECONDS, progress_bar
from vidsemi.runtime.library_errors import is_field_too_long

COMPRESSED = {".gz", ".bz2"}
MEGABYTE = 1_000_000
MAX_LINE = 1 << 20  # characters of a line, and of a CSV row whose quotes span lines
MAX_TEXT = 1 << 30  # bytes of a list that is read as a whole
MAX_RATIO = 1000  # of a compressed file; 2 to 50 for tables, a million for zeros
UNPACKED = 100 * MEGABYTE  # up to which the ratio does not matter
CHECKED = 10_000  # lines between two looks at the ratio and the progress
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how a table begins that Excel saves as "Unicode text"

MAX_BROKEN = 1_000_000  # lines of a table

Broken = list[tuple[int, str]]  # line numbers, from 1, and what is wrong with the line, never its content


class BrokenLines(Broken):
    """Broken lines, of which there may be so many that the file is not a table: then a `UserError`."""

    def append(self, line: tuple[int, str]) -> None:
        """Add a line."""
        if len(self) >= MAX_BROKEN:
            number, problem = self[0]
            raise UserError(
                "table.too_many_broken",
                f"more than {MAX_BROKEN} lines of the table cannot be used; line {number}, the first, {problem}",
            )
        super().append(line)


def text_suffix(file: Path) -> str:
    """The suffix that tells what a file contains, in lower case: `.csv` for `tags.csv.gz`."""
    return (Path(file.stem) if file.suffix.lower() in COMPRESSED else file).suffix.lower()


def read_text_lines(file: Path) -> list[str]:
    """The lines of a small UTF-8 or UTF-16 text file, without their ends."""
    try:
        if (size := file.stat().st_size) > MAX_TEXT:
            raise UserError("file.too_large", f"{file} has {size} bytes; a list may have {MAX_TEXT}")
        content = file.read_bytes()
        return content.decode("utf-16" if content[:2] in UTF16 else "utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError("file.missing", f"file {file} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("file.unreadable", f"{file} cannot be read: {error}") from None


def resynced_rows(lines: Iterator[str], delimiter: str, broken: Broken) -> Iterator[tuple[int, list[str]]]:
    r"""Read CSV rows; after a broken one, resume at the next line.

    A quoted field may span lines. If that does not end in a valid row, only the first of these lines is broken and the
    next row is looked for in the second: a stray quote costs one line, not everything up to the next quote. A row is
    also broken if it has another length than the header. Yields the number of each row's first line, and its fields;
    empty lines are skipped.

    >>> broken = []
    >>> for row in resynced_rows(iter(['path,tags\n', 'a.mp4,"#x\n', 'b.mp4,#y\n']), ",", broken):
    ...     print(row)
    (1, ['path', 'tags'])
    (3, ['b.mp4', '#y'])
    >>> broken
    [(2, 'is not a row: unexpected end of data')]
    """
    pushback = _PushbackLines(lines)
    reader = csv.reader(pushback, delimiter=delimiter, strict=True)
    columns, number = 0, 1
    while True:
        row: list[str] = []
        problem = ""
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"is not a row: {error}"
            if is_field_too_long(error):
                problem = "has a field that is too long, or a quote that does not end"
        columns = columns or len(row)
        if row and len(row) != columns:
            problem = f"has {len(row)} columns, not {columns}"
        if problem:
            broken.append((number, problem))
            pushback.push_back_all_but_one()
        elif row:
            yield number, row
        number += len(pushback.taken)
        pushback.start_row()


class _PushbackLines:
    """An iterator of lines; those `taken` can be pushed back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.taken: list[str] = []
        self._size = 0  # characters taken
        self._lines = lines
        self._again: deque[str] = deque()

    def __iter__(self) -> "_PushbackLines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        self._size += len(line)
        if self._size > MAX_LINE and len(self.taken) > 1:
            raise csv.Error(f"its quotes span more than {MAX_LINE} characters")
        return line

    def push_back_all_but_one(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]

    def start_row(self) -> None:
        self.taken.clear()
        self._size = 0


def csv_rows(file: Path, delimiter: str, broken: Broken) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and rows of a CSV file, header first; see `resynced_rows`."""
    return resynced_rows(stream_lines(file, newline=""), delimiter, broken)


def json_rows(file: Path, broken: Broken) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and JSON objects, one per line."""
    decode = json.JSONDecoder().raw_decode  # 0.9 µs a line; json.loads takes 1.7
    for number, line in enumerate(stream_lines(file, newline="\n"), start=1):
        line = line.strip()
        if not line:
            continue
        try:
            row, end = decode(line)
        except (ValueError, RecursionError):  # the latter for [[[[…
            row, end = None, 0
        if isinstance(row, dict) and end == len(line):
            yield number, row
        else:
            broken.append((number, "is not a JSON object"))


def tab_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and tab-separated fields, without a header or quotes."""
    for number, line in enumerate(stream_lines(file, newline="\n"), start=1):
        yield number, line.rstrip("\r\n").split("\t")


def stream_lines(file: Path, newline: str) -> Generator[str, None, None]:
    """Stream the lines of a UTF-8 file, plain or compressed; invalid bytes become lone surrogates (see `is_utf8`).

    A file that begins with the mark of UTF-16 is one.

    Raises:
        UserError: it cannot be read, has a line of more than `MAX_LINE` characters, or unpacks to far more than its
            size: neither is a table, and both would take any amount of memory.
    """
    number = 0
    try:
        with open(file, "rb") as raw, _unpacked(raw, file.suffix.lower()) as stream:
            is_utf16 = raw.peek(2)[:2] in UTF16
            encoding, errors = ("utf-16", "replace") if is_utf16 else ("utf-8-sig", "surrogateescape")
            text = io.TextIOWrapper(stream, encoding, errors, newline)
            size = file.stat().st_size // MEGABYTE
            with progress_bar(size, "megabyte", f"reading {file.name}", delay=SECONDS) as bar:
                for number, line in enumerate(iter(partial(text.readline, MAX_LINE + 1), ""), start=1):
                    if len(line) > MAX_LINE:
                        raise UserError(
                            "file.line_too_long",
                            f"{file}: line {number} has more than {MAX_LINE} characters; is it a table?",
                        )
                    if number % CHECKED == 0:
                        bar.update(raw.tell() // MEGABYTE - bar.n)
                        _check_ratio(file, raw.tell(), stream.tell())
                    yield line
    except FileNotFoundError:
        raise UserError("file.missing", f"file {file} does not exist") from None
    except EOFError:
        raise UserError(
            "file.truncated", f"{file} is truncated after line {number}; is it still being copied?"
        ) from None
    except (OSError, zlib.error) as error:
        raise UserError("file.unreadable", f"{file} cannot be read (after line {number}): {error}") from None


def _check_ratio(file: Path, packed: int, unpacked: int) -> None:
    if unpacked > max(UNPACKED, MAX_RATIO * packed):
        raise UserError(
            "file.unpacks_too_large",
            f"{file} unpacks to more than {MAX_RATIO} times its size, as no table does; unpack it yourself to read it",
        )


def _unpacked(raw: IO[bytes], suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    return bz2.BZ2File(raw) if suffix == ".bz2" else raw
