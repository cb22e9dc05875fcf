"""Columns of texts from where compiled loops have found them in a block of lines."""

import numpy as np
import pyarrow as pa

from vidsemi.data.formats.field_kernels import NOTHING, Spans, copy_items, copy_texts, text_ends
from vidsemi.data.formats.text_rows import count_line_ends
from vidsemi.data.hashtags.text_table import WORD, words_of
from vidsemi.runtime.arrays import distinct

NO_KINDS = np.zeros(0, np.uint8)  # all are texts without escapes


def whole_lines(block: bytes) -> tuple[np.ndarray, int]:
    """The bytes of lines, (bytes,) uint8, with the end that the last one may lack, and how many lines these are."""
    whole = block if block[-1:] == b"\n" else block + b"\n"
    return np.frombuffer(whole, np.uint8), count_line_ends(whole)


def is_utf8(block: bytes | np.ndarray) -> bool:
    """Whether bytes are valid UTF-8; without Python's lock."""
    ends = pa.py_buffer(np.array([0, len(block)], np.int32))
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(block)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def drop_invalid(data: np.ndarray, ends: np.ndarray, clean: np.ndarray) -> None:
    """Unset `clean`, (lines,) bool, for lines that are not UTF-8; `ends`, (lines,) says where each ends."""
    if is_utf8(data):
        return
    for line in distinct(np.searchsorted(ends, np.flatnonzero(data > 127))).tolist():
        start = ends[line - 1] + 1 if line else 0
        clean[line] &= is_utf8(data[start : ends[line]])


def text_column(data: np.ndarray, spans: Spans, rows: np.ndarray) -> pa.Array:
    """A column of the texts of some rows; those of the kind NOTHING are null."""
    ends = np.empty(len(rows) + 1, np.int32)
    text_ends(spans, rows, ends)
    texts = np.empty(int(ends[-1]) + WORD, np.uint8)
    copy_texts(data, words_of(data), spans, rows, texts, words_of(texts), ends)
    there = spans.kinds[rows] != NOTHING if len(spans.kinds) else np.ones(len(rows), bool)
    return pa.Array.from_buffers(pa.string(), len(rows), [_valid(there), pa.py_buffer(ends), pa.py_buffer(texts)])


def text_lists(data: np.ndarray, spans: Spans, counts: np.ndarray, rows: np.ndarray) -> pa.Array:
    """A column of lists of texts of JSON; as `text_column`, and `counts` says how many texts are in each list."""
    there = spans.kinds[rows] != NOTHING
    item_ends = np.concatenate([[0], np.cumsum(np.where(there, counts[rows], 0))]).astype(np.int32)
    size = int(np.where(there, spans.stops[rows] - spans.starts[rows], 0).sum())
    texts, ends = np.empty(size, np.uint8), np.empty(item_ends[-1] + 1, np.int32)
    copy_items(data, spans.starts, rows, item_ends, texts, ends)
    items = pa.Array.from_buffers(pa.string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(texts)])
    buffers = [_valid(there), pa.py_buffer(item_ends)]
    return pa.Array.from_buffers(pa.list_(pa.string()), len(rows), buffers, children=[items])


def _valid(there: np.ndarray) -> pa.Buffer | None:
    return None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
