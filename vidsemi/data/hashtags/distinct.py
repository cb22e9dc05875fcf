"""Distinct texts, numbered as they come; what is in there stays, so numbers remain valid."""

import os

import numpy as np
import pyarrow as pa

from vidsemi.data.hashtags.text_table import (
    WORD,
    Table,
    Texts,
    fill_slots,
    first_other,
    hash_texts,
    number_text,
    number_texts,
    words_of,
)

# Random, so that nobody can write tags whose hashes are the same.
KEY = np.frombuffer(os.urandom(8), np.uint64)[0] | np.uint64(1)
FEW = 1 << 12  # texts that a new table has room for
LENGTH = 16  # bytes of a text there is room for


class Distinct:
    """Texts, each once."""

    def __init__(self) -> None:
        slots, hashes, ends = np.zeros(2 * FEW, np.uint64), np.empty(FEW, np.uint64), np.zeros(FEW + 1, np.int64)
        self._table = Table(slots, hashes, ends, np.zeros(FEW * LENGTH, np.uint8), np.zeros(1, np.int64))

    def __len__(self) -> int:
        return int(self._table.used[0])

    @property
    def size(self) -> int:
        """Bytes of all texts."""
        return int(self._table.ends[len(self)])

    @property
    def ends(self) -> np.ndarray:
        """Where each text begins in `data`, and the last ends, (N + 1,) int64."""
        return self._table.ends[: len(self) + 1]

    @property
    def data(self) -> np.ndarray:
        """The bytes of all texts, and at least a word more."""
        return self._table.data

    def numbers(self, texts: Texts) -> np.ndarray:
        """The number of each text, (N,) int32; -1 of those that have none. New texts are added."""
        numbers = np.empty(len(texts.starts), np.int32)
        done = 0
        while (done := number_texts(self._table, texts, numbers, done)) < len(numbers):
            self._grow(int(texts.lengths[done]))
        given, done = texts._replace(data=words_of(texts.data)), 0
        while (done := first_other(self._table, words_of(self.data), given, numbers, done)) < len(numbers):
            while (number := number_text(self._table, texts, done)) < 0:
                self._grow(int(texts.lengths[done]))
            numbers[done] = number
            done += 1
        return numbers

    def numbers_of(self, column: pa.Array) -> np.ndarray:
        """The number of each text of a column, (N,) int32; -1 of nulls."""
        data, ends = text_bytes(column)
        starts, lengths = ends[:-1].astype(np.int64), np.diff(ends)
        if column.null_count:
            lengths[~column.is_valid().to_numpy(zero_copy_only=False)] = -1
        texts = Texts(data, starts, lengths, np.empty(len(column), np.uint64))
        hash_texts(texts, KEY)
        return self.numbers(texts)

    def texts(self, first: int = 0) -> pa.Array:
        """The texts from one number on."""
        ends = self.ends[first:]
        data = self.data[ends[0] : ends[-1]].copy()
        buffers = [None, pa.py_buffer((ends - ends[0]).astype(np.int32)), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.string(), len(ends) - 1, buffers)

    def _grow(self, length: int) -> None:
        """Make room for at least one more text of so many bytes."""
        slots, hashes, ends, data, used = self._table
        if len(self) == len(hashes):
            hashes, ends = _longer(hashes, 2 * len(hashes)), _longer(ends, 2 * len(hashes) + 1)
            slots = np.zeros(2 * len(hashes), np.uint64)
            fill_slots(slots, hashes[: len(self)])
        size = len(data)
        while self.size + length + WORD > size:
            size *= 2
        self._table = Table(slots, hashes, ends, _longer(data, size), used)


def _longer(array: np.ndarray, length: int) -> np.ndarray:
    longer = np.zeros(length, array.dtype)
    longer[: len(array)] = array
    return longer


def text_bytes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a column of texts, uint8, and where each begins and the last ends, (N + 1,) int32."""
    _, offsets, data = texts.buffers()
    ends = np.zeros(1, np.int32)
    if len(texts):
        ends = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    return np.frombuffer(data if data is not None else b"", np.uint8), ends
