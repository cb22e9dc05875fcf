"""Duplicates within a dataset whose hashes need not fit in memory.

Each criterion is applied in four steps. Rows with equal keys are represented by the first of them: they are
distributed over files, of which each fits in memory. Rows without any near partner are set aside (`candidates`); the
others are decided on in order (`greedy`). At last the copies of a row share its fate.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from vidsemi.data.dedup.candidates import mark_candidates
from vidsemi.data.dedup.duplicates import CRITERIA, KINDS, Criterion, Duplicates, HashSource, overlapping_pairs
from vidsemi.data.dedup.equal_keys import DistinctKeys, bytes_per_key, part_numbers
from vidsemi.data.dedup.greedy import Greedy, removed_within
from vidsemi.data.dedup.hamming import columns_to_search
from vidsemi.data.dedup.record_file import RecordFile, partitioned
from vidsemi.io.errors import UserError
from vidsemi.runtime.process import usable_cores

DEFAULT_MEMORY = 1 << 30
PROGRAM = 256 << 20  # of it is for the program itself and for blocks of records
LEAST = 64 << 20  # bytes that searches need
BLOCK = 1 << 17  # records that are read at once
MOST_FILES = 512  # open at once
EXACT = 255  # in place of a distance
COPY = np.dtype([("row", np.int64), ("of", np.int64)])


def duplicates_within(
    dataset: HashSource,
    max_distance: int,
    *,
    kept: np.ndarray | None = None,
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    folder: Path | None = None,
) -> Duplicates:
    """Find examples of a dataset that are duplicates of earlier ones that are kept.

    An example is removed only as a duplicate of one that is kept, so chains of slight changes do not consume a dataset.
    All exact duplicates are removed first, then near ones among the rest. Only so may the example that an exact
    duplicate was removed for be removed itself, as near to a third.

    Args:
        dataset: the examples.
        max_distance: maximum Hamming distance of near duplicates.
        kept: (N,) bool, which examples are searched; default: all.
        memory: bytes that the process may use; 10 per duplicate are needed besides.
        threads: that search, default: the usable cores.
        folder: of temporary files, which take up to 70 bytes per image and 130 per video; None: the system's.

    Raises:
        UserError: the memory is too small for so many examples.
    """
    fates = _Fates(len(dataset), kept)
    largest_file = len(dataset) * max(bytes_per_key(criterion.words) for criterion in CRITERIA) // MOST_FILES + 1
    least = max(LEAST, largest_file)
    if (work := memory - PROGRAM - fates.bytes) < least:
        raise UserError(
            "duplicates.too_little_memory",
            f"the search for duplicates within {len(dataset)} examples needs --memory "
            f"{-(-(PROGRAM + fates.bytes + least) // (1 << 20))}M or more",
        )
    threads = min(threads or usable_cores(), work // largest_file)
    search = _Search(dataset, fates, max_distance, work, threads, folder)
    for criterion in CRITERIA:
        search.apply(criterion)
    return fates.duplicates()


class _Fates:
    """What is known of each example so far.

    Attributes:
        of: (N,) unsigned, the example that it duplicates, `none`, or `candidate` of the current criterion.
        distance: (N,) uint8, to that one, or `EXACT`.
    """

    def __init__(self, count: int, kept: np.ndarray | None):
        dtype = np.uint32 if count < 2**32 - 2 else np.uint64
        self.none = int(np.iinfo(dtype).max)
        self.candidate = self.none - 1
        self.of = np.full(count, self.none, dtype)
        self.distance = np.zeros(count, np.uint8)
        self._kept = kept

    @property
    def bytes(self) -> int:
        return self.of.nbytes + 2 * self.distance.nbytes  # and `kept`

    def left(self, examples: slice) -> np.ndarray:
        """Whether each is neither removed nor excluded from the search."""
        left: np.ndarray = self.of[examples] == self.none
        return left if self._kept is None else left & self._kept[examples]

    def remove(self, rows: np.ndarray, of: np.ndarray, distance: np.ndarray | int) -> None:
        self.of[rows], self.distance[rows] = of, distance

    def duplicates(self) -> Duplicates:
        count = sum(int(np.count_nonzero(self.of[begin : begin + BLOCK] != self.none)) for begin in self._begins())
        found = Duplicates(*(np.empty(count, dtype) for dtype in (self.of.dtype, self.of.dtype, np.uint8, np.uint8)))
        place = 0
        for begin in self._begins():
            examples = begin + np.flatnonzero(self.of[begin : begin + BLOCK] != self.none)
            own = slice(place, place := place + len(examples))
            distance = self.distance[examples]
            found.example[own], found.of[own] = examples, self.of[examples]
            found.kind[own] = np.where(distance == EXACT, KINDS.index("exact"), KINDS.index("near"))
            found.distance[own] = np.where(distance == EXACT, 0, distance)
        return found

    def _begins(self) -> range:
        return range(0, len(self.of), BLOCK)


@dataclass(frozen=True)
class _Search:
    dataset: HashSource
    fates: _Fates
    max_distance: int
    memory: int
    threads: int
    folder: Path | None

    def apply(self, criterion: Criterion) -> None:
        """Remove the duplicates by a criterion among the examples that are left."""
        files = min(len(self.dataset) * bytes_per_key(criterion.words) * self.threads // self.memory + 1, MOST_FILES)

        def part_number(block: np.ndarray) -> np.ndarray:
            return part_numbers(criterion.groups(block["key"]), files)

        parts = partitioned(self._known(criterion), part_number, files, self.folder)
        with RecordFile(self.folder, COPY) as copies:
            decide = self._decide_near if criterion.min_matches else self._decide_exact
            decide(self._distinct(parts, copies), criterion)
            for block in copies.blocks(BLOCK):
                self._share(block, 0 if criterion.min_matches else EXACT)

    def _known(self, criterion: Criterion) -> Iterator[np.ndarray]:
        """The numbers and keys of the examples that the criterion compares."""
        dtype = np.dtype([("row", np.int64), ("key", np.uint64, (criterion.words,))])
        for begin in range(0, len(self.dataset), BLOCK):
            hashes = self.dataset.take(slice(begin, begin + BLOCK))
            places = np.flatnonzero(criterion.known(hashes) & self.fates.left(slice(begin, begin + BLOCK)))
            records = np.empty(len(places), dtype)
            records["row"], records["key"] = begin + places, criterion.keys(hashes)[places]
            yield records

    def _distinct(self, parts: list[RecordFile], copies: RecordFile) -> Iterator[DistinctKeys]:
        """The distinct keys in each file, which is closed; rows that repeat one are written to `copies`."""
        lock = Lock()

        def read(part: RecordFile) -> DistinctKeys:
            with part:
                distinct = DistinctKeys(part.dtype["key"].shape[0])
                for block in part.blocks(BLOCK):
                    first = distinct.add(block["key"], block["row"])
                    places = np.flatnonzero(first != block["row"])
                    repeated = np.empty(len(places), COPY)
                    repeated["row"], repeated["of"] = block["row"][places], first[places]
                    with lock:
                        copies.append(repeated)
            return distinct

        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[Future[DistinctKeys]] = deque()
            for part in parts:
                waiting.append(pool.submit(read, part))
                if len(waiting) == self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _decide_exact(self, parts: Iterator[DistinctKeys], criterion: Criterion) -> None:
        """Remove examples with the content of an earlier one whose trim overlaps; a file has all of one content."""
        for distinct in parts:
            keys, rows = distinct.keys, distinct.rows
            order = np.argsort(keys[:, 0])
            equal = np.flatnonzero(keys[order[1:], 0] == keys[order[:-1], 0])
            places = np.sort(order[np.union1d(equal, equal + 1)])  # most contents occur once
            first, second, bits = overlapping_pairs(keys[places], None)
            removed, pair = removed_within(first, second, bits, len(places))
            self.fates.remove(rows[places[removed]], rows[places[first[pair]]], EXACT)

    def _decide_near(self, parts: Iterator[DistinctKeys], criterion: Criterion) -> None:
        """Remove examples that are near an earlier one that is kept."""
        columns = columns_to_search(range(criterion.words), criterion.min_matches)
        with ExitStack() as stack:
            rows, *hashes = (
                stack.enter_context(RecordFile(self.folder, dtype)) for dtype in [np.int64, *[np.uint64] * len(columns)]
            )
            for distinct in parts:
                rows.append(distinct.rows)
                for column, file in zip(columns, hashes, strict=True):
                    file.append(distinct.keys[:, column])
            for file in hashes:
                mark_candidates(
                    rows,
                    file,
                    self.max_distance,
                    self.fates.of,
                    self.fates.candidate,
                    memory=self.memory,
                    threads=self.threads,
                    folder=self.folder,
                )
        greedy = Greedy(self.max_distance, criterion.min_matches, self.threads)
        dtype = np.dtype([("row", np.int64), ("key", np.uint64, (criterion.words,))])
        size = self.memory // (2 * greedy.bytes_per_row(criterion.words))
        with RecordFile(self.folder, dtype) as stay:
            for records in self._marked(criterion, dtype, size):
                pieces = ((piece["row"], np.ascontiguousarray(piece["key"])) for piece in stay.blocks(size))
                of, distance = greedy.behind(pieces, records["row"], np.ascontiguousarray(records["key"]))
                gone = of >= 0
                self.fates.of[records["row"][~gone]] = self.fates.none
                self.fates.remove(records["row"][gone], of[gone], distance[gone])
                stay.append(records[~gone])

    def _marked(self, criterion: Criterion, dtype: np.dtype, size: int) -> Iterator[np.ndarray]:
        """The candidates in order, `size` at a time."""
        pending: list[np.ndarray] = []
        count = 0
        for begin in range(0, len(self.dataset), BLOCK):
            rows = begin + np.flatnonzero(self.fates.of[begin : begin + BLOCK] == self.fates.candidate)
            if not len(rows):
                continue
            records = np.empty(len(rows), dtype)
            records["row"], records["key"] = rows, criterion.keys(self.dataset.take(rows))
            pending.append(records)
            if (count := count + len(rows)) >= size:
                yield np.concatenate(pending)
                pending, count = [], 0
        if pending:
            yield np.concatenate(pending)

    def _share(self, copies: np.ndarray, distance: int) -> None:
        """Remove copies, for what their first one was removed for, or for that one if it stays."""
        first = copies["of"]
        of = self.fates.of[first]
        stays = of == self.fates.none
        self.fates.remove(
            copies["row"], np.where(stays, first, of), np.where(stays, distance, self.fates.distance[first])
        )
