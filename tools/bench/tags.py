"""`tools/bench.py tags`: read a tag file into a manifest, against peers and limits, and compare the resulting tags."""

import csv
import importlib.util
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tools.bench.measure import chosen, failure, median, rounded, run_in_turn, versions
from tools.bench.tag_data import TAGS, TAGS_PER_ROW, TagData, is_plain
from tools.bench.tags_contenders import CONTENDERS
from vidsemi.io.errors import UserError
from vidsemi.runtime.process import processor, usable_cores

REFERENCE = "vidsemi, CSV"
LIMITS = ("csv.reader alone", "json.loads alone")
HEADER = ("contender", "seconds", "core s", "M rows/s", "peak MiB", "time / vidsemi CSV", "whole process s", "tags")
FIGURES = ("seconds", "cpu_seconds", "peak_mib", "process_seconds")
LESS = """\
vidsemi, DuckDB and polars read tables on all cores. The peers do less: lower case, and of each tag its letters, marks
and numbers, but no URL decoding, no compatibility forms, no case folding, no list of broken lines, no sync to disk."""


def bench_tags(folder: Path, *, rows: int, rounds: int, only: list[str], clean: bool = False) -> dict[str, Any]:
    """Run the contenders.

    Args:
        folder: for the tag files, written once per size, and the manifests.
        rows: examples per file.
        rounds: runs of each contender.
        clean: whether all tags are ASCII without URL encoding; else 30% of the rows have others.
        only: names of contenders; all if empty. The reference for tags is vidsemi's CSV, or else the first one.

    Returns:
        A JSON object: the setting, the machine, and for each contender a row of medians.
    """
    names = chosen(list(CONTENDERS), only)
    for module in ("DuckDB", "polars"):
        if importlib.util.find_spec(module.lower()) is None and any(name.startswith(module) for name in names):
            raise UserError("bench.not_installed", f"{module} is not installed; pip install 'vidsemi[bench]'")
    data = TagData(rows, clean)
    made = (folder / f"tags_rows{rows}{'_clean' * clean}").resolve()
    data.write(made)
    manifests = {name: made / f"{name.replace(', ', '_').replace(' ', '_')}.parquet" for name in names}
    commands = {name: [name, made, manifest] for name, manifest in manifests.items()}
    runs = run_in_turn("tools.bench.tags_contenders", commands, rounds=rounds, title="bench tags")
    table = [_medians(name, runs[name], rows) for name in names]
    ours = next((row["seconds"] for row in table if row["name"] == REFERENCE), None)
    for row in table:
        row["time_over_vidsemi"] = row["seconds"] / ours if ours and row["seconds"] else None
    _compare(table, manifests, data, made / "tags.csv")
    return {
        "rows": rows,
        "clean": clean,
        "tags": TAGS,
        "tags_per_row": TAGS_PER_ROW,
        "files_there": data.there,
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("duckdb", "polars", "pyarrow"),
        "agree": all(row["answer"] != "DIFFERENT" for row in table),
        "contenders": table,
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
            rounded(row["time_over_vidsemi"], "{:.2f}"),
            rounded(row["process_seconds"], "{:.2f}"),
            row["answer"],
        )
        for row in document["contenders"]
    ]
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    setting = (
        f"{document['rows']:,} rows of {document['tags_per_row']} tags out of {document['tags']:,}, to Parquet; "
        f"of YFCC100M's rows {document['files_there']:,} have files; "
        f"{'all tags are' if document['clean'] else 'those of 70% of the rows are'} ASCII without URL encoding\n"
        f"medians of {document['rounds']} runs, each in a fresh process; `core s`: seconds of all cores together\n"
        f"{document['cores']} cores of {document['processor']}; {used}\n"
    )
    return "\n".join([setting, *markdown_table(HEADER, rows), "", LESS])


def _medians(name: str, runs: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    """One row of the table; without measurements if a run failed."""
    failed = failure(runs)
    figures: dict[str, Any] = {key: median(runs, key) for key in FIGURES}
    return {
        "name": name,
        **figures,
        "all_seconds": [run.get("seconds") for run in runs],
        "rows_per_second": None if failed else rows / figures["seconds"],
        "answer": failed or "",
        "differ": None,
        "plain_differ": None,
    }


def _compare(table: list[dict[str, Any]], manifests: dict[str, Path], data: TagData, source: Path) -> None:
    """Write into each row how many examples, and how many with plain tags, have other tags than in the reference."""
    writers = [row for row in table if row["name"] not in LIMITS and not row["answer"]]
    if not writers:
        return
    first = next((row for row in writers if row["name"] == REFERENCE), writers[0])
    reference = _read(manifests[first["name"]])
    with open(source, encoding="utf-8", newline="") as file:
        plain = {path for path, field in csv.reader(file) if is_plain(field)}
    for row in writers:
        found = reference if row is first else _read(manifests[row["name"]])
        others = [path for path in found.keys() & reference.keys() if not _same(found[path], reference[path])]
        row["differ"] = len(others)
        row["plain_differ"] = len(plain.intersection(others))
        is_whole = len(found) == (data.there if "YFCC100M" in row["name"] else data.rows)
        if row["plain_differ"] or not is_whole:
            row["answer"] = "DIFFERENT"
        elif others:
            row["answer"] = f"same where plain; {len(others) / len(found):.0%} of rows differ"
        else:
            row["answer"] = "same"


def _read(manifest: Path) -> dict[str, str]:
    """The hashtags field by path."""
    table = pq.read_table(manifest, columns=["path", "hashtags"])
    return {path: tags or "" for path, tags in zip(*(column.to_pylist() for column in table.columns), strict=True)}


def _same(one: str, other: str) -> bool:
    """Whether two fields hold the same tags in any order."""
    return one == other or sorted(one.split()) == sorted(other.split())
