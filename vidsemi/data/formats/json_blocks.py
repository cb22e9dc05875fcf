"""JSON lines in blocks: a compiled loop parses the clean lines, Python's `json` the others.

The values are the same either way: what the loop does not take for clean, see `json_kernels`, `json` reads.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.data.formats.csv_blocks import BOM
from vidsemi.data.formats.field_kernels import ESCAPED, LIST, TEXT, Spans
from vidsemi.data.formats.fields import drop_invalid, text_column, text_lists, whole_lines
from vidsemi.data.formats.json_kernels import OF_INTEGERS, OF_NUMBERS, OF_TAGS, OF_TEXTS, Keys, Values, find_values
from vidsemi.data.formats.text_rows import MAX_LINE, UTF16, json_row, json_rows, line_too_long, stream_blocks

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
    """

    def __init__(self, file: Path, columns: Mapping[str, str], types: Mapping[str, pa.DataType], lists: str) -> None:
        self._file, self._columns = file, columns
        self._types = {column: types[name] for name, column in columns.items()}
        self._can_parse = all(self._types[column] == types[name] for name, column in columns.items())
        kinds = {pa.string(): OF_TEXTS, pa.int64(): OF_INTEGERS, pa.float64(): OF_NUMBERS}
        kinds_of = np.array([kinds[type_] for type_ in self._types.values()], np.int64)
        if self._types.get(columns.get(lists, "")) == pa.string():
            kinds_of[list(self._types).index(columns[lists])] = OF_TAGS
        keys = [column.encode("utf-8", "surrogatepass") for column in self._types]
        ends = np.cumsum([0, *map(len, keys)])
        self._keys = Keys(np.frombuffer(b"".join(keys), np.uint8), ends, kinds_of)

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
            data, lines = whole_lines(block)
            yield partial(self._rows, data, lines, number)
            number += lines
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

    def _rows(self, data: np.ndarray, lines: int, number: int) -> JsonRows:
        values, seen = self._find(data, lines)
        begins = np.concatenate([[0], values.ends[:-1] + 1])
        self._check_lengths(data, begins, values.ends, number)
        rows = np.flatnonzero(values.clean)
        own = {
            column: self._column(data, values, place, rows)
            for place, column in enumerate(self._types)
            if seen >> place & 1 and len(rows)
        }
        columns = {name: own[column] for name, column in self._columns.items() if column in own}
        found = JsonRows(number + rows, columns, keys={*own})
        for line in np.flatnonzero(~values.clean).tolist():
            text = data[begins[line] : values.ends[line]].tobytes().decode("utf-8", "surrogateescape").strip()
            row = json_row(text) if text else {}
            if row is None:
                found.broken.append(number + line)
            elif text:
                self._add(found, number + line, row)
        return found

    def _find(self, data: np.ndarray, lines: int) -> tuple[Values, int]:
        """The values in the lines, of which those are clean that Arrow's columns can hold; and their keys, as bits."""
        shape = len(self._types), lines
        starts, stops = np.empty((2, *shape), np.int32)
        counts, ends, clean = np.empty(lines, np.int32), np.empty(lines, np.int64), np.empty(lines, bool)
        values = Values(starts, stops, np.zeros(shape, np.uint8), counts, ends, clean)
        seen = find_values(data, self._keys, values)
        drop_invalid(data, ends, clean)
        if not self._can_parse:
            clean[:] = False
        for place in np.flatnonzero(self._keys.types == OF_TAGS):
            kinds = values.kinds[place]
            lists, texts = kinds == LIST, (kinds == TEXT) | (kinds == ESCAPED)
            # A column is of one type: lines with the rarer one are read one by one.
            clean &= ~(texts if np.count_nonzero(lists & clean) > np.count_nonzero(texts & clean) else lists)
        return values, seen

    def _column(self, data: np.ndarray, values: Values, place: int, rows: np.ndarray) -> pa.Array:
        spans = Spans(values.starts[place], values.stops[place], values.kinds[place])
        if (spans.kinds[rows] == LIST).any():
            return text_lists(data, spans, values.counts, rows)
        texts = text_column(data, spans, rows)
        return texts if self._keys.types[place] == OF_TAGS else texts.cast(list(self._types.values())[place])

    def _check_lengths(self, data: np.ndarray, begins: np.ndarray, ends: np.ndarray, number: int) -> None:
        for line in np.flatnonzero(ends - begins > MAX_LINE).tolist():
            if len(data[begins[line] : ends[line]].tobytes().decode("utf-8", "surrogateescape")) > MAX_LINE:
                raise line_too_long(self._file, number + line)
