"""Rows of text files from others, plain or compressed. Broken lines are recorded and skipped."""

import bz2
import codecs
import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from vidsemi.io.errors import UserError
from vidsemi.io.progress import SECONDS, progress_bar
from vidsemi.runtime.library_errors import is_field_too_long

COMPRESSED = {".gz", ".bz2"}
MEGABYTE = 1_000_000
BLOCK = 4 << 20  # bytes
MAX_LINE = 1 << 20  # characters of a line, and of a CSV row whose quotes span lines
MAX_TEXT = 1 << 30  # bytes of a list that is read as a whole
MAX_RATIO = 1000  # of a compressed file; 2 to 50 for tables, a million for zeros
UNPACKED = 100 * MEGABYTE  # up to which the ratio does not matter
CHECKED = 10_000  # lines between two looks at the ratio and the progress
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how a table begins that Excel saves as "Unicode text"

NOT_JSON = "is not a JSON object"
decode_json = json.JSONDecoder().raw_decode  # 0.9 µs a line; json.loads takes 1.7

MAX_BROKEN = 1_000_000  # lines of a table

Broken = list[tuple[int, str]]  # line numbers, from 1, and what is wrong with the line, never its content


class BrokenLines(Broken):
    """Broken lines, of which there may be so many that the file is not a table: then a `UserError`."""

    def append(self, line: tuple[int, str]) -> None:
        """Add a line."""
        if len(self) >= MAX_BROKEN:
            number, problem = min(self)
            raise UserError(
                "table.too_many_broken",
                f"more than {MAX_BROKEN} lines of the table cannot be used; line {number}, the first, {problem}",
            )
        super().append(line)


def text_suffix(file: Path) -> str:
    """The suffix that tells what a file contains, in lower case: `.csv` for `tags.csv.gz`."""
    return (Path(file.stem) if file.suffix.lower() in COMPRESSED else file).suffix.lower()


def is_json_lines(file: Path) -> bool:
    """Whether a file is one of JSON lines, plain or compressed, by its name."""
    return text_suffix(file) in (".jsonl", ".ndjson")


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


class ResyncedRows:
    r"""The rows of CSV lines; after a broken one, reading resumes at the next line.

    A quoted field may span lines. If that does not end in a valid row, only the first of these lines is broken and the
    next row is looked for in the second: a stray quote costs one line, not everything up to the next quote. A row is
    also broken if it has another length than the first one, the header, or than `columns`. Empty lines are skipped.

    >>> broken = []
    >>> rows = ResyncedRows(iter(['path,tags\n', 'a.mp4,"#x\n', 'b.mp4,#y\n']), ",", broken)
    >>> while row := rows.next_row():
    ...     print(rows.first, row)
    1 ['path', 'tags']
    3 ['b.mp4', '#y']
    >>> broken
    [(2, 'is not a row: unexpected end of data')]

    Attributes:
        number: of the next line, from 1.
        first: the number of the first line of the row that came last.
    """

    def __init__(self, lines: Iterator[str], delimiter: str, broken: Broken, columns: int = 0, number: int = 1) -> None:
        self.number = self.first = number
        self._columns = columns
        self._broken = broken
        self._lines = _PushbackLines(lines)
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)

    def next_row(self, *, one_only: bool = False) -> list[str] | None:
        """The next row, None at the end. With `one_only` also None if what comes next is a broken or an empty line."""
        while True:
            row: list[str] = []
            problem = ""
            try:
                row = next(self._reader)
            except StopIteration:
                return None
            except csv.Error as error:
                problem = f"is not a row: {error}"
                if is_field_too_long(error):
                    problem = "has a field that is too long, or a quote that does not end"
            self._columns = self._columns or len(row)
            if row and len(row) != self._columns:
                problem = f"has {len(row)} columns, not {self._columns}"
            if problem:
                self._broken.append((self.number, problem))
                self._lines.push_back_all_but_one()
            self.first = self.number
            self.number += len(self._lines.taken)
            self._lines.start_row()
            if row and not problem:
                return row
            if one_only:
                return None


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


