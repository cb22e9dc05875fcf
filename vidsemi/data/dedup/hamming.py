"""Pairs of perceptual hashes that differ in few bits, exactly and without comparing all pairs.

A hash has 64 bits. They are cut into d + k blocks; hashes that differ in at most d bits agree in at least k whole
blocks. So for every choice of k blocks the hashes are sorted by these bits, and only those that agree there are
compared (Manku, Jain, Das Sarma 2007, "Detecting near-duplicates for web crawling"). With k = 1 that is the pigeonhole
principle; larger k sort more often and compare less, so k grows with the corpus.

A row of several hashes (the frames of a video) is like another if enough of them, place by place, differ in at most d
bits. A hash of 0 is no evidence: it is like nothing, not even another 0.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb, log2

import numba
import numpy as np

BITS = 64
MOST_BLOCKS = 12  # agreeing; beyond that there are more tables than any corpus is worth
LARGE = 4_000_000  # pairs of rows with one key that are worth more sorting
SORT_COST = 1  # of an element and level of sorting, in comparisons of two rows


def masks(distance: int, pairs: float, rows: float) -> list[int]:
    """Sets of bits such that any two hashes that differ in at most `distance` bits agree in one of them.

    Args:
        distance: bits, from 0 to 32.
        pairs: pairs that there are, to choose how fine the sets are.
        rows: that are sorted for each set.

    >>> [f"{mask:b}".count("1") for mask in masks(1, 10, 5)]
    [32, 32]
    """
    if distance == 0:
        return [2**BITS - 1]

    def cost(agreeing: int) -> float:
        tables = comb(distance + agreeing, agreeing)
        alike = 2.0 ** (BITS * agreeing / (distance + agreeing))
        return tables * (SORT_COST * rows * log2(rows + 1) + pairs / alike)

    agreeing = min(range(1, MOST_BLOCKS + 1), key=cost)
    blocks = distance + agreeing
    # Bit b is in block b mod `blocks`: neighbours in a hash are neighbouring frequencies, and depend on one another.
    parts = [sum(1 << bit for bit in range(block, BITS, blocks)) for block in range(blocks)]
    return [sum(chosen) for chosen in combinations(parts, agreeing)]


def near_pairs(
    rows: np.ndarray, others: np.ndarray | None, *, distance: int, alike: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of rows of which at least `alike` hashes are near.

    Memory is that of the pairs found, so give each row once (`np.unique`): a million copies have 5e11 pairs.

    Args:
        rows: (N, F) uint64.
        others: (M, F) uint64; None looks within `rows`.
        distance: most bits in which hashes differ that are near, from 0 to 32.
        alike: of the F hashes.

    Returns:
        first: (pairs,) int64 in `rows`.
        second: (pairs,) int64 in `others`; within `rows` always above `first`.
        bits: (pairs,) int64, the least distance at which the pair is found.
        Sorted by the first, then the second.
    """
    found = _pairs(rows, others, distance, alike, range(rows.shape[1]), alike)
    return found[:, 0], found[:, 1], found[:, 2]


def _pairs(
    rows: np.ndarray, others: np.ndarray | None, distance: int, alike: int, places: Sequence[int], needed: int
) -> np.ndarray:
    """(pairs, 3), as `near_pairs`, of rows that are near in at least `needed` of some places, and `alike` of all."""
    second = rows if others is None else others
    joined = _joined(rows, second, others is None, distance, alike, places, needed)
    return np.unique(np.concatenate([np.empty((0, 3), np.int64), *joined]), axis=0)  # found with several sets of bits


def _joined(
    rows: np.ndarray,
    others: np.ndarray,
    within: bool,
    distance: int,
    alike: int,
    places: Sequence[int],
    needed: int,
) -> Iterator[np.ndarray]:
    count = len(rows) + len(others) * (not within)
    tables = masks(distance, len(rows) * len(others) / (1 + within), max(count, 1))
    spare = len(places) - needed  # of `needed` places out of F, one is among any F - needed + 1
    begin = (needed - 1) // 2
    for place in places[begin : begin + spare + 1]:  # in the middle: fewer frames are black or a title
        rest = [other for other in places if other != place]
        seen: set[tuple[bytes, bytes]] = set()
        for mask in tables:
            keys, order = _sorted(rows[:, place], mask)
            other_keys, other_order = (keys, order) if within else _sorted(others[:, place], mask)
            for run, other_run in _large_runs(keys, other_keys) if needed > 1 else ():
                # As of videos with one logo: that says little, so let them agree in one more place.
                one, two = np.sort(order[run]), np.sort(other_order[other_run])
                order[run], other_order[other_run] = -1, -1
                if (both := (one.tobytes(), two.tobytes())) not in seen:  # of the same frame, with all sets of bits
                    seen.add(both)
                    found = _pairs(rows[one], None if within else others[two], distance, alike, rest, needed - 1)
                    yield np.stack([one[found[:, 0]], two[found[:, 1]], found[:, 2]], axis=1)
            keys, order = keys[order >= 0], order[order >= 0]
            other_keys, other_order = other_keys[other_order >= 0], other_order[other_order >= 0]
            first = rows[order]  # in the order of the keys, so that memory is read from beginning to end
            second = first if within else others[other_order]
            found = np.empty((0, 3), np.int64)
            while (count := join(keys, first, other_keys, second, within, distance, alike, found)) > len(found):
                found = np.empty((count, 3), np.int64)
            found[:, 0], found[:, 1] = order[found[:, 0]], other_order[found[:, 1]]
            if within:
                found[:, :2].sort(axis=1)
            yield found


