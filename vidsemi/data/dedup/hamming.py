"""Exact Hamming-distance join of perceptual hashes, without comparing all pairs.

Hashes have 64 bits. Cut into d + k blocks, hashes that differ in at most d bits agree in at least k whole blocks. So
for each choice of k blocks the hashes are sorted by these bits, and only hashes that agree in them are compared (Manku,
Jain, Das Sarma 2007, "Detecting near-duplicates for web crawling"). With k = 1 this is the pigeonhole principle; a
larger k sorts more often and compares less, so k grows with the dataset.

A row of several hashes (the frames of a video) matches another row if enough hashes, column by column, differ in at
most d bits. A hash of 0 is unknown: it matches nothing, not even another 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb, inf, log2

import numpy as np

from vidsemi.runtime.compiled import compiled

BITS = 64
MOST_BLOCKS = 12  # that agree; more would need more tables than are worth it for any dataset
LARGE_RUN = 4_000_000  # pairs of rows with one key that are worth the search of another column
FINER_RUN = 5_000_000  # … or, without another one to search, of the same column with finer masks, for each mask
NO_LIMIT = 2**62
SORT_COST = 1  # per element and level of sorting, in comparisons of two rows


def masks(max_distance: int, pairs: float, rows: float) -> list[int]:
    """Bit masks such that any two hashes within `max_distance` (0 to 32) bits agree in all bits of at least one mask.

    More pairs to search need masks with more bits; `rows` are sorted for each mask.

    >>> [f"{mask:b}".count("1") for mask in masks(1, 10, 5)]
    [32, 32]
    """
    return block_masks(max_distance, agreeing_blocks(max_distance, pairs, rows))


def agreeing_blocks(max_distance: int, pairs: float, rows: float) -> int:
    """How many blocks agree in `masks`."""
    if max_distance == 0:
        return 1

    def cost(agreeing: int) -> float:
        tables = comb(max_distance + agreeing, agreeing)
        distinct_keys = 2.0 ** (BITS * agreeing / (max_distance + agreeing))
        return float(tables * (SORT_COST * rows * log2(rows + 1) + pairs / distinct_keys))

    return min(range(1, MOST_BLOCKS + 1), key=cost)


def block_masks(max_distance: int, agreeing: int) -> list[int]:
    """Masks as those of `masks`, of `agreeing` of the `max_distance + agreeing` blocks each."""
    if max_distance == 0:
        return [2**BITS - 1]
    count = max_distance + agreeing
    # Bit b is in block b mod `count`: neighboring bits are neighboring frequencies, which are correlated.
    blocks = [sum(1 << bit for bit in range(block, BITS, count)) for block in range(count)]
    return [sum(chosen) for chosen in combinations(blocks, agreeing)]


class TooManyPairsError(Exception):
    """More pairs than were to be found."""


def near_pairs(
    rows: np.ndarray,
    others: np.ndarray | None,
    *,
    max_distance: int,
    min_matches: int = 1,
    most: float = inf,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find all pairs of rows of which at least `min_matches` hashes are within `max_distance` (0 to 32) bits.

    Rows are (N, F) uint64, others (M, F); without others the search is within the rows. Memory is proportional to the
    pairs found, so pass each row once (`np.unique`): a million copies have 5e11 pairs.

    Returns:
        (pairs,) int64 each: index into `rows`; index into `others`, within `rows` always greater than the first; and
        the smallest `max_distance` at which the pair is found. Sorted by the indices.

    Raises:
        TooManyPairsError: `most` pairs, among which one may be several times, were exceeded.
    """
    search = _Search(rows, rows if others is None else others, others is None, max_distance, min_matches, most)
    pairs = _find_pairs(search, range(rows.shape[1]), min_matches)
    return pairs[:, 0], pairs[:, 1], pairs[:, 2]


@dataclass(frozen=True)
class _Search:
    """What is searched: see `near_pairs`; `others` is `rows` if `within`."""

    rows: np.ndarray
    others: np.ndarray
    within: bool
    max_distance: int
    min_matches: int
    most: float
    fewest_blocks: int = 1  # that agree in the masks

    def agreeing_blocks(self) -> int:
        count = len(self.rows) + len(self.others) * (not self.within)
        pairs = len(self.rows) * len(self.others) / (1 + self.within)
        return max(agreeing_blocks(self.max_distance, pairs, max(count, 1)), self.fewest_blocks)

    def restricted(self, rows: np.ndarray, others: np.ndarray, fewest_blocks: int) -> "_Search":
        some = self.rows[rows]
        return replace(
            self, rows=some, others=some if self.within else self.others[others], fewest_blocks=fewest_blocks
        )


@dataclass(frozen=True)
class _Keys:
    """Sorted keys, and the rows that they belong to."""

    keys: np.ndarray
    rows: np.ndarray

    def without(self, runs: Sequence[slice]) -> "_Keys":
        kept = np.ones(len(self.keys), bool)
        for run in runs:
            kept[run] = False
        return _Keys(self.keys[kept], self.rows[kept])


