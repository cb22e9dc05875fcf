"""Ways to find near duplicates of a test set; `python -m tools.bench.duplicates_contenders NAME …` runs one.

A contender is timed after its imports, from the file of hashes to the rows that have a near duplicate in the test set.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.duplicate_data import BLOCK, MAX_FLIPS, DuplicateData, StoredData
from tools.bench.usage import timed
from vidsemi.data.dedup.duplicates import MIN_MATCHING_FRAMES, Hashes

Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, of, distance
Contender = Callable[[StoredData, Hashes], Callable[[], Found | None]]


def vidsemi(dataset: StoredData, tests: Hashes) -> Callable[[], Found]:
    """This package."""
    from vidsemi.data.dedup.duplicates import duplicates_of

    def run() -> Found:
        found = duplicates_of(dataset, tests, MAX_FLIPS)
        return found.example, found.of, found.distance

    return run


def bare_read(dataset: StoredData, tests: Hashes) -> Callable[[], None]:
    """The limit: the file is read, and nothing else."""

    def run() -> None:
        for begin in range(0, len(dataset), BLOCK):
            dataset.take(slice(begin, begin + BLOCK))

    return run


def all_pairs(dataset: StoredData, tests: Hashes) -> Callable[[], Found]:
    """Every row with every test example, in numpy."""
    width = dataset.data.frames
    needed = MIN_MATCHING_FRAMES if dataset.data.videos else 1

    def run() -> Found:
        others = tests.frames[:, :width]
        parts = []
        step = max(1, (1 << 22) // len(others))
        for begin in range(0, len(dataset), step):
            rows = dataset.take(slice(begin, begin + step)).frames[:, :width]
            bits = np.stack([np.bitwise_count(rows[:, [i]] ^ others[:, i]) for i in range(width)])
            bits = np.partition(bits, needed - 1, axis=0)[needed - 1]
            of = bits.argmin(axis=1)  # of equally near ones the first
            near = np.flatnonzero((least := bits.min(axis=1)) <= MAX_FLIPS)
            parts.append((begin + near, of[near], least[near].astype(np.int64)))
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]

    return run


def duckdb(dataset: StoredData, tests: Hashes) -> Callable[[], Found]:
    """A join on the number of bits that differ, which compares all pairs on all cores."""
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    width = dataset.data.frames
    names = [f"h{i}" for i in range(width)]

    def table(frames: np.ndarray) -> pa.Table:
        return pa.table({"id": np.arange(len(frames)), **{name: frames[:, i] for i, name in enumerate(names)}})

    bits = [f"bit_count(xor(a.{name}, b.{name})::BIT)" for name in names]
    distance = f"list_sort([{', '.join(bits)}])[{MIN_MATCHING_FRAMES if dataset.data.videos else 1}]"
    query = (
        "SELECT row, min(struct_pack(d := d, o := o)) AS best FROM "
        f"(SELECT a.id AS row, b.id AS o, {distance} AS d FROM a, b WHERE d <= {MAX_FLIPS}) GROUP BY row ORDER BY row"
    )

    def run() -> Found:
        rows = dataset.take(slice(0, len(dataset))).frames[:, :width]
        connection.register("a", table(rows))
        connection.register("b", table(tests.frames[:, :width]))
        found = connection.sql(query).fetchall()
        columns = np.array([(row, best["o"], best["d"]) for row, best in found], np.int64).reshape(-1, 3)
        return columns[:, 0], columns[:, 1], columns[:, 2]

    return run


CONTENDERS: dict[str, Contender] = {
    "vidsemi": vidsemi,
    "bare read": bare_read,
    "numpy, all pairs": all_pairs,
    "DuckDB, all pairs": duckdb,
}


def measure(data: DuplicateData, run: Callable[[], Found | None]) -> dict[str, Any]:
    """Seconds, peak memory in MiB, and how many of the planted duplicates were found, with the right partner."""
    found, figures = timed(run)
    if found is not None:
        figures |= planted_found(found, data.planted())
    return figures


def planted_found(found: Found, planted: Found) -> dict[str, int]:
    """How many duplicates were planted, how many of these were found, and how many in all."""
    place = np.searchsorted(found[0], planted[0])
    inside = np.flatnonzero(place < len(found[0]))
    right = [values[place[inside]] == wanted[inside] for values, wanted in zip(found, planted, strict=True)]
    count = int(np.logical_and.reduce(right).sum())
    return {"planted": len(planted[0]), "planted_found": count, "found": len(found[0])}


if __name__ == "__main__":
    name, file, rows, tests, videos = sys.argv[1:]
    made = DuplicateData(int(rows), int(tests), videos == "videos")
    print(json.dumps(measure(made, CONTENDERS[name](made.stored(Path(file)), made.test_set()))))
