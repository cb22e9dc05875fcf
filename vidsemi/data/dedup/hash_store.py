"""Hashes of more examples than fit in memory, in a temporary file."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vidsemi.data.dedup.duplicates import AT_ONCE, FRAMES, MIN_MATCHING_FRAMES, Hashes

RECORD = np.dtype(
    [("content", np.uint64, 2), ("trim", np.float64, 2), ("frames", np.uint64, FRAMES), ("is_image", np.bool_)]
)


class HashStore:
    """Hashes in a file of a folder that has no name, so that a killed command leaves nothing behind.

    Example i is the record i; 100 million take 7 GB of disk.
    """

    def __init__(self, folder: Path):
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 # as long as this object
        self._count = 0
        self.flat = 0  # examples with too few hashes of frames to be a near duplicate

    def __len__(self) -> int:
        return self._count

    def append(self, records: np.ndarray) -> None:
        """Write the records of the next examples, (N,) of `RECORD`."""
        needed = np.where(records["is_image"], 1, MIN_MATCHING_FRAMES)
        self.flat += int(np.sum(np.count_nonzero(records["frames"], axis=1) < needed))
        left = records.view(np.uint8).data
        self._file.seek(0, os.SEEK_END)
        while left:
            left = left[self._file.write(left) :]
        self._count += len(records)

    def take(self, examples: np.ndarray | slice) -> Hashes:
        """The hashes of some examples, by their numbers in ascending order or as a slice."""
        numbers = np.arange(self._count)[examples] if isinstance(examples, slice) else examples
        parts = [np.empty(0, RECORD), *self._read(numbers)]
        records = np.concatenate(parts)
        return Hashes(*(np.ascontiguousarray(records[name]) for name in ("content", "trim", "frames", "is_image")))

    def _read(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        place = 0
        while place < len(numbers):
            first = int(numbers[place])
            end = int(np.searchsorted(numbers, first + AT_ONCE))
            records = np.empty(int(numbers[end - 1]) + 1 - first, RECORD)
            self._file.seek(first * RECORD.itemsize)
            left = records.view(np.uint8).data
            while left:
                left = left[self._file.readinto(left) :]
            yield records[numbers[place:end] - first]
            place = end