def _find_pairs(search: _Search, columns: Sequence[int], needed: int) -> np.ndarray:
    """Pairs (P, 3) that match in at least `needed` of the columns, and in `min_matches` of all."""
    found = [np.empty((0, 3), np.int64)]
    agreeing = search.agreeing_blocks()
    for column in columns_to_search(columns, needed):
        rest = [other for other in columns if other != column]
        searched: set[tuple[bytes, bytes]] = set()  # one frame in many videos forms a run under every mask
        for mask in block_masks(search.max_distance, agreeing):
            left = _sorted_keys(search.rows[:, column], mask)
            right = left if search.within else _sorted_keys(search.others[:, column], mask)
            runs = list(_large_runs(left.keys, right.keys, large_run(search.max_distance, agreeing, needed)))
            for run, other_run in runs:
                rows, others = np.sort(left.rows[run]), np.sort(right.rows[other_run])
                if (both := (rows.tobytes(), others.tobytes())) not in searched:
                    searched.add(both)
                    if needed > 1:  # As of videos with one logo. The column says little: require another one, too.
                        pairs = _find_pairs(search.restricted(rows, others, 1), rest, needed - 1)
                    else:
                        pairs = _find_pairs(search.restricted(rows, others, agreeing + 1), [column], 1)
                    found.append(np.stack([rows[pairs[:, 0]], others[pairs[:, 1]], pairs[:, 2]], axis=1))
            if runs:
                kept = left.without([run for run, _ in runs])
                right = kept if search.within else right.without([other_run for _, other_run in runs])
                left = kept
            found.append(_join_equal_keys(search, left, right))
            if sum(map(len, found)) > search.most:
                raise TooManyPairsError
    pairs = np.concatenate(found)
    _, first = np.unique(pairs[:, 0] * len(search.others) + pairs[:, 1], return_index=True)
    return pairs[first]  # several masks find the same pair


def large_run(max_distance: int, agreeing: int, needed: int) -> float:
    """How many pairs of rows with one key are compared without searching these rows on."""
    if needed > 1:
        return LARGE_RUN
    if max_distance == 0 or agreeing == MOST_BLOCKS:
        return inf
    return FINER_RUN * comb(max_distance + agreeing + 1, agreeing + 1)


def columns_to_search(columns: Sequence[int], needed: int) -> Sequence[int]:
    """Enough columns that a pair which matches in `needed` of all matches in one of these.

    They are F - needed + 1, taken from the middle, where fewer frames are black or show a title.
    """
    begin = (needed - 1) // 2
    return columns[begin : begin + len(columns) - needed + 1]


def _sorted_keys(hashes: np.ndarray, mask: int) -> _Keys:
    known = np.flatnonzero(hashes)
    keys = hashes[known] & np.uint64(mask)
    order = np.argsort(keys)
    return _Keys(keys[order], known[order])


def _large_runs(keys: np.ndarray, other_keys: np.ndarray, large: float) -> Iterator[tuple[slice, slice]]:
    """The positions of each key that has more than `large` pairs, in sorted keys."""
    if len(keys) * len(other_keys) <= large:
        return
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    ends = np.append(begins[1:], len(keys))
    other_begins = np.searchsorted(other_keys, keys[begins])
    other_ends = np.searchsorted(other_keys, keys[begins], "right")
    for run in np.flatnonzero((ends - begins) * (other_ends - other_begins) > large):
        yield slice(begins[run], ends[run]), slice(other_begins[run], other_ends[run])


def _join_equal_keys(search: _Search, left: _Keys, right: _Keys) -> np.ndarray:
    """Pairs (P, 3) with equal keys that match; the result grows to the number of pairs."""
    rows = search.rows[left.rows]  # in the order of the keys, so that memory is read sequentially
    others = rows if search.within else search.others[right.rows]
    pairs = np.empty((0, 3), np.int64)
    most = int(min(search.most, NO_LIMIT))
    while True:
        count = _join(
            left.keys, rows, right.keys, others, search.within, search.max_distance, search.min_matches, most, pairs
        )
        if count > most:
            raise TooManyPairsError
        if count <= len(pairs):
            break
        pairs = np.empty((count, 3), np.int64)
    pairs[:, 0], pairs[:, 1] = left.rows[pairs[:, 0]], right.rows[pairs[:, 1]]
    if search.within:
        pairs[:, :2].sort(axis=1)
    return pairs


@compiled
def bits_apart(one: np.uint64, other: np.uint64) -> np.int64:
    """Number of bits in which two hashes differ: population count by adding ever longer fields."""
    odd = one ^ other
    pairs = odd - ((odd >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((eights * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _matches(rows: np.ndarray, row: int, others: np.ndarray, other: int, max_distance: int) -> int:
    """Number of columns in which two rows match."""
    count = 0
    for column in range(rows.shape[1]):
        one, two = rows[row, column], others[other, column]
        if one and two and bits_apart(one, two) <= max_distance:
            count += 1
    return count


@compiled
def _join(
    keys: np.ndarray,
    rows: np.ndarray,
    other_keys: np.ndarray,
    others: np.ndarray,
    within: bool,
    max_distance: int,
    min_matches: int,
    most: int,
    pairs: np.ndarray,
) -> int:
    """Compare rows with equal keys; return the number of pairs that match, or `most` + 1 if there are more.

    Keys are (N,) and (M,) uint64, sorted; rows (N, F) and (M, F) uint64. If both sides are the same (`within`), each
    pair counts once. `pairs`, (capacity, 3) int64, receives positions and distance of as many pairs as it can hold.
    """
    count = begin = 0
    for row in range(len(keys)):
        key = keys[row]
        while begin < len(other_keys) and other_keys[begin] < key:
            begin += 1
        for other in range(row + 1 if within else begin, len(other_keys)):
            if other_keys[other] != key:
                break
            if _matches(rows, row, others, other, max_distance) >= min_matches:
                if count < len(pairs):
                    distance = 0
                    while _matches(rows, row, others, other, distance) < min_matches:
                        distance += 1
                    pairs[count, 0], pairs[count, 1], pairs[count, 2] = row, other, distance
                count += 1
                if count > most:
                    return count
    return count
