"""JSON lines in blocks: Arrow parses the clean lines, Python's `json` the others. The values are the same either way.

Arrow takes some lines that are not JSON to `json`, such as two objects in one line, and reads others in another way. So
a line is clean only if neither can be: see `_clean`. What Arrow refuses in a clean line, `json` reads.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json

from vidsemi.data.formats.csv_blocks import BOM, is_utf8, kept_lines
from vidsemi.data.formats.text_rows import MAX_LINE, UTF16, json_row, json_rows, line_too_long, stream_blocks

PLAIN_NAME = re.compile(r"[0-9A-Za-z_. -]+")  # that a line can hold with escapes only in the form \u00..
OPEN, CLOSE, RETURN, BACKSLASH, QUOTE, COLON = b'{}\r\\":'
CONTROLS = bytes({*range(32)} - set(b"\n\r\t"))
SUSPECTS = (b"Inf", b"NaN")  # numbers to Arrow; Python has other names for some
LONG = 1500  # bytes of a line that may be nested too deeply, or have an integer that is too long, for Python
DEEP, DIGITS = 500, re.compile(rb"[0-9]{4300}")
EXACT = 2.0**53  # up to which all integers are floats
FEW = 64  # lines that are not halved to find one that Arrow refuses
MOST_REFUSED = 64  # parts of a block
ROWS = 50_000  # in a block of a file in UTF-16


@dataclass
class JsonRows:
    """The rows of some lines, in two parts; their line numbers say how they follow each other."""

    numbers: np.ndarray  # (N,) int64 line numbers, from 1
    columns: dict[str, pa.Array]  # the N values of each name; perhaps not of one that has none
    others: list[tuple[int, tuple[Any, ...]]] = field(default_factory=list)  # line numbers and values of all names
    broken: list[int] = field(default_factory=list)  # line numbers
    keys: set[str] = field(default_factory=set)  # some that were seen, and all those of columns


class JsonBlocks:
    """The rows of a file of JSON lines.

    Args:
        file: plain or compressed.
        columns: the key of each name.
        types: of each name; a list of them may come instead of a text where `lists` has the name.
        lists: names.
        known: keys that need not be looked for.
    """

    def __init__(
        self, file: Path, columns: Mapping[str, str], types: Mapping[str, pa.DataType], lists: str, known: set[str]
    ) -> None:
        self._file, self._columns, self._known = file, columns, known
        own = {column: types[name] for name, column in columns.items()}
        self._schemas = [pa.schema(own.items())]
        if lists in columns and own[columns[lists]] == pa.string():
            self._schemas.append(pa.schema({**own, columns[lists]: pa.list_(pa.string())}.items()))
        self._can_parse = all(own[column] == types[name] for name, column in columns.items())
        self._are_plain = all(PLAIN_NAME.fullmatch(column) for column in own)

    def __iter__(self) -> Iterator["partial[JsonRows]"]:
        """Functions that return the rows of one block after another, and may be called in threads."""
        blocks = stream_blocks(self._file)
        block = next(blocks, b"")
        if block[:2] in UTF16:
            blocks.close()
            yield from self._of_other_encoding()
            return
        block, number = block.removeprefix(BOM), 1
        while block:
            yield partial(self._rows, block, number)
            number += block.count(b"\n")
            block = next(blocks, b"")

    def _of_other_encoding(self) -> Iterator["partial[JsonRows]"]:
        broken: list[tuple[int, str]] = []
        found = JsonRows(np.zeros(0, np.int64), {})
        for number, row in json_rows(self._file, broken):
            self._add(found, number, row)
            if len(found.others) == ROWS:
                found.broken, broken[:] = [line for line, _ in broken], []
                yield partial(lambda rows: rows, found)
                found = JsonRows(np.zeros(0, np.int64), {})
        found.broken = [line for line, _ in broken]
        yield partial(lambda rows: rows, found)

    def _add(self, found: JsonRows, number: int, row: dict[str, Any]) -> None:
        found.keys.update(row)
        found.others.append((number, tuple(map(row.get, self._columns.values()))))

    def _rows(self, block: bytes, number: int) -> JsonRows:
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == ord("\n"))
        if block[-1:] != b"\n":
            ends = np.append(ends, len(block))
        clean = self._clean(block, data, ends, number)
        found = JsonRows(np.zeros(0, np.int64), {})
        if clean.any():
            kept = block if clean.all() else kept_lines(data, ends, clean)
            lines = np.flatnonzero(clean)
            parsed = self._parse(kept, np.cumsum(np.diff(ends, prepend=-1)[lines]), found)
            clean[lines[~parsed]] = False
            found.numbers = number + lines[parsed]
        starts = ends - np.diff(ends, prepend=-1) + 1
        for line in np.flatnonzero(~clean).tolist():
            text = block[starts[line] : ends[line]].decode("utf-8", "surrogateescape").strip()
            row = json_row(text) if text else {}
            if row is None:
                found.broken.append(number + line)
            elif text:
                self._add(found, number + line, row)
        return found

    def _clean(self, block: bytes, data: np.ndarray, ends: np.ndarray, number: int) -> np.ndarray:
        """Which lines Arrow may parse, (lines,) bool.

        They are UTF-8 without control characters, from an opening to a closing brace, so that as many objects as lines
        are one in each; without names of numbers that only one of the parsers knows, and without keys that are
        written with an escape; not too deep or long for Python.
        """
        lengths = np.diff(ends, prepend=-1) - 1
        starts = ends - lengths
        last = np.maximum(ends - 1, 0)
        last -= data[last] == RETURN
        last = np.maximum(last, 0)
        clean = (lengths >= 2) & (data[np.minimum(starts, len(data) - 1)] == OPEN) & (data[last] == CLOSE)
        if not self._can_parse:
            clean[:] = False
        places = [place for word in SUSPECTS for place in _places(block, word)]
        if len(block.translate(None, CONTROLS)) < len(block):
            places += np.flatnonzero(np.isin(data, np.frombuffer(CONTROLS, np.uint8))).tolist()
        clean[np.searchsorted(ends, places)] = False
        if b"\\" in block:
            clean[np.searchsorted(ends, self._odd_escapes(data))] = False
        if not is_utf8(block):
            for line in np.unique(np.searchsorted(ends, np.flatnonzero(data > 127))).tolist():
                clean[line] &= is_utf8(block[starts[line] : ends[line]])
        for line in np.flatnonzero(lengths > LONG).tolist():
            text = block[starts[line] : ends[line]]
            if len(text) > MAX_LINE and len(text.decode("utf-8", "surrogateescape")) > MAX_LINE:
                raise line_too_long(self._file, number + line)
            clean[line] &= text.count(b"[") + text.count(b"{") < DEEP and DIGITS.search(text) is None
        fine: np.ndarray = clean
        return fine

    def _odd_escapes(self, data: np.ndarray) -> np.ndarray:
        """Where escapes are that may be of a letter in a key."""
        places = np.flatnonzero(data == BACKSLASH)
        if not self._are_plain:
            return places
        padded = np.append(data, np.zeros(5, np.uint8))
        for offset, least, most in ((1, "u", "u"), (2, "0", "0"), (3, "0", "0"), (4, "2", "7")):
            own = padded[places + offset]
            places = places[(own >= ord(least)) & (own <= ord(most))]
        return places

    def _parse(self, lines: bytes, ends: np.ndarray, found: JsonRows) -> np.ndarray:
        """Fill in the columns of clean lines that end at `ends`; returns which are parsed, (lines,) bool."""
        starts = np.concatenate([[0], ends]).tolist()
        parsed, tables = np.zeros(len(ends), bool), []
        columns = {*self._columns.values()}
        there = columns & self._known | _that_may_be_keys(lines, columns - self._known)
        schemas = [pa.schema([one for one in schema if one.name in there]) for schema in self._schemas]
        refused, pending = 0, [(0, len(ends))]
        while pending:
            first, stop = pending.pop()
            table = None
            for schema in schemas:
                table = _read(lines[starts[first] : starts[stop]], schema, stop - first)
                if table is not None:
                    schemas = [schema]  # a block has one type of each column
                    break
            if table is not None:
                parsed[first:stop] = True
                tables.append(table)
            else:
                refused += 1
                if stop - first > FEW and refused <= MOST_REFUSED:
                    middle = (first + stop) // 2
                    pending += [(middle, stop), (first, middle)]
        if not tables:
            return parsed
        table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
        for name, column in self._columns.items():
            if column in there:
                chunks = table.column(column).chunks
                found.columns[name] = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
        for column in there - self._known:
            if table.column(column).null_count < len(table) or _has_key(lines, column):
                found.keys.add(column)
        return parsed


def _places(block: bytes, word: bytes) -> Iterator[int]:
    place = block.find(word)
    while place >= 0:
        yield place
        place = block.find(word, place + 1)


def _that_may_be_keys(lines: bytes, columns: set[str]) -> set[str]:
    """Those of some columns that may be keys of clean lines: a search for each takes as long as Arrow's parser."""
    data = np.frombuffer(lines, np.uint8)
    colons = np.flatnonzero(data == COLON)
    before = data[colons - 1]
    if np.isin(before, np.frombuffer(b" \t\r", np.uint8)).any():
        return columns
    padded = np.concatenate([np.zeros(8, np.uint8), data])
    words = np.ndarray((len(data) + 1,), "<u8", padded, strides=(1,))  # the 8 bytes before each
    tails = words[colons[before == QUOTE] - 1]
    found = set()
    for column in columns:
        tail = json.dumps(column, ensure_ascii=False).encode()[:-1][-8:]
        if (tails >> np.uint64(64 - 8 * len(tail)) == int.from_bytes(tail, "little")).any():
            found.add(column)
    return found


def _has_key(lines: bytes, column: str) -> bool:
    """Whether one of the clean lines has the key, perhaps with null."""
    quoted = json.dumps(column, ensure_ascii=False).encode()
    place = lines.find(quoted)
    while place >= 0:
        start, end = lines.rfind(b"\n", 0, place) + 1, lines.find(b"\n", place)
        end = len(lines) if end < 0 else end
        if column in (json_row(lines[start:end].decode().strip()) or ()):
            return True
        place = lines.find(quoted, end)
    return False


def _read(lines: bytes, schema: pa.Schema, count: int) -> pa.Table | None:
    """The columns of clean lines; None if a value has another type, or any line is not one row."""
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(lines),
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException:
        return None
    if len(table) != count:
        return None
    for column in table.columns:
        if pa.types.is_floating(column.type):
            values = column.drop_null().to_numpy()
            # Python tells integers from floats, refuses integers that are not floats, and has no -0.
            if not (np.abs(values) < EXACT).all() or (np.signbit(values) & (values == 0)).any():
                return None
    return table
