"""Rows that may be near another one: all others need not be compared any further.

For each mask of `hamming.block_masks` rows are distributed over files by their bits under the mask, and then in memory
over buckets; only rows of one bucket are compared, and of these only whether there is any near one is kept. So memory
does not grow with the pairs. In a crowded bucket, nothing is compared and all its rows are taken.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import comb
from pathlib import Path

import numpy as np

from vidsemi.data.dedup.equal_keys import FIRST
from vidsemi.data.dedup.hamming import BITS, MOST_BLOCKS, bits_apart, block_masks
from vidsemi.data.dedup.record_file import RecordFile, partitioned
from vidsemi.runtime.compiled import compiled

PAIR = np.dtype([("row", np.int64), ("hash", np.uint64)])
BYTES = 56  # per record of a file that is searched: read, sorted by bucket, and up to three bounds of buckets
CROWDED = 2048  # rows in a bucket; each row is thus compared with at most as many others
DISTRIBUTE_COST = 60  # of a record for one mask, in comparisons of two hashes
BLOCK = 1 << 18  # records that are distributed at once
MOST_FILES = 512


def mark_candidates(
    rows: RecordFile,
    hashes: RecordFile,
    max_distance: int,
    marks: np.ndarray,
    mark: int,
    *,
    memory: int,
    threads: int,
    folder: Path | None,
) -> None:
    """Mark rows that have another one within a distance, and perhaps others.

    Args:
        rows: (N,) int64, distinct.
        hashes: (N,) uint64, of these rows; those that are 0 are not near anything.
        max_distance: in bits, 0 to 32.
        marks: by row, updated in place.
        mark: its new value for candidates.
        memory: bytes to use.
        threads: that search.
        folder: of temporary files.
    """
    count = min(len(rows) * BYTES * threads // memory + 1, MOST_FILES)
    value = marks.dtype.type(mark)
    for mask in block_masks(max_distance, _agreeing_blocks(max_distance, len(rows))):
        number = partial(_file_numbers, mask=np.uint64(mask), count=np.uint64(count))
        files = partitioned(_pairs(rows, hashes), number, count, folder)
        with ThreadPoolExecutor(threads) as pool:
            list(
                pool.map(
                    lambda file, mask=mask: _mark(file, mask, max_distance, marks, value, memory // threads), files
                )
            )


def _agreeing_blocks(max_distance: int, rows: int) -> int:
    """How many blocks agree in the masks that take the least time."""
    if max_distance == 0:
        return 1

    def cost(agreeing: int) -> float:
        blocks = max_distance + agreeing
        compared = min(rows / 2.0 ** (BITS * agreeing // blocks), CROWDED) / 2
        return float(comb(blocks, agreeing) * (DISTRIBUTE_COST + compared))

    return min(range(1, MOST_BLOCKS + 1), key=cost)


def _pairs(rows: RecordFile, hashes: RecordFile) -> Iterator[np.ndarray]:
    for own, hashed in zip(rows.blocks(BLOCK), hashes.blocks(BLOCK), strict=True):
        known = np.flatnonzero(hashed)
        pairs = np.empty(len(known), PAIR)
        pairs["row"], pairs["hash"] = own[known], hashed[known]
        yield pairs


def _file_numbers(pairs: np.ndarray, mask: np.uint64, count: np.uint64) -> np.ndarray:
    bits = ((pairs["hash"] & mask) * FIRST) >> np.uint64(BITS - 32)
    return ((bits * count) >> np.uint64(32)).astype(np.uint16)


def _mark(file: RecordFile, mask: int, max_distance: int, marks: np.ndarray, mark: np.integer, memory: int) -> None:
    """Mark the candidates among the records of a file, and close it."""
    with file:
        if len(file) * BYTES > max(memory, 2 * BYTES * CROWDED) * 2:  # much more than planned: they have few keys
            for pairs in file.blocks(BLOCK):
                marks[pairs["row"]] = mark
            return
        pairs = file.read(0, len(file))
    bits = max(len(pairs).bit_length(), 4)
    bounds = np.zeros(2**bits + 1, np.int64)
    hashes, rows = np.empty(len(pairs), np.uint64), np.empty(len(pairs), np.int64)
    _group(pairs["hash"], pairs["row"], np.uint64(mask), bits, bounds, hashes, rows)
    del pairs
    _mark_near(hashes, rows, bounds, max_distance, CROWDED, marks, mark)


def _group(
    hashes: np.ndarray,
    rows: np.ndarray,
    mask: np.uint64,
    bits: int,
    bounds: np.ndarray,
    grouped_hashes: np.ndarray,
    grouped_rows: np.ndarray,
) -> None:
    """Sort records by bucket: bucket b has those from `bounds[b]` to `bounds[b + 1]`."""
    shift = np.uint64(64 - bits)
    for row in range(len(hashes)):
        bounds[_bucket(hashes[row], mask, shift)] += 1
    for bucket in range(1, len(bounds)):
        bounds[bucket] += bounds[bucket - 1]
    for row in range(len(hashes) - 1, -1, -1):
        own = _bucket(hashes[row], mask, shift)
        bounds[own] -= 1
        grouped_hashes[bounds[own]] = hashes[row]
        grouped_rows[bounds[own]] = rows[row]


@compiled
def _bucket(hashed: np.uint64, mask: np.uint64, shift: np.uint64) -> np.int64:
    product = (hashed & mask) * FIRST
    return np.int64(((product ^ (product >> np.uint64(32))) * FIRST) >> shift)


def _mark_near(
    hashes: np.ndarray,
    rows: np.ndarray,
    bounds: np.ndarray,
    max_distance: int,
    crowded: int,
    marks: np.ndarray,
    mark: np.integer,
) -> None:
    for bucket in range(len(bounds) - 1):
        begin, end = bounds[bucket], bounds[bucket + 1]
        if end - begin > crowded:
            for place in range(begin, end):
                marks[rows[place]] = mark
            continue
        for place in range(begin, end - 1):
            near = 0
            for other in range(place + 1, end):  # without a branch, several at once
                near += int(bits_apart(hashes[place], hashes[other]) <= max_distance)
            if near:
                marks[rows[place]] = mark
                for other in range(place + 1, end):
                    if bits_apart(hashes[place], hashes[other]) <= max_distance:
                        marks[rows[other]] = mark


_group = compiled(_group, nogil=True)
_mark_near = compiled(_mark_near, nogil=True)
