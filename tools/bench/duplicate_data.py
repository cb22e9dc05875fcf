"""Made perceptual hashes of a dataset and a test set, with planted near duplicates, in files of raw numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsemi.data.dedup.duplicates import FRAMES, MIN_MATCHING_FRAMES, Hashes
from vidsemi.io.files import atomic_path

BLOCK = 1 << 20  # rows that are drawn at once
EVERY = 1000  # one row in so many is planted
MAX_FLIPS = 6  # bits that a planted hash differs in from that of the test set


@dataclass(frozen=True)
class DuplicateData:
    """Hashes of `rows` images, or videos of five frames each, and of `tests` test examples.

    Every thousandth row is a planted near duplicate: in an image up to six bits are flipped; in a video those of three
    of its frames, and the other two are drawn anew.
    """

    rows: int
    tests: int
    videos: bool

    @property
    def frames(self) -> int:
        """Hashes per row."""
        return FRAMES if self.videos else 1

    def test_set(self) -> Hashes:
        """The test examples."""
        frames = np.random.default_rng([0, self.videos]).integers(1, 2**64, (self.tests, self.frames), np.uint64)
        return self._hashes(frames, 2**62)

    def planted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows that are planted, the test example that each is a near duplicate of, and the distance."""
        rows = np.arange(EVERY // 2, self.rows, EVERY)
        random = np.random.default_rng([1, self.videos])
        return rows, random.integers(0, self.tests, len(rows)), random.integers(0, MAX_FLIPS + 1, len(rows))

    def write(self, file: Path) -> None:
        """Write the (rows, frames) uint64 of the dataset, unless the file is there."""
        if file.exists():
            return
        tests = self.test_set().frames[:, : self.frames]
        planted, of, distance = self.planted()
        with atomic_path(file) as temporary, open(temporary, "wb") as stream:
            for begin in range(0, self.rows, BLOCK):
                random = np.random.default_rng([2, self.videos, begin])
                shape = (min(BLOCK, self.rows - begin), self.frames)
                frames = random.integers(1, 2**64, shape, np.uint64)
                own = slice(*np.searchsorted(planted, [begin, begin + len(frames)]))
                copies = tests[of[own]] ^ _flips(random, distance[own], self.frames)
                changed = random.permuted(np.arange(self.frames) < MIN_MATCHING_FRAMES, axis=0)
                changed = changed if self.videos else np.ones(1, bool)
                frames[planted[own] - begin] = np.where(changed, copies, frames[planted[own] - begin])
                frames.tofile(stream)

    def _hashes(self, frames: np.ndarray, first: int) -> Hashes:
        """Hashes whose contents are numbered from `first` on, so that there are no exact duplicates."""
        count = len(frames)
        content = np.full((count, 2), 1, np.uint64)
        content[:, 0] = np.arange(first, first + count, dtype=np.uint64)
        wide = np.zeros((count, FRAMES), np.uint64)
        wide[:, : self.frames] = frames
        return Hashes(content, np.tile([-np.inf, np.inf], (count, 1)), wide, np.full(count, not self.videos))

    def stored(self, file: Path) -> "StoredData":
        """The dataset in its file."""
        return StoredData(self, file)


@dataclass(frozen=True)
class StoredData:
    """Hashes in a file, of which a search reads a piece at a time."""

    data: DuplicateData
    file: Path

    def __len__(self) -> int:
        return self.data.rows

    def take(self, examples: np.ndarray | slice) -> Hashes:
        """The hashes of successive examples."""
        assert isinstance(examples, slice)
        begin, end, _ = examples.indices(len(self))
        width = self.data.frames
        frames = np.fromfile(self.file, np.uint64, (end - begin) * width, offset=begin * width * 8)
        return self.data._hashes(frames.reshape(-1, width), 1 + begin)


def _flips(random: np.random.Generator, distance: np.ndarray, frames: int) -> np.ndarray:
    """(N, frames) uint64 of which row i has `distance[i]` bits each."""
    bits = np.argsort(random.random((len(distance), frames, 64)), axis=2)
    chosen = bits < distance[:, None, None]
    return np.packbits(chosen, axis=2, bitorder="little").view(np.uint64).reshape(len(distance), frames)
