"""What a process pays for a large manifest before it reads the first file, beside the whole table in memory.

`python -m tools.bench.manifest_start NAME MANIFEST CACHE` runs one contender, timed after its imports.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.bench.measure import failure, median, rounded, run_in_turn
from tools.bench.usage import ProcessMemory, timed

SHARD = 1000  # examples that a worker scores at once, and that training draws
HEADER = ("a process that", "seconds", "core s", "private MiB", "peak MiB", "rows")
FIGURES = ("seconds", "cpu_seconds", "private_mib", "peak_mib")

Contender = Callable[[], int]  # returns the number of rows


def first_worker(manifest: Path, cache: Path) -> Contender:
    """The first process that scores a manifest: it makes the copy."""
    shutil.rmtree(cache, ignore_errors=True)
    return worker(manifest, cache)


def worker(manifest: Path, cache: Path) -> Contender:
    """A process that scores: the list of shards, and the rows of one."""
    from vidsemi.data.manifest import load_manifest
    from vidsemi.data.shards import shard_ranges

    os.environ["FVCORE_CACHE"] = str(cache)

    def run() -> int:
        loaded = load_manifest(manifest)
        for example in shard_ranges(loaded, SHARD)[-1]:
            loaded.row(example)
        return len(loaded)

    return run


def training(manifest: Path, cache: Path) -> Contender:
    """A process that trains: rows all over the manifest."""
    import numpy as np

    from vidsemi.data.manifest import load_manifest

    os.environ["FVCORE_CACHE"] = str(cache)

    def run() -> int:
        loaded = load_manifest(manifest)
        for example in np.random.default_rng(0).integers(len(loaded), size=SHARD).tolist():
            loaded.row(example)
        return len(loaded)

    return run


def in_memory(manifest: Path, cache: Path) -> Contender:
    """The table in memory, by pyarrow."""
    import pyarrow.parquet

    return lambda: int(pyarrow.parquet.read_table(manifest).num_rows)


STARTS: dict[str, Callable[[Path, Path], Contender]] = {
    "scores, the first": first_worker,
    "scores": worker,
    "trains": training,
    "holds the table (pyarrow)": in_memory,
}


def bench_starts(manifest: Path, *, rows: int, rounds: int) -> list[dict[str, Any]]:
    """Start each kind of process on a manifest of so many rows; medians of what it takes."""
    commands = {name: [name, manifest, manifest.with_suffix(".cache")] for name in STARTS}
    runs = run_in_turn("tools.bench.manifest_start", commands, rounds=rounds, title="bench starts")
    return [
        {
            "name": name,
            **{key: median(own, key) for key in FIGURES},
            "answer": failure(own) or ("all" if all(run["rows"] == rows for run in own) else "DIFFERENT"),
        }
        for name, own in runs.items()
    ]


def text(starts: list[dict[str, Any]]) -> str:
    """The result as a Markdown table."""
    from vidsemi.io.tables import markdown_table

    forms = ("{:.2f}", "{:.2f}", "{:.0f}", "{:.0f}")
    rows = [
        (row["name"], *(rounded(row[key], form) for key, form in zip(FIGURES, forms, strict=True)), row["answer"])
        for row in starts
    ]
    return "\n".join(markdown_table(HEADER, rows))


if __name__ == "__main__":
    name, *places = sys.argv[1:]
    run = STARTS[name](*map(Path, places))
    with ProcessMemory() as memory:
        count, figures = timed(run)
    print(json.dumps({**figures, "private_mib": memory.private_mib, "rows": count}))
