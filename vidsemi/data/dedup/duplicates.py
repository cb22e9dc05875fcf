"""Find examples that are duplicates of others, exact or near. Those within a dataset: `within`.

Examples with the same bytes are exact duplicates, unless they are trimmed to parts that do not overlap. Images whose
perceptual hashes differ in few bits are near duplicates, and videos for which that holds for most of a few frames.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np

from vidsemi.data.dedup.nearest import nearest
from vidsemi.runtime.compiled import compiled

FRAMES = 5  # hashed per video
MIN_MATCHING_FRAMES = 3  # make videos near duplicates: two may be black, or on the other side of a cut
KINDS = ("exact", "near")
AT_ONCE = 1 << 20  # examples that are compared with others at once; the memory of a search depends on this number only


@dataclass(frozen=True)
class Hashes:
    """The hashes of the examples of a dataset. An image only has the first of the perceptual hashes, `frames`."""

    content: np.ndarray  # (N, 2) uint64, hash of the file's bytes; 0 if they could not be read
    trim: np.ndarray  # (N, 2) float64, start and end in seconds; infinite if not trimmed
    frames: np.ndarray  # (N, FRAMES) uint64; 0 if unknown or too little to see
    is_image: np.ndarray  # (N,) bool

    def __len__(self) -> int:
        return len(self.content)

    def take(self, examples: np.ndarray | slice) -> "Hashes":
        """The hashes of some examples."""
        return Hashes(self.content[examples], self.trim[examples], self.frames[examples], self.is_image[examples])


@dataclass(frozen=True)
class Duplicates:
    """The duplicates in a dataset, sorted by example: (D,) integers each."""

    example: np.ndarray
    of: np.ndarray  # the example that it duplicates
    kind: np.ndarray  # index into `KINDS`
    distance: np.ndarray  # Hamming distance of the hashes; for videos the one within which enough frames match

    def __len__(self) -> int:
        return len(self.example)

    def renumbered(self, examples: np.ndarray, of: np.ndarray | None = None) -> "Duplicates":
        """The same with the ids that the examples (and their partners) have in the dataset they were taken from."""
        return replace(self, example=examples[self.example], of=self.of if of is None else of[self.of])

    def count(self, kind: str) -> int:
        """Number of duplicates of a kind."""
        return int(np.sum(self.kind == KINDS.index(kind)))


class HashSource(Protocol):
    """Hashes in memory, or in a file of which pieces are read."""

    def __len__(self) -> int: ...

    def take(self, examples: slice | np.ndarray) -> Hashes: ...  # noqa: D102 # ascending


def duplicates_of(dataset: HashSource, others: Hashes, max_distance: int, kept: np.ndarray | None = None) -> Duplicates:
    """Find examples of a dataset that are duplicates of others.

    An exact duplicate is preferred to a near one, then the nearest, then the one with the smallest id.
    Memory does not grow with the dataset, of which a million examples are read at a time.

    Args:
        dataset: the examples.
        others: such as a test set's.
        max_distance: maximum Hamming distance of near duplicates.
        kept: (N,) bool, which examples of the dataset are searched; default: all.
    """
    sides = [_distinct(others, criterion) for criterion in CRITERIA]

    def found(begin: int) -> Duplicates:  # a million examples have 80 MB, which are free before the next are read
        part = dataset.take(slice(begin, begin + AT_ONCE))
        examples = np.arange(begin, begin + len(part))
        if kept is not None and not kept[examples].all():
            examples = examples[kept[examples]]
            part = part.take(examples - begin)

        def partners(left: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
            return _partners_among(part, left, *sides[number], CRITERIA[number], max_distance)

        return _find(len(part), partners).renumbered(examples)

    return _joined([found(begin) for begin in range(0, len(dataset), AT_ONCE)])


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # first, second, distance


@dataclass(frozen=True)
class Criterion:
    """What makes two examples duplicates."""

    known: Callable[[Hashes], np.ndarray]  # → (N,) bool, which examples have the hashes that are compared
    keys: Callable[[Hashes], np.ndarray]  # → (N, C) uint64, these hashes
    words: int  # C
    min_matches: int  # of these hashes that are near ones; 0: the contents are equal, and the trims overlap

    def groups(self, keys: np.ndarray) -> np.ndarray:
        """The words of (N, C) keys that are searched together: exact duplicates have one content, and any trims."""
        return keys if self.min_matches else keys[:, :2]

    def partners(self, keys: np.ndarray, others: np.ndarray, max_distance: int) -> tuple[np.ndarray, np.ndarray]:
        """The best of (M, C) distinct keys of others for each of (N, C) keys, (N,) or -1, and the distance."""
        if self.min_matches:
            return nearest(keys, others, max_distance=max_distance, min_matches=self.min_matches)
        return _overlapping_partners(keys, others)


CRITERIA = (
    Criterion(
        known=lambda hashes: np.asarray(hashes.content.any(axis=1)),
        keys=lambda hashes: np.hstack([hashes.content, (hashes.trim + 0.0).view(np.uint64)]),  # -0.0 + 0.0 is 0.0
        words=4,
        min_matches=0,
    ),
    Criterion(
        known=lambda hashes: hashes.is_image & (hashes.frames[:, 0] != 0),
        keys=lambda hashes: hashes.frames[:, :1],
        words=1,
        min_matches=1,
    ),
    Criterion(
        known=lambda hashes: ~hashes.is_image & (np.count_nonzero(hashes.frames, axis=1) >= MIN_MATCHING_FRAMES),
        keys=lambda hashes: hashes.frames,
        words=FRAMES,
        min_matches=MIN_MATCHING_FRAMES,
    ),
)  # each is applied to the examples that the ones before have left


def _find(count: int, partners: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]) -> Duplicates:
    """Apply one criterion after the other, each to the examples that are left.

    `partners` gets these examples and the criterion's number, and returns the partner of each or -1, and its distance.
    """
    of = np.full(count, -1, np.int64)
    kind, distance = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for number in range(len(CRITERIA)):
        left = np.flatnonzero(of < 0)
        of[left], distance[left] = partners(left, number)
        kind[left] = min(number, 1)
    example = np.flatnonzero(of >= 0)
    return Duplicates(example, of[example], kind[example], distance[example])


def _joined(parts: list[Duplicates]) -> Duplicates:
    names = [one.name for one in fields(Duplicates)]
    none = np.empty(0, np.int64)
    return Duplicates(*(np.concatenate([none, *(getattr(part, name) for part in parts)]) for name in names))


def _distinct(others: Hashes, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
    """The first of the others with each key, ascending, and its key."""
    rows = np.flatnonzero(criterion.known(others))
    keys = criterion.keys(others)[rows]
    leaders = np.flatnonzero(_first_equal(keys) == np.arange(len(rows)))
    return rows[leaders], keys[leaders]


def _partners_among(
    dataset: Hashes,
    left: np.ndarray,
    others: np.ndarray,
    other_keys: np.ndarray,
    criterion: Criterion,
    max_distance: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The partner of each example in `left` (ascending) among others with these keys or -1, and their distance."""
    of, distance = np.full(len(left), -1, np.int64), np.zeros(len(left), np.int64)
    places = np.flatnonzero(criterion.known(dataset)[left])
    if len(places) and len(others):
        partner, bits = criterion.partners(criterion.keys(dataset)[left[places]], other_keys, max_distance)
        found = partner >= 0
        of[places[found]], distance[places[found]] = others[partner[found]], bits[found]
    return of, distance


