"""CSV and TSV in blocks: Arrow parses the clean lines, `ResyncedRows` the others. The rows are the same either way."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

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
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == 10)
        if block[-1] != 10:
            ends = np.append(ends, len(block))
        clean = self._clean(block, data, ends)
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
        kept = block if clean.all() else kept_lines(data, ends, clean)
        return Block(numbers, partial(self._parse, kept), others)

    def _clean(self, block: bytes, data: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Which lines are one row without quotes, as Arrow and csv read it alike, (lines,) bool."""
        marks = np.flatnonzero(data == ord(self._delimiter))
        lengths = np.diff(ends, prepend=-1)
        clean = (np.diff(np.searchsorted(marks, ends), prepend=0) == len(self.header) - 1) & (lengths < MAX_CLEAN)
        empty = np.flatnonzero(lengths <= 2)
        clean[empty[[block[ends[line] - lengths[line] + 1 : ends[line]].strip() == b"" for line in empty]]] = False
        for byte in (b'"', b"\0"):
            if byte in block:
                clean[np.searchsorted(ends, np.flatnonzero(data == byte[0]))] = False
        place = block.find(BOM)  # which Arrow removes where it begins
        while place >= 0:
            clean[np.searchsorted(ends, place)] = False
            place = block.find(BOM, place + 1)
        if not is_utf8(block):
            starts = ends - lengths + 1
            for line in np.unique(np.searchsorted(ends, np.flatnonzero(data > 127))).tolist():
                clean[line] &= is_utf8(block[starts[line] : ends[line]])
        fine: np.ndarray = clean
        return fine

    def _parse(self, block: bytes) -> dict[int, pa.Array]:
        names = list(map(str, range(len(self.header))))
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block),
            pyarrow.csv.ReadOptions(column_names=names, block_size=len(block) + 1, use_threads=False),
            pyarrow.csv.ParseOptions(delimiter=self._delimiter, quote_char=False, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=[str(place) for place in self.places],
                strings_can_be_null=False,
            ),
        )
        return {place: table.column(str(place)).combine_chunks() for place in self.places}


def _one_by_one(rows: ResyncedRows) -> Iterator[Block]:
    others: list[tuple[int, list[str]]] = []
    while (row := rows.next_row()) is not None:
        others.append((rows.first, row))
        if len(others) == ROWS:
            yield Block(np.zeros(0, np.int64), dict, others)
            others = []
    yield Block(np.zeros(0, np.int64), dict, others)


def is_utf8(block: bytes) -> bool:
    """Whether bytes are valid UTF-8."""
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def kept_lines(data: np.ndarray, ends: np.ndarray, kept: np.ndarray) -> bytes:
    """Some of the lines that end at `ends`, one behind the other."""
    lengths = np.diff(ends, prepend=-1)
    if ends[-1] == len(data):
        lengths[-1] -= 1
    return bytes(data[np.repeat(kept, lengths)])


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
