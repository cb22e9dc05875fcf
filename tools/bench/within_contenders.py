"""Ways to find duplicates within a dataset; `python -m tools.bench.within_contenders NAME …` runs one.

A contender is timed after its imports, from the temporary file of hashes to the rows that are removed.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tools.bench.duplicates_contenders import Found, planted_found
from tools.bench.usage import timed
from tools.bench.within_data import MAX_FLIPS, WithinData
from vidsemi.data.dedup.duplicates import MIN_MATCHING_FRAMES
from vidsemi.data.dedup.hash_store import HashStore

BLOCK = 1 << 17
Contender = Callable[[WithinData, HashStore, int, Path], Found | None]


def vidsemi(data: WithinData, store: HashStore, memory: int, folder: Path) -> Found:
    """This package."""
    from vidsemi.data.dedup.within import duplicates_within

    found = duplicates_within(store, MAX_FLIPS, memory=memory, folder=folder)
    return found.example, found.of, found.distance


def bare_read(data: WithinData, store: HashStore, memory: int, folder: Path) -> None:
    """The limit: the file is read three times, as often as there are criteria, and nothing else."""
    for _ in range(3):
        for begin in range(0, len(store), BLOCK):
            store.take(slice(begin, begin + BLOCK))


def all_pairs(data: WithinData, store: HashStore, memory: int, folder: Path) -> Found:
    """Every row with all earlier ones that stay, in numpy."""
    hashes = store.take(slice(None))
    frames = np.ascontiguousarray(hashes.frames[:, : data.frames].T)
    needed = MIN_MATCHING_FRAMES if data.videos else 1
    stay = np.ones(len(store), bool)
    found = []
    contents: set[int] = set()
    for row, content in enumerate(hashes.content[:, 0].tolist()):
        stay[row] = content not in contents
        contents.add(content)
    exact = np.flatnonzero(~stay)
    for row in np.flatnonzero(stay).tolist():
        bits = np.bitwise_count(frames[:, :row] ^ frames[:, row, None])
        bits = np.partition(bits, needed - 1, axis=0)[needed - 1]
        near = np.flatnonzero((bits <= MAX_FLIPS) & stay[:row])
        if len(near):
            of = near[bits[near].argmin()]
            stay[row] = False
            found.append((row, of, bits[of]))
    first = {content: row for row, content in reversed(list(enumerate(hashes.content[:, 0].tolist())))}
    found += [(row, first[int(hashes.content[row, 0])], 0) for row in exact.tolist()]
    rows, of, distance = np.array(sorted(found), np.int64).reshape(-1, 3).T
    return rows, of, distance


CONTENDERS: dict[str, Contender] = {"vidsemi": vidsemi, "bare read": bare_read, "numpy, all pairs": all_pairs}

if __name__ == "__main__":
    name, rows, kind, memory, folder = sys.argv[1:]
    data = WithinData(int(rows), kind == "videos")
    store = data.store(Path(folder))
    found, figures = timed(lambda: CONTENDERS[name](data, store, int(memory), Path(folder)))
    if found is not None:
        figures |= planted_found(found, data.planted())
    print(json.dumps(figures))
