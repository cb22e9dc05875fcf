"""`tools/bench.py select`: select the highest-scoring examples of every class, against peers and bare reading."""

import importlib.util
from pathlib import Path
from typing import Any

from tools.bench.measure import chosen, failure, median, rounded, run_in_turn, versions
from vidsemi.io.errors import UserError
from vidsemi.runtime.process import processor, usable_cores

CONTENDER_MODULE = "tools.bench.select_contenders"
NUMPY_SORT_UP_TO = 200_000_000  # rows; it takes about 40 bytes per row
HEADER = ("contender", "seconds", "M rows/s", "peak MiB", "time / vidsemi", "whole process s", "answer")


def bench_select(
    folder: Path | None,
    *,
    rows: int,
    classes: int,
    per_class: int,
    per_example: int,
    examples_per_shard: int,
    rounds: int,
    only: list[str],
) -> dict[str, Any]:
    """Run the contenders.

    Args:
        folder: for the score shards, written once per size; None runs only vidsemi, on generated rows.
        rows: score rows, rounded up to whole shards.
        classes: number of classes.
        per_class: K.
        per_example: P, rows per example.
        examples_per_shard: examples in each shard.
        rounds: runs of each contender.
        only: names of contenders; if empty, all that this many rows fit. Results are compared with the first one's.

    Returns:
        A JSON object: the setting, the machine, and for each contender a row of medians.
    """
    from tools.bench.score_data import ScoreData
    from tools.bench.select_contenders import CONTENDERS

    names = chosen(list(CONTENDERS), only)
    data = ScoreData(rows, classes, per_example, examples_per_shard)
    if folder is None:
        if only:
            raise UserError("arguments.conflict", "--generate runs only vidsemi, so it does not go with --only")
        commands = {"vidsemi": ["generated", rows, classes, per_example, examples_per_shard, per_class]}
    else:
        made = folder / f"rows{data.rows}_classes{classes}_p{per_example}_parts{data.shards}"
        if data.rows > NUMPY_SORT_UP_TO and not only:
            names.remove("numpy lexsort")
        for module in ("DuckDB", "polars"):
            if importlib.util.find_spec(module.lower()) is None and any(name.startswith(module) for name in names):
                raise UserError("bench.not_installed", f"{module} is not installed; pip install 'vidsemi[bench]'")
        data.write(made)
        commands = {name: [name, made.resolve(), per_class] for name in names}
    runs = run_in_turn(CONTENDER_MODULE, commands, rounds=rounds, title="bench select")
    table = [_medians(name, runs[name], data.rows) for name in commands]
    ours = next((row["seconds"] for row in table if row["name"] == "vidsemi"), None)
    for row in table:
        row["time_over_vidsemi"] = row["seconds"] / ours if ours and row["seconds"] else None
    return {
        "rows": data.rows,
        "shards": data.shards,
        "classes": classes,
        "per_class": per_class,
        "per_example": per_example,
        "rounds": rounds,
        "source": "files" if folder else "generator",
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("duckdb", "numba", "numpy", "polars", "pyarrow"),
        "agree": _agree(table),
        "contenders": table,
    }


def cells(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """The rows under `HEADER`."""
    return [
        (
            row["name"],
            rounded(row["seconds"], "{:.2f}"),
            rounded(row["rows_per_second"] and row["rows_per_second"] / 1e6, "{:.0f}"),
            rounded(row["peak_mib"], "{:.0f}"),
            rounded(row["time_over_vidsemi"], "{:.2f}"),
            rounded(row["process_seconds"], "{:.2f}"),
            row["answer"],
        )
        for row in document["contenders"]
    ]


def _medians(name: str, runs: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    """One row of the table; without measurements if a run failed."""
    failed = failure(runs)
    figures: dict[str, Any] = {key: median(runs, key) for key in ("seconds", "peak_mib", "process_seconds")}
    return {
        "name": name,
        **figures,
        "all_seconds": [run.get("seconds") for run in runs],
        "rows_per_second": None if failed else rows / figures["seconds"],
        "answer": failed,
        "digests": sorted({(run.get("scores", ""), run.get("rows", "")) for run in runs}),
    }


def _agree(table: list[dict[str, Any]]) -> bool:
    """Write into each row whether its result is the first one's: the same rows, the same scores, or neither."""
    reference = next((row["digests"][0] for row in table if row["digests"][0] != ("", "")), ("", ""))
    for row in table:
        found = row.pop("digests")
        if row["answer"]:
            continue
        if found == [("", "")]:
            row["answer"] = ""
        elif found == [reference]:
            row["answer"] = "same rows"
        else:
            row["answer"] = "same scores" if {scores for scores, _ in found} == {reference[0]} else "DIFFERENT"
    return all(row["answer"] != "DIFFERENT" for row in table)
