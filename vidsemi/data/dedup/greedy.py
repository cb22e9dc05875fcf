"""Which rows stay if each row that is near an earlier one that stays is removed, in order.

There may be many more pairs of near rows than memory, such as among videos with one intro. But few rows that stay are
near one row, so where the pairs are many, the second half of the rows is compared with those of the first that stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vidsemi.data.dedup.hamming import TooManyPairsError, near_pairs
from vidsemi.data.dedup.nearest import nearest
from vidsemi.runtime.compiled import compiled

MOST_PAIRS = 2  # per row that are held in memory
FEW = 1024  # rows whose pairs always are
Partners = tuple[np.ndarray, np.ndarray]  # (N,) int64 each: the partner of each row or -1, and its distance


@dataclass(frozen=True)
class Greedy:
    """What makes two rows near: see `hamming.near_pairs`."""

    max_distance: int
    min_matches: int
    threads: int

    def bytes_per_row(self, columns: int) -> int:
        """Memory of `within` and `behind`, of a row of so many columns: copies of it, keys, and pairs."""
        return 100 + 16 * columns + 24 * 3 * MOST_PAIRS

    def within(self, keys: np.ndarray) -> Partners:
        """The row that each row is removed for: of the earlier ones that stay the nearest, then the first.

        Keys are (N, F) uint64, distinct.
        """
        most = max(MOST_PAIRS * len(keys), FEW * FEW)
        try:
            first, second, bits = near_pairs(
                keys, None, max_distance=self.max_distance, min_matches=self.min_matches, most=most
            )
        except TooManyPairsError:
            half = len(keys) // 2
            of, distance = self.within(keys[:half])
            stay = np.flatnonzero(of < 0)
            later = self.behind([(stay, keys[stay])], np.arange(half, len(keys)), keys[half:])
            return np.concatenate([of, later[0]]), np.concatenate([distance, later[1]])
        of, distance = np.full(len(keys), -1, np.int64), np.zeros(len(keys), np.int64)
        removed, pair = removed_within(first, second, bits, len(keys))
        of[removed], distance[removed] = first[pair], bits[pair]
        return of, distance

    def behind(self, earlier: Iterable[tuple[np.ndarray, np.ndarray]], rows: np.ndarray, keys: np.ndarray) -> Partners:
        """The row that each of some rows is removed for, by number.

        Args:
            earlier: rows that stay, ascending: numbers and keys, in any number of pieces.
            rows: (N,) int64, numbers of later ones, ascending.
            keys: (N, F) uint64, of these.
        """
        of, distance = np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.int64)
        for numbers, others in earlier:
            self._improve(of, distance, np.arange(len(rows)), keys, numbers, others)
        removed, left = np.flatnonzero(of >= 0), np.flatnonzero(of < 0)
        partner, bits = self.within(keys[left])
        stay = left[partner < 0]
        gone = left[partner >= 0]
        of[gone], distance[gone] = rows[left[partner[partner >= 0]]], bits[partner >= 0]
        self._improve(of, distance, removed, keys[removed], rows[stay], keys[stay], np.searchsorted(stay, removed))
        return of, distance

    def _improve(
        self,
        of: np.ndarray,
        distance: np.ndarray,
        places: np.ndarray,
        keys: np.ndarray,
        numbers: np.ndarray,
        others: np.ndarray,
        before: np.ndarray | None = None,
    ) -> None:
        """Replace the partners of the rows at some places by nearer ones among others, which are later ones."""
        partner, bits = nearest(
            keys,
            others,
            max_distance=self.max_distance,
            min_matches=self.min_matches,
            before=before,
            threads=self.threads,
        )
        nearer = (partner >= 0) & ((of[places] < 0) | (bits < distance[places]))
        of[places[nearer]], distance[places[nearer]] = numbers[partner[nearer]], bits[nearer]


def removed_within(
    first: np.ndarray, second: np.ndarray, bits: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are removed as duplicates of rows that are kept, and the pair that each is removed for."""
    order = np.lexsort((first, second))
    because = _remove_in_order(first[order], second[order], bits[order], count)
    removed = np.flatnonzero(because >= 0)
    return removed, order[because[removed]]


@compiled
def _remove_in_order(first: np.ndarray, second: np.ndarray, bits: np.ndarray, count: int) -> np.ndarray:
    """Go through the rows in order and remove each one that pairs with an earlier row that is kept.

    Pairs are sorted by their later row, `second`, and `bits` are their distances. Returns (count,) int64: the pair that
    a row is removed for (the nearest, then the one with the earliest row), or -1 if the row is kept.
    """
    because = np.full(count, -1, np.int64)
    for pair in range(len(first)):
        row = second[pair]
        if because[first[pair]] < 0 and (because[row] < 0 or bits[pair] < bits[because[row]]):
            because[row] = pair
    return because
