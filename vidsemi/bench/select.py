"""Times the selection beside its peers and its limit: each run in a fresh process, in turn, medians over the rounds."""

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vidsemi.errors import UserError
from vidsemi.progress import progress_bar

NUMPY_SORT_UP_TO = 200_000_000  # rows; it takes some 40 bytes for each
HEADER = ("contender", "seconds", "M rows/s", "peak MiB", "time / vidsemi", "whole process s", "answer")


def bench_select(
    folder: Path | None, *, rows: int, classes: int, per_class: int, per_example: int, rounds: int, only: list[str]
) -> dict[str, Any]:
    """Run the contenders.

    Args:
        folder: where the score parts are made, once for each size; None feeds vidsemi alone from a generator.
        rows: score rows.
        classes: classes.
        per_class: K.
        per_example: P, rows an example.
        rounds: how often each contender is run.
        only: names of contenders; all if empty.

    Returns:
        A JSON object: the setting, the machine, and a row a contender with medians.
    """
    from vidsemi.bench.score_data import ScoreData
    from vidsemi.bench.select_contenders import CONTENDERS

    if unknown := [name for name in only if name not in CONTENDERS]:
        raise UserError(f"there is no contender '{unknown[0]}'; they are: {', '.join(CONTENDERS)}")
    if folder is None:
        commands = {"vidsemi": ["generated", rows, classes, per_example, per_class]}
    else:
        data = folder / f"rows{rows}_classes{classes}_p{per_example}"
        names = [name for name in CONTENDERS if not only or name in only]
        if rows > NUMPY_SORT_UP_TO and not only:
            names.remove("numpy lexsort")
        for module in ("DuckDB", "polars"):
            if importlib.util.find_spec(module.lower()) is None and any(name.startswith(module) for name in names):
                raise UserError(f"{module} is not installed; pip install 'vidsemi[bench]'")
        ScoreData(rows, classes, per_example).write(data)
        commands = {name: [name, data.resolve(), per_class] for name in names}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    with progress_bar(rounds * len(commands), "run", "bench select") as bar:
        for _ in range(rounds):
            for name, words in commands.items():
                runs[name].append(_run(words))
                bar.update()
    table = [_medians(name, runs[name], rows) for name in commands]
    for row in table:
        row["time_over_vidsemi"] = row["seconds"] / table[0]["seconds"] if table[0]["name"] == "vidsemi" else None
    return {
        "rows": rows,
        "classes": classes,
        "per_class": per_class,
        "per_example": per_example,
        "rounds": rounds,
        "source": "files" if folder else "generator",
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "versions": _versions(),
        "agree": _agree(table),
        "contenders": table,
    }


def cells(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """The rows under `HEADER`."""
    return [
        (
            row["name"],
            f"{row['seconds']:.2f}",
            f"{row['rows_per_second'] / 1e6:.0f}",
            f"{row['peak_mib']:.0f}",
            "" if row["time_over_vidsemi"] is None else f"{row['time_over_vidsemi']:.2f}",
            f"{row['process_seconds']:.2f}",
            row["answer"],
        )
        for row in document["contenders"]
    ]


def _run(words: list[Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "vidsemi.bench.select_contenders", *map(str, words)]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it was killed, perhaps for want of memory"])[-1]
        raise UserError(f"the contender '{words[0]}' failed: {last}")
    return {**json.loads(done.stdout), "process_seconds": time.perf_counter() - begin}


def _medians(name: str, runs: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    seconds = [run["seconds"] for run in runs]
    return {
        "name": name,
        "seconds": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "rows_per_second": rows / statistics.median(seconds),
        "peak_mib": statistics.median(run["peak_mib"] for run in runs),
        "process_seconds": statistics.median(run["process_seconds"] for run in runs),
        "digests": sorted({(run.get("scores", ""), run.get("rows", "")) for run in runs}),
    }


def _agree(table: list[dict[str, Any]]) -> bool:
    """Write into each row whether its answer is vidsemi's: the same rows, the same scores (ties by chance), or not."""
    reference = table[0]["digests"][0]
    for row in table:
        found = row.pop("digests")
        if found == [("", "")]:
            row["answer"] = ""
        elif found == [reference]:
            row["answer"] = "same rows"
        else:
            row["answer"] = "same scores" if {scores for scores, _ in found} == {reference[0]} else "DIFFERENT"
    return all(row["answer"] != "DIFFERENT" for row in table)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _versions() -> dict[str, str]:
    names = [name for name in ("duckdb", "numba", "numpy", "polars", "pyarrow") if importlib.util.find_spec(name)]
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
