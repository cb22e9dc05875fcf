"""Rows that name one file twice, among any number of rows: their hashes are grouped on disk."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.dedup.record_file import RecordFile
from vidsemi.data.hashtags.distinct import text_bytes
from vidsemi.data.hashtags.text_table import words_of

PART = ("start", "end", "member", "offset")  # what tells apart examples that are in one file
RUN = 1 << 19  # rows that are grouped in memory: 15 MB
ROW = np.dtype([("hash", np.uint64), ("other", np.uint64), ("row", np.int64), ("label", np.int32)])
BUCKETS = 1 << 12  # of hashes, by their first bits; parts that are read at once have whole ones
SHIFT = np.uint64(64 - BUCKETS.bit_length() + 1)  # leaves the bucket of a hash
SLICE = 1 << 15  # rows to hash at once, which fit into a core's cache


@dataclass
class Repeats:
    """What is known of rows that repeat an earlier one."""

    count: int = 0
    first: tuple[int, int] | None = None  # the first row that may not repeat one, behind the row that it repeats


class RepeatFinder:
    """Finds rows of the same part of the same file among any number: by two random hashes of 64 bits, grouped on disk.

    65 million rows take 1.8 GB there, in a file that has no name.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: RecordFile | None = None
        self._cuts: list[np.ndarray] = []  # where each bucket of hashes starts in each run, as places in the file
        self._pending, self._waiting = np.empty(RUN, ROW), 0  # the rows of the next run, and how many there are
        self._rows = 0
        self._labels: dict[str | None, int] = {}
        odd = np.frombuffer(os.urandom(4 * 8), np.uint64) | np.uint64(1)
        self._keys = odd.reshape(2, 2)

    @property
    def labels(self) -> list[str | None]:
        """The labels of all rows, by their numbers."""
        return [*self._labels]

    def hashes(self, table: pa.Table) -> np.ndarray:
        """The two hashes of each row, (N, 2) uint64."""
        mixed = np.empty((len(table), 2), np.uint64)
        for first in range(0, len(table), SLICE):
            mixed[first : first + SLICE] = self._hash(table.slice(first, SLICE)).T
        return mixed

    def add(self, table: pa.Table) -> np.ndarray:
        """Add the next rows of a manifest; returns what is kept of them, of the type `ROW`."""
        rows = np.zeros(len(table), ROW)
        rows["hash"], rows["other"] = self.hashes(table).T
        rows["row"] = np.arange(self._rows, self._rows + len(table))
        if "label" in table.column_names:
            codes = table.column("label").combine_chunks().dictionary_encode(null_encoding="encode")
            own = [self._labels.setdefault(label, len(self._labels)) for label in codes.dictionary.to_pylist()]
            rows["label"] = np.array(own, np.int32)[codes.indices.to_numpy()] if len(table) else 0
        self._rows += len(table)
        left = rows
        while len(left):
            more, left = np.split(left, [RUN - self._waiting])
            self._pending[self._waiting : self._waiting + len(more)] = more
            self._waiting += len(more)
            if self._waiting == RUN:
                self._write_run()
        return rows

    def find(self, *, unique: bool) -> Repeats:
        """Count the rows that repeat an earlier one, and find the first that has another label, or any if `unique`."""
        found = Repeats()
        for rows in self._ranges():
            hashes = np.sort(rows["hash"])
            equal = hashes[1:][hashes[1:] == hashes[:-1]]
            if not len(equal):
                continue
            rows = rows[np.isin(rows["hash"], equal)]
            rows = rows[np.lexsort((rows["row"], rows["other"], rows["hash"]))]
            again = (rows["hash"][1:] == rows["hash"][:-1]) & (rows["other"][1:] == rows["other"][:-1])
            found.count += int(np.count_nonzero(again))
            if not again.any():
                continue
            group = np.cumsum(np.concatenate([[True], ~again])) - 1
            first = rows[np.flatnonzero(np.concatenate([[True], ~again]))][group]
            wrong = np.concatenate([[False], again]) & (unique | (rows["label"] != first["label"]))
            if wrong.any():
                place = np.flatnonzero(wrong)[rows["row"][wrong].argmin()]
                if found.first is None or rows["row"][place] < found.first[1]:
                    found.first = int(first["row"][place]), int(rows["row"][place])
        return found

    def close(self) -> None:
        """Give the disk space back."""
        if self._file is not None:
            self._file.close()

    def _write_run(self) -> None:
        """Write the pending rows, grouped, to the file.

        It copies a slice at a time: the memory that a copy of all rows takes would stay with the process.
        """
        rows, self._waiting = self._pending[: self._waiting], 0
        if self._file is None:
            self._file = RecordFile(self._folder, ROW)
        buckets = (rows["hash"] >> SHIFT).astype(np.uint16)
        order = np.argsort(buckets, kind="stable")  # a radix sort
        sizes = np.bincount(buckets, minlength=BUCKETS)
        self._cuts.append(len(self._file) + np.concatenate([[0], np.cumsum(sizes)]))
        for first in range(0, len(rows), SLICE):
            self._file.append(rows.take(order[first : first + SLICE]))

    def _ranges(self) -> Iterator[np.ndarray]:
        """All rows, in parts by their hashes, each small enough for memory."""
        if self._file is None:
            yield self._pending[: self._waiting]
            return
        self._write_run()
        parts = len(self._cuts)
        edges = [part * BUCKETS // parts for part in range(parts + 1)]
        for first, stop in pairwise(edges):
            sizes = [int(cut[stop] - cut[first]) for cut in self._cuts]
            rows, place = np.empty(sum(sizes), ROW), 0
            for cut, size in zip(self._cuts, sizes, strict=True):
                rows[place : place + size] = self._file.read(int(cut[first]), int(cut[stop]))
                place += size
            yield rows

    def _hash(self, table: pa.Table) -> np.ndarray:
        mixed = np.zeros((2, len(table)), np.uint64)
        for name in ("path", *PART):
            if name not in table.column_names:
                continue
            column = table.column(name)
            if pa.types.is_string(column.type):
                words = np.concatenate(
                    [_hash_texts(texts, self._keys) for texts in column.chunks if len(texts)], axis=1
                )
            else:
                numbers = pc.fill_null(column, 0).to_numpy()
                words = (numbers + 0 if numbers.dtype == np.int64 else numbers + 0.0).view(np.uint64)  # not -0.0
            if column.null_count:
                words = np.where(pc.is_null(column).to_numpy(), self._keys[:, :1], words)
            mixed = _mix(mixed, words, self._keys)
        return mixed


def _mix(states: np.ndarray, words: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The next states of two hashes, (2, N) uint64, from words, (N,) or one for each hash."""
    mixed: np.ndarray = words * keys[:, :1]
    mixed ^= states
    mixed *= keys[:, 1:]
    mixed ^= mixed >> np.uint64(29)
    return mixed


def _hash_texts(texts: pa.Array, keys: np.ndarray) -> np.ndarray:
    """Two hashes of each text, (2, N) uint64, from words of 8 bytes."""
    data, ends = text_bytes(texts)
    start, length = ends[:-1].astype(np.int64), np.diff(ends)
    if len(data) < ends[-1] + 8:
        data, start = np.append(data[ends[0] : ends[-1]], np.zeros(8, np.uint8)), start - ends[0]
    words = words_of(data)
    hashed = _mix(np.zeros((2, len(texts)), np.uint64), length.astype(np.uint64), keys)
    left: slice | np.ndarray = slice(None)
    done = 0
    shortest, longest = int(length.min()), int(length.max())
    while done < longest:
        if done >= shortest:  # most words are those of all paths: no row is chosen, a third of the time
            left = np.flatnonzero(length > done)
        word = words[start[left] + done]
        if done + 8 > shortest:
            word <<= 8 * np.maximum(done + 8 - length[left], 0).astype(np.uint64)
        hashed[:, left] = _mix(hashed[:, left], word, keys)
        done += 8
    return hashed
