"""The nearest of a few rows of perceptual hashes, such as a test set's, to each of many.

The masks are those of `hamming.near_pairs`, but nothing large is sorted: for each mask the few rows are put into a
table of buckets, and each of the many rows is compared with those in one bucket.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import comb

import numpy as np

from vidsemi.data.dedup.hamming import BITS, MOST_BLOCKS, bits_apart, block_masks, columns_to_search, large_run
from vidsemi.runtime.compiled import compiled
from vidsemi.runtime.process import usable_cores

PROBE_COST = 3  # of a row with a bucket, in comparisons of two hashes
INSERT_COST = 10  # of a row into a table
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # spreads keys over buckets: 2^64 / golden ratio
NONE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Best:
    """What was found so far, updated in place."""

    other: np.ndarray  # (N,) int64, index of the nearest row, of several the first; `NONE` without one
    distance: np.ndarray  # (N,) int64

    def merge(self, rows: np.ndarray, found: "_Best", others: np.ndarray) -> None:
        """Take over what was found for some rows among some others."""
        hits = np.flatnonzero(found.other != NONE)
        rows, other, distance = rows[hits], others[found.other[hits]], found.distance[hits]
        nearer = (distance < self.distance[rows]) | ((distance == self.distance[rows]) & (other < self.other[rows]))
        self.other[rows[nearer]], self.distance[rows[nearer]] = other[nearer], distance[nearer]


def nearest(
    rows: np.ndarray,
    others: np.ndarray,
    *,
    max_distance: int,
    min_matches: int = 1,
    before: np.ndarray | None = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find for each row the nearest other row: see `hamming.near_pairs`, of whose pairs it keeps the best of each row.

    Memory is 24 bytes per row and 20 per other row besides the hashes, however many pairs there are.

    Args:
        rows: (N, F) uint64.
        others: (M, F) uint64; fast if they are few.
        max_distance: of the hashes of a pair, 0 to 32 bits.
        min_matches: hashes of a pair that are at most that far apart.
        before: (N,) int64, how many of the others, from the first on, each row may be near to; default: all.
        threads: that search, default: the usable cores.

    Returns:
        (N,) int64 each: index into `others`, of equally near ones the smallest, or -1; and the distance.
    """
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        search = _Search(max_distance, min_matches, pool, threads or usable_cores())
        before = np.full(len(rows), len(others)) if before is None else before
        best = search.run(rows, others, before, range(rows.shape[1]), min_matches)
    found = best.other != NONE
    return np.where(found, best.other, -1), np.where(found, best.distance, 0)


@dataclass(frozen=True)
class _Search:
    """What every level of a search has in common."""

    max_distance: int
    min_matches: int
    pool: ThreadPoolExecutor
    threads: int

    def run(
        self,
        rows: np.ndarray,
        others: np.ndarray,
        before: np.ndarray,
        columns: Sequence[int],
        needed: int,
        fewest_blocks: int = 1,
    ) -> _Best:
        """Search some columns, of which `needed` must match; all columns decide whether two rows do."""
        best = _Best(np.full(len(rows), NONE), np.full(len(rows), NONE))
        if not len(rows) or not len(others):
            return best
        agreeing = max(_agreeing_blocks(self.max_distance, len(rows), len(others)), fewest_blocks)
        large = large_run(self.max_distance, agreeing, needed)
        ends = np.linspace(0, len(rows), self.threads + 1).astype(np.int64).tolist()
        pieces = [slice(begin, end) for begin, end in pairwise(ends)]
        for column in columns_to_search(columns, needed):
            rest = [other for other in columns if other != column]
            searched: set[tuple[bytes, bytes]] = set()  # one frame in many videos fills a bucket under every mask
            hashes = np.ascontiguousarray(rows[:, column])
            for mask in block_masks(self.max_distance, agreeing):
                table = _Table(np.ascontiguousarray(others[:, column]), mask)
                for some, some_others in table.take_large(hashes, large):
                    if (both := (some.tobytes(), some_others.tobytes())) not in searched:
                        searched.add(both)
                        sides = rows[some], others[some_others], np.searchsorted(some_others, before[some])
                        if needed > 1:  # As of videos with one logo. The column says little: require another one, too.
                            found = self.run(*sides, rest, needed - 1)
                        else:
                            found = self.run(*sides, [column], 1, agreeing + 1)
                        best.merge(some, found, some_others)
                list(self.pool.map(partial(self._probe, rows, others, before, hashes, table, best), pieces))
        return best

    def _probe(
        self,
        rows: np.ndarray,
        others: np.ndarray,
        before: np.ndarray,
        hashes: np.ndarray,
        table: "_Table",
        best: _Best,
        piece: slice,
    ) -> None:
        _probe(
            rows[piece],
            hashes[piece],
            before[piece],
            others,
            (table.mask, table.shift, table.starts, table.ends, table.order, table.hashes),
            self.max_distance,
            self.min_matches,
            best.other[piece],
            best.distance[piece],
        )


