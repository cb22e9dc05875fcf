"""`tools/bench.py scale`: the paper's video setting from tag files to a selection, on one machine and made data.

A table of paths and hashtags becomes a manifest; its tags are counted; the examples with a tag of the classes are U;
scores of U are drawn; of these the selection is made. Apart from these, copies of a test set are left out by hashes
that are drawn, too. Each step is a command in a process of its own.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.measure import versions
from tools.bench.usage import ProcessMemory
from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.io.tables import markdown_table
from vidsemi.runtime.process import processor, usable_cores

HEADER = ("step", "rows", "seconds", "core s", "private MiB", "peak MiB", "written MB")
CLASSES = "kinetics"
BYTES_PER_ROW = 500  # of disk, for all files together


@dataclass(frozen=True)
class _Step:
    name: str
    words: Sequence[object]  # a Python module and its arguments
    output: Path
    ours: bool = True  # False for a step that makes data


def bench_scale(folder: Path, *, rows: int, per_class: int, per_example: int, shard_size: int) -> dict[str, Any]:
    """Run all steps; files of an earlier call are replaced.

    Args:
        folder: for all files; about 350 bytes a row.
        rows: of the table.
        per_class: K.
        per_example: P, and scores stored per example.
        shard_size: examples in a part of the scores.

    Returns:
        A JSON object: the setting, the machine, and a row for each step.

    Raises:
        UserError: the disk is too small, or a step fails.
    """
    made = (folder / f"scale_rows{rows}").resolve()
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    if (free := shutil.disk_usage(made).free) < rows * BYTES_PER_ROW:
        raise UserError("bench.disk_full", f"{made}: {rows * BYTES_PER_ROW:,} bytes are needed and {free:,} are free")
    table, every, vocabulary = made / "tags.csv", made / "all.parquet", made / "vocabulary.csv"
    unlabeled, scores, selection = made / "unlabeled.parquet", made / "scores", made / "selection.parquet"
    tests, hashes, clean = made / "tests.parquet", made / "hashes", made / "clean.parquet"
    data, cli = "tools.bench.scale_data", "vidsemi"
    hashtags = ["hashtags", "--classes", CLASSES, "--manifest", every, "--output", vocabulary, "--json"]
    kept = ["manifest", "table", every, "--vocabulary", vocabulary, "--output", unlabeled, "--json"]
    drawn = ["scores", unlabeled, per_example, shard_size, scores]
    without = ["manifest", "table", every, "--exclude-duplicates-of", tests, "--output", clean, "--json"]
    chosen = ["--per-class", per_class, "--per-example", per_example, "--output", selection, "--json"]
    steps = [
        _Step("make the table of tags", [data, "tags", rows, table], table, ours=False),
        _Step("manifest table", [cli, "manifest", "table", table, "--output", every, "--json"], every),
        _Step("hashtags", [cli, *hashtags], vocabulary),
        _Step("manifest table --vocabulary", [cli, *kept], unlabeled),
        _Step("make the scores of U", [data, *drawn], scores, ours=False),
        _Step("select", [cli, "select", "--scores", scores, *chosen], selection),
        _Step("make the hashes", [data, "hashes", every, tests, hashes], hashes, ours=False),
        _Step("manifest table --exclude-duplicates-of", [cli, *without], clean),
    ]
    done = []
    with progress_bar(len(steps), "step", "bench scale") as bar:
        for step in steps:
            done.append(_run(step))
            bar.update()
    return {
        "rows": rows,
        "per_class": per_class,
        "per_example": per_example,
        "shard_size": shard_size,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("pyarrow", "numpy", "numba"),
        "steps": done,
    }


def text(document: dict[str, Any]) -> str:
    """The document as a Markdown table."""
    rows = [
        (
            step["step"],
            f"{step['rows']:,}",
            f"{step['seconds']:.1f}",
            f"{step['cpu_seconds']:.1f}",
            f"{step['private_mib']:.0f}",
            f"{step['peak_mib']:.0f}",
            f"{step['bytes'] / 1e6:.0f}",
        )
        for step in document["steps"]
    ]
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    setting = (
        f"{document['rows']:,} rows with five tags, the classes of {CLASSES}, K = {document['per_class']:,}, "
        f"P = {document['per_example']}, {document['shard_size']:,} examples a part\n"
        f"each step a process; `core s`: seconds of all cores together; `peak` counts mapped files, too\n"
        f"{document['cores']} cores of {document['processor']}; {used}\n"
    )
    return "\n".join([setting, *markdown_table(HEADER, rows)])


def _run(step: _Step) -> dict[str, Any]:
    """Run a step; a `UserError` with its last line if it fails."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", *map(str, step.words)]
    with open(step.output.with_name(f"{step.output.name}.log"), "w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        with ProcessMemory(process.pid) as memory:
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        lines = log.read().splitlines()
    if process.returncode:
        last = lines[-1] if lines else f"exit status {process.returncode}"
        raise UserError("bench.step_failed", f"{step.name}: {last}")
    return {
        "step": step.name,
        "ours": step.ours,
        "rows": _rows(step.output),
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "private_mib": memory.private_mib,
        "peak_mib": memory.peak_mib,  # usage.ru_maxrss may be that of this process
        "bytes": _bytes(step.output),
        "answer": _answer(lines) if step.ours else None,
    }


def _answer(lines: Sequence[str]) -> Any:
    """The JSON document that a command has printed between its messages."""
    begin = lines.index("{")
    return json.loads("\n".join(lines[begin : len(lines) - lines[::-1].index("}")]))


def _rows(output: Path) -> int:
    """Rows of a file, or of all parts in a folder."""
    import pyarrow.parquet as parquet

    if output.suffix == ".csv":
        with open(output, "rb") as lines:
            return sum(1 for _ in lines) - 1
    parts = [output] if output.is_file() else output.glob("part-*.parquet")
    return sum(parquet.read_metadata(part).num_rows for part in parts)


def _bytes(output: Path) -> int:
    files = [output] if output.is_file() else [file for file in output.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
