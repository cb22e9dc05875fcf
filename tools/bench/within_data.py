"""Made hashes of a dataset with planted duplicates of its own examples, and with crowds of similar ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsemi.data.dedup.duplicates import FRAMES, MIN_MATCHING_FRAMES
from vidsemi.data.dedup.hash_store import RECORD, HashStore

BLOCK = 1 << 18  # rows that are made at once
PERIOD = 1000
NEAR, EXACT, CROWD = 500, 750, 250  # rows of each thousand
EQUAL, EQUAL_PERIOD = 7, 100  # a row of each hundred
ORIGINALS = 6  # of each thousand, from row 1 on, are duplicated
MAX_FLIPS = 2  # bits that a planted hash differs in
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class WithinData:
    """Hashes of `rows` images, or videos of five frames each.

    Of each thousand rows one is a near duplicate of an earlier one (in an image up to two bits are flipped; in a video
    those of three of its frames, and the other two are drawn anew), one has the content of an earlier one, ten have one
    hash in common, such as black frames with a logo, and one is of a crowd that is near one hash: in videos three of
    the frames are, such as an intro.
    """

    rows: int
    videos: bool

    @property
    def frames(self) -> int:
        """Hashes per row."""
        return FRAMES if self.videos else 1

    def planted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows that are planted near duplicates, the row that each duplicates, and the distance."""
        rows = np.arange(NEAR, self.rows, PERIOD)
        return rows, _original(rows), _distance(rows)

    def removed(self) -> int:
        """How many rows are duplicates, but for those that are by chance."""
        kinds = [(NEAR, PERIOD, 0), (EXACT, PERIOD, 0), (CROWD, PERIOD, 1), (EQUAL, EQUAL_PERIOD, 1)]
        return sum(max(0, len(range(first, self.rows, period)) - kept) for first, period, kept in kinds)

    def store(self, folder: Path) -> HashStore:
        """The hashes as the command keeps them, in a temporary file of a folder."""
        store = HashStore(folder)
        for records in self._blocks():
            store.append(records)
        return store

    def _blocks(self) -> Iterator[np.ndarray]:
        for begin in range(0, self.rows, BLOCK):
            rows = np.arange(begin, min(begin + BLOCK, self.rows))
            content = rows.copy()
            exact = rows % PERIOD == EXACT
            content[exact] = _original(rows[exact])
            frames = _frames(content, self.frames)
            changed = slice(min(MIN_MATCHING_FRAMES, self.frames))
            near, crowd = rows % PERIOD == NEAR, rows % PERIOD == CROWD
            copies = _frames(_original(rows[near]), self.frames) ^ _flips(rows[near], _distance(rows[near]))[:, None]
            frames[near, changed] = copies[:, changed]
            intro = _frames(np.array([2**41]), self.frames) ^ _flips(rows[crowd], _distance(rows[crowd]) % 2)[:, None]
            frames[crowd, changed] = intro[:, changed]  # any two of them are near
            frames[rows % EQUAL_PERIOD == EQUAL] = _frames(np.array([2**40]), self.frames)
            records = np.zeros(len(rows), RECORD)
            records["content"][:, 0], records["content"][:, 1] = content, 1
            records["trim"] = [-np.inf, np.inf]
            records["frames"][:, : self.frames] = frames
            records["is_image"] = not self.videos
            yield records


def _original(rows: np.ndarray) -> np.ndarray:
    """An earlier row for each, which is not a duplicate."""
    thousand = (_random(rows, 103) % (rows // PERIOD + 1).astype(np.uint64)).astype(np.int64)
    return thousand * PERIOD + 1 + (_random(rows, 104) % np.uint64(ORIGINALS)).astype(np.int64)


def _distance(rows: np.ndarray) -> np.ndarray:
    return (_random(rows, 101) % np.uint64(MAX_FLIPS + 1)).astype(np.int64)


def _frames(content: np.ndarray, count: int) -> np.ndarray:
    """(N, count) hashes of contents."""
    return np.stack([_random(content, column) for column in range(count)], axis=1)


def _flips(rows: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Masks of up to two bits, (N,) uint64."""
    first = _random(rows, 105) % np.uint64(64)
    second = (first + np.uint64(1) + _random(rows, 106) % np.uint64(63)) % np.uint64(64)
    one = np.uint64(1)
    return np.where(bits > 0, one << first, np.uint64(0)) ^ np.where(bits > 1, one << second, np.uint64(0))


def _random(numbers: np.ndarray, stream: int) -> np.ndarray:
    """A random word for each number, (N,) uint64 but 0: splitmix64."""
    state = (numbers.astype(np.uint64) * np.uint64(128) + np.uint64(stream + 1)) * GOLDEN
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = state ^ (state >> np.uint64(31))
    return np.maximum(mixed, np.uint64(1))
