"""Records on disk that do not fit in memory, and their distribution over files by a number that each has."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from vidsemi.data.dedup.equal_keys import part_numbers

RUN = 1 << 20  # records of `Partitions` that are in memory


class RecordFile:
    """Records of one type in a file that has no name, so that a killed command leaves nothing behind.

    Threads may read it at the same time.

    Args:
        folder: on whose disk the file is; None: that of temporary files.
        dtype: of a record.
    """

    def __init__(self, folder: Path | None, dtype: np.dtype | type):
        self.dtype = np.dtype(dtype)
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 # as long as this object
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> "RecordFile":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def append(self, records: np.ndarray) -> None:
        """Write the next records, (N,) of the type."""
        self.put(self._count, records)

    def put(self, begin: int, records: np.ndarray) -> None:
        """Write records, (N,) of the type, from the place `begin` on, which may be behind the last record."""
        left = np.ascontiguousarray(records, self.dtype).view(np.uint8).data
        place = begin * self.dtype.itemsize
        try:
            while left:
                done = os.pwrite(self._file.fileno(), left, place)
                left, place = left[done:], place + done
        except OSError as error:
            error.filename = error.filename or str(self._folder or tempfile.gettempdir())  # users see no other name
            raise
        self._count = max(self._count, begin + len(records))

    def read(self, begin: int, end: int) -> np.ndarray:
        """The records from `begin` to before `end`."""
        records = np.empty(max(0, min(end, self._count) - begin), self.dtype)
        left = records.view(np.uint8).data
        place = begin * self.dtype.itemsize
        while left:
            done = os.preadv(self._file.fileno(), [left], place)
            if not done:
                raise EOFError(f"{self._folder} has lost a temporary file")
            left, place = left[done:], place + done
        return records

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """All records in order, `size` at a time."""
        for begin in range(0, self._count, size):
            yield self.read(begin, begin + size)


def partitioned(
    blocks: Iterable[np.ndarray], number: Callable[[np.ndarray], np.ndarray], count: int, folder: Path | None
) -> list[RecordFile]:
    """Distribute records over `count` files, each in the order in which they come.

    Args:
        blocks: arrays of records of one type, at least one array.
        number: the numbers of the files of a block's records, (N,) uint16.
        count: of the files.
        folder: see `RecordFile`.
    """
    files: list[RecordFile] = []
    for block in blocks:
        files = files or [RecordFile(folder, block.dtype) for _ in range(count)]
        numbers = number(block)
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=count))
        for file, part in zip(files, np.split(block[order], ends[:-1]), strict=True):
            file.append(part)
    return files


class Partitions:
    """Records with keys, distributed over parts by these: equal keys are in one part. Few records stay in memory.

    Args:
        dtype: of a record; its field `key` has some words of uint64.
        count: of the parts.
        folder: see `RecordFile`.
    """

    def __init__(self, dtype: np.dtype, count: int, folder: Path | None):
        self.count = count
        self._dtype, self._folder = dtype, folder
        self._file: RecordFile | None = None
        self._cuts: list[np.ndarray] = []  # where each part begins in each run of the file, and the last one ends
        self._pending, self._size = list[np.ndarray](), 0
        self._last: tuple[np.ndarray, np.ndarray] | None = None  # the pending records by part, and where each begins

    def __enter__(self) -> "Partitions":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back."""
        if self._file is not None:
            self._file.close()

    def append(self, records: np.ndarray) -> None:
        """Add some records, (N,) of the type."""
        if not len(records):
            return
        self._pending.append(records)
        self._size += len(records)
        self._last = None
        if self._size >= RUN:
            records, cuts = self._by_part()
            self._file = self._file or RecordFile(self._folder, self._dtype)
            self._cuts.append(len(self._file) + cuts)
            self._file.append(records)
            self._pending, self._size = [], 0

    def read(self, part: int) -> np.ndarray:
        """The records of a part, in the order in which they came."""
        records, cuts = self._last = self._last or self._by_part()
        pieces = [self._file.read(int(run[part]), int(run[part + 1])) for run in self._cuts] if self._file else []
        return np.concatenate([*pieces, records[cuts[part] : cuts[part + 1]]])

    def _by_part(self) -> tuple[np.ndarray, np.ndarray]:
        records = np.concatenate([np.empty(0, self._dtype), *self._pending])
        if self.count == 1:
            return records, np.array([0, len(records)])
        numbers = part_numbers(np.ascontiguousarray(records["key"]), self.count)
        cuts = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=self.count))])
        return records[np.argsort(numbers, kind="stable")], cuts
