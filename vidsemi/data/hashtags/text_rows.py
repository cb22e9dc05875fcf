"""Rows of text files that others wrote, plain or compressed: what is no row is noted with its line, and skipped."""

import bz2
import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from vidsemi.io.errors import UserError
from vidsemi.io.progress import SECONDS, progress_bar
from vidsemi.runtime.library_errors import is_field_too_long

COMPRESSED = {".gz", ".bz2"}
MEGABYTE = 1_000_000

Broken = list[tuple[int, str]]  # numbers of lines, from 1, and what is wrong with them; never what they say


def text_suffix(file: Path) -> str:
    """The suffix that says what a file holds, in lower case: `.csv` of `tags.csv.gz`."""
    return (Path(file.stem) if file.suffix.lower() in COMPRESSED else file).suffix.lower()


def csv_rows(file: Path, delimiter: str, broken: Broken) -> Iterator[tuple[int, list[str]]]:
    """Rows that are as long as the first one, which is the header, and the numbers of the lines they begin in.

    A field in quotes may go on over further lines. Where that does not end in a row, its first line is broken and the
    next row is looked for in the second one: a stray quote costs one line, not all up to the next quote.
    """
    lines = _Lines(read_lines(file, newline=""))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns, number = 0, 1
    while True:
        row: list[str] = []
        wrong = ""
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            wrong = (
                "has a field that is too long, or a quote that does not end"
                if is_field_too_long(error)
                else f"is no row: {error}"
            )
        columns = columns or len(row)
        if row and len(row) != columns:
            wrong = f"has {len(row)} columns, not {columns}"
        if wrong:
            broken.append((number, wrong))
            lines.give_back_all_but_one()
        elif row:  # not an empty line
            yield number, row
        number += len(lines.taken)
        lines.taken.clear()


class _Lines:
    """Lines, of which those `taken` can be given back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.taken: list[str] = []
        self._lines = lines
        self._again: deque[str] = deque()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        return line

    def give_back_all_but_one(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def json_rows(file: Path, broken: Broken) -> Iterator[tuple[int, dict[str, Any]]]:
    """JSON objects, one a line, and their lines' numbers."""
    decode = json.JSONDecoder().raw_decode  # 0.9 µs a line; json.loads takes 1.7
    for number, line in enumerate(read_lines(file, newline="\n"), start=1):
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
            broken.append((number, "is no JSON object"))


def tab_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """What stands between tabs, without a header or quotes, and the lines' numbers."""
    for number, line in enumerate(read_lines(file, newline="\n"), start=1):
        yield number, line.rstrip("\r\n").split("\t")


def read_lines(file: Path, newline: str) -> Iterator[str]:
    """Lines of UTF-8; bytes that are not stay as lone surrogates (see `is_no_text`).

    Args:
        file: plain, or gzip or bzip2 by its suffix.
        newline: of `open`.

    Raises:
        UserError: the file is not there, cannot be read or is cut off.
    """
    number = 0
    try:
        with open(file, "rb") as raw, _unpacked(raw, file.suffix.lower()) as stream:
            text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline)
            size = file.stat().st_size // MEGABYTE
            with progress_bar(size, "megabyte", f"reading {file.name}", delay=SECONDS) as bar:
                for number, line in enumerate(text, start=1):
                    if number % 10_000 == 0:
                        bar.update(raw.tell() // MEGABYTE - bar.n)
                    yield line
    except FileNotFoundError:
        raise UserError(f"there is no file {file}") from None
    except EOFError:
        raise UserError(f"{file} is cut off after line {number}; is it still being copied?") from None
    except (OSError, zlib.error) as error:
        raise UserError(f"{file} cannot be read (after line {number}): {error}") from None


def _unpacked(raw: IO[bytes], suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    return bz2.BZ2File(raw) if suffix == ".bz2" else raw