def _agreeing_blocks(max_distance: int, rows: int, others: int) -> int:
    """How many blocks agree in the masks that take the least time."""
    if max_distance == 0:
        return 1

    def cost(agreeing: int) -> float:
        blocks = max_distance + agreeing
        buckets = min(2.0 ** (BITS * agreeing / blocks), 2.0 ** _bucket_bits(others))
        per_mask = PROBE_COST * rows + INSERT_COST * others + rows * others / buckets
        return float(comb(blocks, agreeing) * per_mask)

    return min(range(1, MOST_BLOCKS + 1), key=cost)


def _bucket_bits(others: int) -> int:
    return max(others.bit_length(), 4)


class _Table:
    """Hashes by their bits under a mask: those of bucket b are `hashes[starts[b]:ends[b]]`, of the rows `order`."""

    def __init__(self, hashes: np.ndarray, mask: int):
        bits = _bucket_bits(len(hashes))
        self.mask, self.shift = np.uint64(mask), np.uint64(BITS - bits)
        bounds = np.zeros(2**bits + 1, np.int64)
        order = np.empty(np.count_nonzero(hashes), np.int64)
        _fill(hashes, self.mask, self.shift, bounds, order)
        self.starts, self.ends = bounds[:-1], bounds[1:].copy()
        self.order, self.hashes = order, hashes[order]

    def take_large(self, hashes: np.ndarray, large: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """Empty the buckets that have more than `large` pairs with the rows, and return their rows and others."""
        sizes = self.ends - self.starts
        if len(hashes) * sizes.max() <= large:
            return []
        counts = np.zeros(len(sizes), np.int64)
        _count(hashes, self.mask, self.shift, counts)
        taken = []
        for bucket in np.flatnonzero(counts * sizes > large).tolist():
            rows = np.empty(counts[bucket], np.int64)
            _collect(hashes, self.mask, self.shift, bucket, rows)
            taken.append((rows, self.order[self.starts[bucket] : self.ends[bucket]]))
            self.ends[bucket] = self.starts[bucket]
        return taken


@compiled
def _bucket(hashed: np.uint64, mask: np.uint64, shift: np.uint64) -> np.int64:
    return np.int64(((hashed & mask) * MULTIPLIER) >> shift)


def _fill(hashes: np.ndarray, mask: np.uint64, shift: np.uint64, bounds: np.ndarray, order: np.ndarray) -> None:
    """Sort the known hashes by bucket: bucket b has the rows `order[bounds[b]:bounds[b + 1]]`, ascending."""
    for row in range(len(hashes)):
        if hashes[row]:
            bounds[_bucket(hashes[row], mask, shift)] += 1
    for bucket in range(1, len(bounds)):
        bounds[bucket] += bounds[bucket - 1]
    for row in range(len(hashes) - 1, -1, -1):
        if hashes[row]:
            place = _bucket(hashes[row], mask, shift)
            bounds[place] -= 1
            order[bounds[place]] = row


def _count(hashes: np.ndarray, mask: np.uint64, shift: np.uint64, counts: np.ndarray) -> None:
    """Count the known hashes of each bucket."""
    for row in range(len(hashes)):
        if hashes[row]:
            counts[_bucket(hashes[row], mask, shift)] += 1


def _collect(hashes: np.ndarray, mask: np.uint64, shift: np.uint64, bucket: int, rows: np.ndarray) -> None:
    """Put the rows of a bucket, as many as `rows` holds, into `rows`, ascending."""
    count = 0
    for row in range(len(hashes)):
        if hashes[row] and _bucket(hashes[row], mask, shift) == bucket:
            rows[count] = row
            count += 1


@compiled
def _pair_distance(
    rows: np.ndarray, row: int, others: np.ndarray, other: int, max_distance: int, min_matches: int
) -> int:
    """The smallest distance within which enough columns of two rows match; more than `max_distance` if none is."""
    for distance in range(max_distance + 1):
        count = 0
        for column in range(rows.shape[1]):
            one, two = rows[row, column], others[other, column]
            if one and two and bits_apart(one, two) <= distance:
                count += 1
        if count >= min_matches:
            return distance
    return max_distance + 1


def _probe(
    rows: np.ndarray,
    hashes: np.ndarray,
    before: np.ndarray,
    others: np.ndarray,
    table: tuple[np.uint64, np.uint64, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    max_distance: int,
    min_matches: int,
    best_other: np.ndarray,
    best_distance: np.ndarray,
) -> None:
    """Compare each row with the others in its bucket; keep the nearest, of equally near ones the first."""
    mask, shift, starts, ends, order, other_hashes = table
    for row in range(len(rows)):
        hashed = hashes[row]
        if not hashed:
            continue
        bucket = _bucket(hashed, mask, shift)
        for place in range(starts[bucket], ends[bucket]):
            distance = int(bits_apart(hashed, other_hashes[place]))
            if distance > max_distance:
                continue
            other = order[place]
            if other >= before[row]:
                continue
            if rows.shape[1] > 1:
                distance = _pair_distance(rows, row, others, other, max_distance, min_matches)
                if distance > max_distance:
                    continue
            nearer = distance < best_distance[row]
            if nearer or (distance == best_distance[row] and other < best_other[row]):
                best_other[row], best_distance[row] = other, distance


_fill = compiled(_fill)
_count = compiled(_count, nogil=True)
_collect = compiled(_collect, nogil=True)
_probe = compiled(_probe, nogil=True)