def _first_equal(keys: np.ndarray) -> np.ndarray:
    """For each row of (N, C) the first row that equals it, (N,) int64."""
    order = np.lexsort(keys.T[::-1])
    begins = np.concatenate([[True], (keys[order[1:]] != keys[order[:-1]]).any(axis=1)])[: len(keys)]
    leader = np.empty(len(keys), np.int64)
    leader[order] = order[np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))]
    return leader


def overlapping_pairs(one: np.ndarray, two: np.ndarray | None) -> Pairs:
    """Pairs with the same content and overlapping trims; keys are content and trim, distinct on each side.

    Only one pair per row: with its first partner (within `one`: the first that is kept). A thousand parts of a video
    may have half a million pairs.
    """
    both = one if two is None else np.concatenate([one, two])
    content, trims = _first_equal(both[:, :2]), both[:, 2:].view(np.float64)
    order = np.argsort(content[: len(one)], kind="stable")
    other_order = order if two is None else len(one) + np.argsort(content[len(one) :], kind="stable")
    partner = _first_overlap(content[order], trims[order], content[other_order], trims[other_order], two is None)
    rows = np.flatnonzero(partner >= 0)
    first, second = order[rows], other_order[partner[rows]]
    distance = np.zeros(len(rows), np.int64)
    return (second, first, distance) if two is None else (first, second - len(one), distance)


def _overlapping_partners(keys: np.ndarray, other_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of the others with the same content and an overlapping trim, (N,) int64 or -1; distances are 0."""
    partner = np.full(len(keys), -1, np.int64)
    rows = np.flatnonzero(np.isin(keys[:, 0], other_keys[:, 0]) & np.isin(keys[:, 1], other_keys[:, 1]))
    first, second, _ = overlapping_pairs(keys[rows], other_keys)
    partner[rows[first]] = second
    return partner, np.zeros(len(keys), np.int64)


@compiled
def _first_overlap(
    content: np.ndarray, trims: np.ndarray, other_content: np.ndarray, other_trims: np.ndarray, within: bool
) -> np.ndarray:
    """The first of the other trims with the same content that overlaps or equals each trim, (N,) int64; -1 if none.

    Contents are (N,) and (M,) int64, sorted; trims (N, 2) and (M, 2) float64. If both sides are the same (`within`),
    trims that have an earlier partner are not partners themselves.
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
