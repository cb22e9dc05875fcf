"""Hashes of more examples than fit in memory, in a temporary file."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from vidsemi.data.dedup.duplicates import FRAMES, MIN_MATCHING_FRAMES, Hashes
from vidsemi.data.dedup.record_file import RecordFile

RECORD = np.dtype(
    [("content", np.uint64, 2), ("trim", np.float64, 2), ("frames", np.uint64, FRAMES), ("is_image", np.bool_)]
)
WINDOW = 1 << 17  # records that are read at once to take some of them: 10 MB


class HashStore:
    """Hashes in a temporary file of a folder. Example i is the record i; 100 million take 7 GB of disk."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._file = RecordFile(folder, RECORD)
        self.flat = 0  # examples with too few hashes of frames to be a near duplicate

    def __len__(self) -> int:
        return len(self._file)

    def append(self, records: np.ndarray) -> None:
        """Write the records of the next examples, (N,) of `RECORD`."""
        self.put(len(self) + np.arange(len(records)), records)

    def put(self, examples: np.ndarray, records: np.ndarray) -> None:
        """Write the records of some examples, (N,) in any order, each example once."""
        needed = np.where(records["is_image"], 1, MIN_MATCHING_FRAMES)
        self.flat += int(np.sum(np.count_nonzero(records["frames"], axis=1) < needed))
        begins = np.flatnonzero(np.diff(examples, prepend=-2) != 1)  # of runs, such as the whole of most shards
        for begin, end in pairwise([*begins.tolist(), len(examples)]):
            self._file.put(int(examples[begin]), records[begin:end])

    def take(self, examples: np.ndarray | slice) -> Hashes:
        """The hashes of some examples, by their numbers in ascending order or as a slice."""
        if isinstance(examples, slice):
            begin, end, _ = examples.indices(len(self))
            records = self._file.read(begin, end)
        else:
            records = np.concatenate([np.empty(0, RECORD), *self._read(examples)])
        return Hashes(*(np.ascontiguousarray(records[name]) for name in ("content", "trim", "frames", "is_image")))

    def _read(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        place = 0
        while place < len(numbers):
            first = int(numbers[place])
            end = int(np.searchsorted(numbers, first + WINDOW))
            yield self._file.read(first, int(numbers[end - 1]) + 1)[numbers[place:end] - first]
            place = end
