"""`tools/bench.py duplicates`: find duplicates of a test set, or within, among made hashes, and count planted ones."""

import importlib.util
from pathlib import Path
from typing import Any

from tools.bench import within_contenders, within_data
from tools.bench.duplicate_data import EVERY, MAX_FLIPS, DuplicateData
from tools.bench.duplicates_contenders import CONTENDERS
from tools.bench.measure import chosen, failure, median, rounded, run_in_turn, versions
from vidsemi.io.errors import UserError
from vidsemi.runtime.process import processor, usable_cores

MODULE, WITHIN = "tools.bench.duplicates_contenders", "tools.bench.within_contenders"
ALL_PAIRS_UP_TO = 1e10  # pairs; more are only compared if asked for
HEADER = ("contender", "seconds", "core s", "M rows/s", "peak MiB", "found", "recall of planted")
FIGURES = ("seconds", "cpu_seconds", "peak_mib", "process_seconds")


def bench_duplicates(
    folder: Path, *, rows: int, tests: int, videos: bool, memory: int, rounds: int, only: list[str]
) -> dict[str, Any]:
    """Run the contenders.

    Args:
        folder: for the file of hashes, written once per size.
        rows: examples of the dataset.
        tests: examples of the test set; 0: search within the dataset.
        videos: whether they are videos, of five hashes each, or images.
        memory: bytes, for the search within the dataset.
        rounds: runs of each contender.
        only: names of contenders; if empty, all that this many pairs fit.

    Returns:
        A JSON object: the setting, the machine, and for each contender a row of medians.
    """
    names = chosen(list(CONTENDERS if tests else within_contenders.CONTENDERS), only)
    if rows * (tests or rows) > ALL_PAIRS_UP_TO and not only:
        names = [name for name in names if not name.endswith("all pairs")]
    if importlib.util.find_spec("duckdb") is None and any(name.startswith("DuckDB") for name in names):
        raise UserError("bench.not_installed", "DuckDB is not installed; pip install 'vidsemi[bench]'")
    kind = "videos" if videos else "images"
    folder.mkdir(parents=True, exist_ok=True)
    if tests:
        data = DuplicateData(rows, tests, videos)
        file = (folder / f"hashes_{kind}_rows{rows}_tests{tests}.bin").resolve()
        data.write(file)
        planted, max_distance = len(data.planted()[0]), MAX_FLIPS
        commands = {name: [name, file, rows, tests, kind] for name in names}
    else:
        planted, max_distance = len(within_data.WithinData(rows, videos).planted()[0]), within_data.MAX_FLIPS
        commands = {name: [name, rows, kind, memory, folder.resolve()] for name in names}
    runs = run_in_turn(MODULE if tests else WITHIN, commands, rounds=rounds, title="bench duplicates")
    return {
        "rows": rows,
        "tests": tests,
        "kind": kind,
        "planted": planted,
        "max_distance": max_distance,
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("duckdb", "numba", "numpy"),
        "contenders": [_medians(name, runs[name], rows) for name in names],
    }


def text(document: dict[str, Any]) -> str:
    """The document as a Markdown table."""
    from vidsemi.io.tables import markdown_table

    rows = [
        (
            row["name"],
            rounded(row["seconds"], "{:.2f}"),
            rounded(row["cpu_seconds"], "{:.2f}"),
            rounded(row["rows_per_second"] and row["rows_per_second"] / 1e6, "{:.2f}"),
            rounded(row["peak_mib"], "{:.0f}"),
            row["answer"] or rounded(row["found"], "{:.0f}"),
            rounded(row["recall"], "{:.6f}"),
        )
        for row in document["contenders"]
    ]
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    against = f"against {document['tests']:,}" if document["tests"] else "within themselves"
    setting = (
        f"{document['rows']:,} {document['kind']} {against}, up to {document['max_distance']} "
        f"bits; one in {EVERY:,} is planted\n"
        f"medians of {document['rounds']} runs, each in a fresh process; `core s`: seconds of all cores together\n"
        f"{document['cores']} cores of {document['processor']}; {used}\n"
    )
    return "\n".join([setting, *markdown_table(HEADER, rows)])


def _medians(name: str, runs: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    """One row of the table; without measurements if a run failed."""
    failed = failure(runs)
    figures: dict[str, Any] = {key: median(runs, key) for key in FIGURES}
    searched = not failed and "found" in runs[0]
    return {
        "name": name,
        **figures,
        "all_seconds": [run.get("seconds") for run in runs],
        "rows_per_second": None if failed else rows / figures["seconds"],
        "answer": failed or "",
        "found": runs[0]["found"] if searched else None,
        "recall": min(run["planted_found"] / max(run["planted"], 1) for run in runs) if searched else None,
    }