def _large_runs(keys: np.ndarray, other_keys: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Where one key has very many pairs, in sorted keys."""
    if len(keys) * len(other_keys) <= LARGE:
        return
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    ends = np.append(begins[1:], len(keys))
    other_begins = np.searchsorted(other_keys, keys[begins])
    other_ends = np.searchsorted(other_keys, keys[begins], "right")
    for run in np.flatnonzero((ends - begins) * (other_ends - other_begins) > LARGE):
        yield slice(begins[run], ends[run]), slice(other_begins[run], other_ends[run])


def _sorted(hashes: np.ndarray, mask: int) -> tuple[np.ndarray, np.ndarray]:
    """The masked bits of all hashes but 0 in order, and whose they are."""
    known = np.flatnonzero(hashes)
    keys = hashes[known] & np.uint64(mask)
    order = np.argsort(keys)
    return keys[order], known[order]


def _apart(one: np.uint64, other: np.uint64) -> np.int64:
    """Bits in which two hashes differ, by adding up ever longer pieces of them."""
    odd = one ^ other
    pairs = odd - ((odd >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((eights * np.uint64(0x0101010101010101)) >> np.uint64(56))


def _alike(rows: np.ndarray, row: int, others: np.ndarray, other: int, distance: int) -> int:
    """In how many places two rows are near."""
    count = 0
    for place in range(rows.shape[1]):
        one, two = rows[row, place], others[other, place]
        if one and two and apart(one, two) <= distance:
            count += 1
    return count


def _join(
    keys: np.ndarray,
    rows: np.ndarray,
    other_keys: np.ndarray,
    others: np.ndarray,
    within: bool,
    distance: int,
    alike: int,
    found: np.ndarray,
) -> int:
    """Pairs of places with one key whose rows are near.

    Args:
        keys: (N,) uint64, sorted.
        rows: (N, F) uint64, whose keys they are.
        other_keys: (M,) likewise.
        others: (M, F) likewise.
        within: both are the same, and each pair counts once.
        distance: most bits in which hashes differ that are near.
        alike: how many of the F have to be.
        found: (room, 3) int64, gets the first of them that there is room for.

    Returns:
        How many there are.
    """
    count = begin = 0
    for row in range(len(keys)):
        key = keys[row]
        while begin < len(other_keys) and other_keys[begin] < key:
            begin += 1
        for other in range(row + 1 if within else begin, len(other_keys)):
            if other_keys[other] != key:
                break
            if places_alike(rows, row, others, other, distance) >= alike:
                if count < len(found):
                    bits = 0
                    while places_alike(rows, row, others, other, bits) < alike:
                        bits += 1
                    found[count, 0], found[count, 1], found[count, 2] = row, other, bits
                count += 1
    return count


def _first_stay(first: np.ndarray, second: np.ndarray, bits: np.ndarray, count: int) -> np.ndarray:
    """Go through rows from the first on; one that pairs with an earlier one that stays goes.

    Args:
        first: (pairs,) the earlier row of each pair; pairs are sorted by the later one.
        second: (pairs,) the later row.
        bits: (pairs,) how far apart they are.
        count: of rows.

    Returns:
        (count,) int64: the pair for which a row goes, the nearest, then the one with the earliest row; -1 if it stays.
    """
    because = np.full(count, -1, np.int64)
    for pair in range(len(first)):
        row = second[pair]
        if because[first[pair]] < 0 and (because[row] < 0 or bits[pair] < bits[because[row]]):
            because[row] = pair
    return because


def _first_overlap(
    content: np.ndarray, trims: np.ndarray, other_content: np.ndarray, other_trims: np.ndarray, within: bool
) -> np.ndarray:
    """The first part of the same content with which a part has a moment in common, or that equals it.

    Args:
        content: (N,) int64, sorted.
        trims: (N, 2) float64, from where to where.
        other_content: (M,) likewise.
        other_trims: (M, 2) likewise.
        within: both are the same; those that have an earlier partner do not count as one.

    Returns:
        (N,) int64, the place among the others; -1 where there is none.
    """
    first = np.full(len(content), -1, np.int64)
    begin = 0
    for row in range(len(content)):
        while begin < len(other_content) and other_content[begin] < content[row]:
            begin += 1
        start, stop = trims[row]
        for other in range(begin, row if within else len(other_content)):
            if other_content[other] != content[row]:
                break
            if within and first[other] >= 0:
                continue
            other_start, other_stop = other_trims[other]
            equal = start == other_start and stop == other_stop
            if equal or max(start, other_start) < min(stop, other_stop):
                first[row] = other
                break
    return first


try:
    apart = numba.njit(cache=True)(_apart)
    places_alike = numba.njit(cache=True)(_alike)
    join = numba.njit(cache=True)(_join)
    first_stay = numba.njit(cache=True)(_first_stay)
    first_overlap = numba.njit(cache=True)(_first_overlap)
except RuntimeError:  # no folder can keep compiled code: a second at the first call of each process
    apart, places_alike = numba.njit(_apart), numba.njit(_alike)
    join, first_stay, first_overlap = numba.njit(_join), numba.njit(_first_stay), numba.njit(_first_overlap)