def json_rows(file: Path, broken: Broken) -> Generator[tuple[int, dict[str, Any]], None, None]:
    """Line numbers and JSON objects, one per line."""
    for number, line in enumerate(stream_lines(file, newline="\n"), start=1):
        line = line.strip()
        if not line:
            continue
        if (row := json_row(line)) is not None:
            yield number, row
        else:
            broken.append((number, NOT_JSON))


def json_row(line: str) -> dict[str, Any] | None:
    """The JSON object in a line without spaces around it; None if it is not one."""
    try:
        row, end = decode_json(line)
    except (ValueError, RecursionError):  # the latter for [[[[…
        return None
    return row if isinstance(row, dict) and end == len(line) else None


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
    with _readable(file, lambda: number) as (raw, stream, bar):
        is_utf16 = raw.peek(2)[:2] in UTF16
        encoding, errors = ("utf-16", "replace") if is_utf16 else ("utf-8-sig", "surrogateescape")
        text = io.TextIOWrapper(stream, encoding, errors, newline)
        for number, line in enumerate(iter(partial(text.readline, MAX_LINE + 1), ""), start=1):
            if len(line) > MAX_LINE:
                raise line_too_long(file, number)
            if number % CHECKED == 0:
                bar.update(raw.tell() // MEGABYTE - bar.n)
                _check_ratio(file, raw.tell(), stream.tell())
            yield line


def stream_blocks(file: Path) -> Generator[bytes, None, None]:
    """Stream the bytes of a UTF-8 file, plain or compressed, in blocks of whole lines; errors as of `stream_lines`.

    Of a UTF-16 file only the first block is of use, to tell that it is one.
    """
    number = 0
    with _readable(file, lambda: number) as (raw, stream, bar):
        while block := stream.read(BLOCK):
            if block[:2] not in UTF16 or number:
                if 1 < len(block) - block.rfind(b"\n") <= 4 * MAX_LINE:  # of which no letter takes more than four
                    block += stream.readline(4 * MAX_LINE + 1)
                _check_lengths(file, block, number)
            yield block
            number += count_line_ends(block)
            bar.update(raw.tell() // MEGABYTE - bar.n)
            _check_ratio(file, raw.tell(), stream.tell())


def count_line_ends(block: bytes) -> int:
    """The line ends in a block; `bytes.count` takes 0.05 s for 100 MB, five times as long."""
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


@contextmanager
def _readable(file: Path, number: Callable[[], int]) -> Iterator[tuple[Any, Any, Any]]:
    """The file, its unpacked content and a progress bar of megabytes; errors of reading name the line `number()`."""
    try:
        with open(file, "rb") as raw, _unpacked(raw, file.suffix.lower()) as stream:
            size = file.stat().st_size // MEGABYTE
            with progress_bar(size, "megabyte", f"reading {file.name}", delay=SECONDS) as bar:
                yield raw, stream, bar
    except FileNotFoundError:
        raise UserError("file.missing", f"file {file} does not exist") from None
    except EOFError:
        raise UserError(
            "file.truncated", f"{file} is truncated after line {number()}; is it still being copied?"
        ) from None
    except (OSError, zlib.error) as error:
        raise UserError("file.unreadable", f"{file} cannot be read (after line {number()}): {error}") from None


def _check_lengths(file: Path, block: bytes, number: int) -> None:
    """Refuse a line of more than `MAX_LINE` characters; `number` lines come before the block."""
    start = 0
    while start < len(block) - MAX_LINE:
        end = block.rfind(b"\n", start, start + MAX_LINE)
        if end < 0:  # more bytes, but perhaps not more characters
            end = block.find(b"\n", start)
            end = len(block) if end < 0 else end
            piece = block[start : min(end + 1, start + MAX_LINE + 1)]
            if not piece.isascii() or b"\r" in piece:
                piece = block[start : min(end + 1, start + 4 * MAX_LINE + 4)]
            text = piece.decode("utf-8", "surrogateescape")
            if max(map(len, io.StringIO(text, newline="") if "\r" in text else [text]), default=0) > MAX_LINE:
                raise line_too_long(file, number + block.count(b"\n", 0, start) + 1)
        start = end + 1


def line_too_long(file: Path, number: int) -> UserError:
    """The error for a line with more than `MAX_LINE` characters."""
    return UserError("file.line_too_long", f"{file}: line {number} has more than {MAX_LINE} characters; is it a table?")


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
