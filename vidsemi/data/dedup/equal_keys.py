"""Which rows have equal keys, among rows that come block by block: a hash table of the distinct keys."""

import numpy as np

from vidsemi.runtime.compiled import compiled

FIRST = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
SECOND = np.uint64(0xBF58476D1CE4E5B9)  # a multiplier of splitmix64


@compiled
def mixed(keys: np.ndarray, row: int) -> np.uint64:
    """A hash of the words of a key, (N, C) uint64."""
    state = np.uint64(0)
    for word in range(keys.shape[1]):
        state = (state ^ keys[row, word]) * FIRST
        state = (state ^ (state >> np.uint64(29))) * SECOND
    return state ^ (state >> np.uint64(32))


def _parts(keys: np.ndarray, count: np.uint64, numbers: np.ndarray) -> None:
    for row in range(len(keys)):
        numbers[row] = ((mixed(keys, row) >> np.uint64(40)) * count) >> np.uint64(24)


def part_numbers(keys: np.ndarray, count: int) -> np.ndarray:
    """Numbers from 0 to `count` - 1 for keys, (N, C) uint64: equal ones for equal keys, else at random. (N,) uint16."""
    numbers = np.empty(len(keys), np.uint16)
    _parts(keys, np.uint64(count), numbers)
    return numbers


def bytes_per_key(words: int) -> int:
    """Memory of `DistinctKeys` per key: twice the key and its row, up to eight slots, and a smaller table to copy."""
    return 24 * words + 120


class DistinctKeys:
    """The distinct keys of all rows so far, and the first row that had each."""

    def __init__(self, words: int):
        self._count = 0
        self._keys, self._rows = np.empty((0, words), np.uint64), np.empty(0, np.int64)
        self._slots = np.full(1, -1, np.int64)

    @property
    def keys(self) -> np.ndarray:
        """The keys in the order in which they came, (D, C) uint64."""
        return self._keys[: self._count]

    @property
    def rows(self) -> np.ndarray:
        """The first row that had each key, (D,) int64."""
        return self._rows[: self._count]

    def add(self, keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Add the next rows, and return the first row that had the key of each, (N,) int64."""
        if self._count + len(keys) > len(self._rows):
            self._grow(max(2 * len(self._rows), self._count + len(keys)))
        first = np.empty(len(keys), np.int64)
        self._count = _add(keys, rows, self._slots, self._keys, self._rows, self._count, first)
        return first

    def _grow(self, size: int) -> None:
        keys, rows = self.keys, self.rows
        self._keys, self._rows = np.empty((size, keys.shape[1]), np.uint64), np.empty(size, np.int64)
        self._keys[: self._count], self._rows[: self._count] = keys, rows
        self._slots = np.full(2 << (size - 1).bit_length(), -1, np.int64)
        _fill(self._keys, self._count, self._slots)


def _fill(keys: np.ndarray, count: int, slots: np.ndarray) -> None:
    last = len(slots) - 1
    for key in range(count):
        slot = np.int64(mixed(keys, key) & np.uint64(last))
        while slots[slot] >= 0:
            slot = (slot + 1) & last
        slots[slot] = key


def _add(
    keys: np.ndarray,
    rows: np.ndarray,
    slots: np.ndarray,
    distinct: np.ndarray,
    distinct_rows: np.ndarray,
    count: int,
    first: np.ndarray,
) -> int:
    """Look up each key, add it if it is new, and put the first row that had it into `first`; the new number of keys."""
    last = len(slots) - 1
    for row in range(len(keys)):
        slot = np.int64(mixed(keys, row) & np.uint64(last))
        while True:
            found = slots[slot]
            if found < 0:
                slots[slot] = count
                for word in range(keys.shape[1]):
                    distinct[count, word] = keys[row, word]
                distinct_rows[count] = rows[row]
                first[row] = rows[row]
                count += 1
                break
            same = True
            for word in range(keys.shape[1]):
                if distinct[found, word] != keys[row, word]:
                    same = False
            if same:
                first[row] = distinct_rows[found]
                break
            slot = (slot + 1) & last
    return count


_parts = compiled(_parts, nogil=True)
_fill = compiled(_fill, nogil=True)
_add = compiled(_add, nogil=True)
