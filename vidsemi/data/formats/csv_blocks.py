"""CSV and TSV in blocks: a compiled loop reads the clean lines, `ResyncedRows` the others. The rows are the same."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from vidsemi.data.formats.field_kernels import DELIMITER, END, HIGH, SPECIAL, Spans, find_fields
from vidsemi.data.formats.fields import NO_KINDS, drop_invalid, text_column, whole_lines
from vidsemi.data.formats.text_rows import UTF16, Broken, ResyncedRows, stream_blocks, stream_lines

BOM = b"\xef\xbb\xbf"
MAX_CLEAN = 1 << 17  # bytes of a line; csv refuses longer fields
ROWS = 50_000  # rows in a block that no clean line is in


@dataclass
class Block:
    """Rows of a table, in two parts; their line numbers say how they follow each other."""

    numbers: np.ndarray  # (N,) int64 line numbers, from 1
    parse: Callable[[], dict[int, pa.Array]]  # the N values of each column by its place in the header
    others: list[tuple[int, list[str]]]  # line numbers and values of whole rows


class _Found(NamedTuple):
    """Where the fields of N lines are; see `find_fields`."""

    starts: np.ndarray  # (places + 1, N) int32
    stops: np.ndarray
    ends: np.ndarray  # (N,) int64, of lines
    clean: np.ndarray  # (N,) bool


class CsvBlocks:
    """The rows of a CSV file after its header.

    Attributes:
        header: names of the columns; empty if there is none.
        broken: receives the numbers of broken lines, and what is wrong with them.
    """

    def __init__(self, file: Path, delimiter: str, broken: Broken) -> None:
        self.header: list[str] = []
        self.broken = broken
        self.places: tuple[int, ...] = ()  # of the columns that are needed
        self._delimiter = delimiter
        self._number = 1  # of the next line
        self._carry = b""  # lines that were read and belong to the next block
        self._blocks = stream_blocks(file)
        self._slow_rows: ResyncedRows | None = None  # the rest of the file, if lines end in other ways
        first = next(self._blocks, b"")
        lines = _Lines(first.removeprefix(BOM), self._blocks)
        rows = self._rows_of(lines.starting(0), 1)
        try:
            if first[:2] in UTF16:
                raise _OtherLinesError
            self._read_header(rows)
            self._number = rows.number
            self._carry = lines.after(self._number - 1)
        except _OtherLinesError:
            broken.clear()
            self._slow_rows = self._rows_of(stream_lines(file, newline=""), 1)
            self._read_header(self._slow_rows)

    def _rows_of(self, lines: Iterator[str], number: int) -> ResyncedRows:
        return ResyncedRows(lines, self._delimiter, self.broken, len(self.header), number)

    def _read_header(self, rows: ResyncedRows) -> None:
        while not self.header and (row := rows.next_row()) is not None:
            self.header = row

    def __iter__(self) -> Iterator[Block]:
        """The rows, a block at a time."""
        while self._slow_rows is None and (block := self._carry or next(self._blocks, b"")):
            self._carry = b""
            if _has_other_ends(block):
                self._slow_rows = self._rows_of(self._slow_lines(block), self._number)
            else:
                yield self._block(block)
        if self._slow_rows is not None:
            yield from _one_by_one(self._slow_rows)

    def _slow_lines(self, block: bytes) -> Iterator[str]:
        while block:
            yield from io.StringIO(block.decode("utf-8", "surrogateescape"), newline="")
            block = next(self._blocks, b"")

    def _block(self, block: bytes) -> Block:
        data, count = whole_lines(block)
        found = self._find(data, count)
        ends, clean = found.ends, found.clean
        others: list[tuple[int, list[str]]] = []
        taken = 0
        if not clean.all():
            lines = _Lines(block, self._blocks)
            for place in np.flatnonzero(~clean).tolist():
                if place < taken:
                    continue
                rows = self._rows_of(lines.starting(place), self._number + place)
                try:
                    row = rows.next_row(one_only=True)
                except _OtherLinesError:
                    clean[place:] = False
                    self._slow_rows = self._rows_of(self._slow_lines(lines.after(place)), self._number + place)
                    break
                taken = rows.number - self._number
                clean[place:taken] = False
                if row:
                    others.append((self._number + place, row))
            self._carry = lines.after(max(taken, len(ends)))
        numbers = self._number + np.flatnonzero(clean)
        self._number += max(taken, len(ends))
        if not len(numbers):
            return Block(numbers, dict, others)
        return Block(numbers, partial(self._parse, data, found), others)

    def _find(self, data: np.ndarray, lines: int) -> "_Found":
        """The fields of the lines, of which those are clean that csv reads as one row without quotes."""
        special = np.zeros(256, np.uint8)
        special[128:] = HIGH
        special[[0, ord('"')]] = SPECIAL
        special[[ord(self._delimiter), ord("\n")]] = DELIMITER, END
        slots = np.full(len(self.header), len(self.places), np.int64)
        slots[list(self.places)] = range(len(self.places))
        starts, stops = np.empty((2, len(self.places) + 1, lines), np.int32)
        found = _Found(starts, stops, np.empty(lines, np.int64), np.empty(lines, bool))
        if find_fields(data, special, len(slots), slots, MAX_CLEAN, starts, stops, found.ends, found.clean):
            drop_invalid(data, found.ends, found.clean)
        return found

    def _parse(self, data: np.ndarray, found: "_Found") -> dict[int, pa.Array]:
        rows = np.flatnonzero(found.clean)
        return {
            place: text_column(data, Spans(found.starts[slot], found.stops[slot], NO_KINDS), rows)
            for slot, place in enumerate(self.places)
        }


def _one_by_one(rows: ResyncedRows) -> Iterator[Block]:
    others: list[tuple[int, list[str]]] = []
    while (row := rows.next_row()) is not None:
        others.append((rows.first, row))
        if len(others) == ROWS:
            yield Block(np.zeros(0, np.int64), dict, others)
            others = []
    yield Block(np.zeros(0, np.int64), dict, others)


class _OtherLinesError(Exception):
    """Some lines end in a carriage return alone, or the encoding is another one."""


def _has_other_ends(lines: bytes) -> bool:
    return b"\r" in lines and b"\r" in lines.replace(b"\r\n", b"")


class _Lines:
    """The lines of a block and, if more are asked for, of those that follow."""

    def __init__(self, block: bytes, blocks: Iterator[bytes]) -> None:
        self._lines = io.BytesIO(block).readlines()
        self._blocks = blocks

    def starting(self, place: int) -> Iterator[str]:
        """The lines from this one on."""
        while True:
            while place < len(self._lines):
                if _has_other_ends(self._lines[place]):
                    raise _OtherLinesError
                yield self._lines[place].decode("utf-8", "surrogateescape")
                place += 1
            more = next(self._blocks, b"")
            if not more:
                return
            self._lines += io.BytesIO(more).readlines()

    def after(self, place: int) -> bytes:
        """The lines from this one on that were read already."""
        return b"".join(self._lines[place:])
