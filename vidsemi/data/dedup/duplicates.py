"""Which examples are duplicates of which, from hashes of their content: exact, or near by their looks. No pixels.

Exact are examples of the same bytes, unless they are trimmed to parts that have no moment in common. Near are images
whose perceptual hashes differ in few bits, and videos of which that holds for most of a few frames.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vidsemi.data.dedup.hamming import first_overlap, first_stay, near_pairs

FRAMES = 5  # of a video that are hashed
FRAMES_ALIKE = 3  # of these make videos near duplicates: two may be black, or lie on the other side of a cut
KINDS = ("exact", "near")


@dataclass(frozen=True)
class Hashes:
    """What is known of the examples of a corpus.

    Attributes:
        content: (N, 2) uint64, of the file's bytes; 0 where they could not be read.
        trim: (N, 2) float64, seconds from where to where; infinite where it is not trimmed.
        frames: (N, FRAMES) uint64, of how frames look; 0 where that tells nothing or is not known. An image has one
            frame, the first.
        is_image: (N,) bool.
    """

    content: np.ndarray
    trim: np.ndarray
    frames: np.ndarray
    is_image: np.ndarray

    def __len__(self) -> int:
        return len(self.content)

    def take(self, examples: np.ndarray) -> "Hashes":
        """Those of some examples."""
        return Hashes(self.content[examples], self.trim[examples], self.frames[examples], self.is_image[examples])


@dataclass(frozen=True)
class Duplicates:
    """The duplicates of a corpus, sorted by example.

    Attributes:
        example: (D,) int64, which example it is.
        of: (D,) int64, the example that it is a duplicate of.
        kind: (D,) int64, place in `KINDS`.
        distance: (D,) int64, bits in which the hashes differ; of videos, in which enough frames differ at most.
    """

    example: np.ndarray
    of: np.ndarray
    kind: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.example)

    def renumbered(self, examples: np.ndarray, of: np.ndarray | None = None) -> "Duplicates":
        """The same with the numbers that examples, and their partners, have in a table that they were taken from."""
        return replace(self, example=examples[self.example], of=self.of if of is None else of[self.of])

    def count(self, kind: str) -> int:
        """How many are of a kind."""
        return int(np.sum(self.kind == KINDS.index(kind)))


def duplicates_of(corpus: Hashes, others: Hashes, distance: int) -> Duplicates:
    """Examples of a corpus that are duplicates of others.

    Each is held against the exact ones first, then the nearest; of equals the first counts.

    Args:
        corpus: whose duplicates are looked for.
        others: for instance a test set.
        distance: most bits in which hashes differ that are near.
    """
    return _found(corpus, others, distance)


def duplicates_within(corpus: Hashes, distance: int) -> Duplicates:
    """Examples of a corpus that are duplicates of earlier ones that stay.

    An example goes only for one that stays, not for another that goes: chains of ever so slight changes do not swallow
    a corpus. First all exact ones go, then the near ones of what is left: only so may the one that an exact duplicate
    went for go itself, as it is near to a third.
    """
    return _found(corpus, None, distance)


def _found(corpus: Hashes, others: Hashes | None, distance: int) -> Duplicates:
    of = np.full(len(corpus), -1, np.int64)
    kind, bits = np.zeros(len(corpus), np.int64), np.zeros(len(corpus), np.int64)
    for number, search in enumerate((_exact, _near_images, _near_videos)):
        left = np.flatnonzero(of < 0)
        of[left], bits[left] = search(corpus, left, others, distance)
        kind[left] = min(number, 1)
    example = np.flatnonzero(of >= 0)
    return Duplicates(example, of[example], kind[example], bits[example])


Partners = tuple[np.ndarray, np.ndarray]  # of each row that was asked for: its partner, -1 without one; bits apart
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # first, second, bits apart


def _exact(corpus: Hashes, left: np.ndarray, others: Hashes | None, distance: int) -> Partners:
    def keys(hashes: Hashes) -> np.ndarray:
        return np.hstack([hashes.content, (hashes.trim + 0.0).view(np.uint64)])  # -0.0 + 0.0 is 0.0

    def known(hashes: Hashes) -> np.ndarray:
        return np.asarray(hashes.content.any(axis=1))

    return _partners(corpus, left, others, known, keys, _overlapping)


def _near_images(corpus: Hashes, left: np.ndarray, others: Hashes | None, distance: int) -> Partners:
    def keys(hashes: Hashes) -> np.ndarray:
        return hashes.frames[:, :1]

    def known(hashes: Hashes) -> np.ndarray:
        return hashes.is_image & (hashes.frames[:, 0] != 0)

    def pairs(one: np.ndarray, two: np.ndarray | None) -> Pairs:
        return near_pairs(one, two, distance=distance)

    return _partners(corpus, left, others, known, keys, pairs)


def _near_videos(corpus: Hashes, left: np.ndarray, others: Hashes | None, distance: int) -> Partners:
    def keys(hashes: Hashes) -> np.ndarray:
        return hashes.frames

    def known(hashes: Hashes) -> np.ndarray:
        return ~hashes.is_image & (np.count_nonzero(hashes.frames, axis=1) >= FRAMES_ALIKE)

    def pairs(one: np.ndarray, two: np.ndarray | None) -> Pairs:
        return near_pairs(one, two, distance=distance, alike=FRAMES_ALIKE)

    return _partners(corpus, left, others, known, keys, pairs)


def _partners(
    corpus: Hashes,
    left: np.ndarray,
    others: Hashes | None,
    known: Callable[[Hashes], np.ndarray],
    keys: Callable[[Hashes], np.ndarray],
    pairs: Callable[[np.ndarray, np.ndarray | None], Pairs],
) -> Partners:
    """The partner of each example that is left, or -1.

    Examples with one key are looked for once: a million copies would have 5e11 pairs.

    Args:
        corpus: whose examples are looked for.
        left: (L,) int64, which of them, ascending.
        others: where partners are; None looks for earlier ones that stay among those left.
        known: which examples have the hash that counts here.
        keys: that hash, (N, C) uint64.
        pairs: (N, C) keys, (M, C) keys or None → pairs that are duplicates.
    """
    of, bits = np.full(len(corpus), -1, np.int64), np.zeros(len(corpus), np.int64)
    rows = left[known(corpus)[left]]
    own = keys(corpus)[rows]
    leader = _first_equal(own)
    leaders = np.flatnonzero(leader == np.arange(len(rows)))
    if others is None:
        first, second, apart = pairs(own[leaders], None)
        order = np.lexsort((first, second))
        because = first_stay(first[order], second[order], apart[order], len(leaders))
        goes = np.flatnonzero(because >= 0)
        chosen = order[because[goes]]
        partner = rows[leaders[first[chosen]]]
    else:
        targets = np.flatnonzero(known(others))
        theirs = keys(others)[targets]
        target_leaders = np.flatnonzero(_first_equal(theirs) == np.arange(len(targets)))
        first, second, apart = pairs(own[leaders], theirs[target_leaders])
        order = np.lexsort((second, apart, first))
        goes, begin = np.unique(first[order], return_index=True)
        chosen = order[begin]
        partner = targets[target_leaders[second[chosen]]]
    of[rows[leaders[goes]]], bits[rows[leaders[goes]]] = partner, apart[chosen]
    of[rows], bits[rows] = of[rows[leader]], bits[rows[leader]]  # copies share what becomes of their leader
    if others is None:
        copies = rows[(leader != np.arange(len(rows))) & (of[rows] < 0)]
        of[copies] = rows[leader[np.searchsorted(rows, copies)]]
    return of[left], bits[left]


def _first_equal(keys: np.ndarray) -> np.ndarray:
    """For each row of (N, C) the first one that equals it, (N,) int64."""
    order = np.lexsort(keys.T[::-1])
    begins = np.concatenate([[True], (keys[order[1:]] != keys[order[:-1]]).any(axis=1)])[: len(keys)]
    leader = np.empty(len(keys), np.int64)
    leader[order] = order[np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))]
    return leader


def _overlapping(one: np.ndarray, two: np.ndarray | None) -> Pairs:
    """Pairs of one content whose trims overlap, of keys that are content and trim; no two of a side are the same.

    Of each row only the pair that counts, that with the first one (within `one`: that stays): a thousand parts of a
    video may have half a million.
    """
    both = one if two is None else np.concatenate([one, two])
    content, trims = _first_equal(both[:, :2]), both[:, 2:].view(np.float64)
    order = np.argsort(content[: len(one)], kind="stable")
    other_order = order if two is None else len(one) + np.argsort(content[len(one) :], kind="stable")
    found = first_overlap(content[order], trims[order], content[other_order], trims[other_order], two is None)
    rows = np.flatnonzero(found >= 0)
    first, second = order[rows], other_order[found[rows]]
    none_apart = np.zeros(len(rows), np.int64)
    return (second, first, none_apart) if two is None else (first, second - len(one), none_apart)
