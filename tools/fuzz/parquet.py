"""Damaged Parquet files of vidsemi: none may give other values than the file that was written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tools.fuzz.engine import Fault, Subject
from vidsemi.data.manifest import load_manifest
from vidsemi.data.manifest_file import write_manifest
from vidsemi.io.parquet import read_own_parquet, write_parquet
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_reader import open_shards, read_failures
from vidsemi.selection.score_writer import top_classes, write_failures, write_shard
from vidsemi.selection.select import select

CLASSES = 5
INFO = ScoresInfo("m" * 64, "w" * 64, [f"class {number}" for number in range(CLASSES)], 3, views=10, examples=300)


def make(folder: Path) -> list[Path]:
    """Write a small file of each kind, in a folder of its own."""
    rng = np.random.default_rng(0)
    ids = np.arange(300)
    probabilities = rng.dirichlet(np.ones(CLASSES), len(ids)).astype(np.float32)
    scores = folder / "scores"
    write_shard(scores, 0, ids, *top_classes(probabilities, INFO.per_example), INFO)
    write_failures(scores, 0, [(number, f"{number}.mp4", "it has no video stream") for number in range(300, 340)])
    selection = folder / "selection" / "s.parquet"
    _select(scores / "part-000000.parquet").write(selection)
    manifest = folder / "manifest" / "m.parquet"
    names = [f"videos/{number:05d}.mp4" for number in range(200)]
    write_manifest(manifest, {"path": names, "label": ["left", "right"] * 100, "start": [1.5] * 200})
    table = folder / "table" / "t.parquet"
    features = pa.array([rng.random(16).astype(np.float32) for _ in names], pa.list_(pa.float32()))
    write_parquet(table, pa.table({"path": names, "features": features, "views": np.arange(200, dtype=np.int32)}))
    shard = "part-000000.parquet"
    return [scores / shard, scores / "failures" / shard, selection, manifest, table]


def read(file: Path, good: Path) -> str:
    """Read a damaged file as the commands do that need it; a `Fault` if its values are not those of the good one."""
    values = READERS[good.parent.name]
    if values(file) == values(good):
        return "read, values intact"
    if any(file.read_bytes() == other.read_bytes() for other in good.parents[2].rglob("*.parquet")):
        return "read, another intact file"
    raise Fault(f"other values of a {good.parent.name} file")


def _select(file: Path) -> Any:
    shards, info = open_shards({0: file})
    return select(shards, info, per_class=40, per_example=2, threads=1)


def _selected(file: Path) -> Any:
    selection = _select(file)
    return selection.label.tobytes(), selection.example_id.tobytes(), selection.score.tobytes(), selection.info


def _selection(file: Path) -> Any:
    rows = Selection.read(file)
    return [column.tobytes() for column in (rows.label, rows.rank, rows.example_id, rows.score)], rows.info


def _failures(file: Path) -> Any:
    """Failures are read as a folder, here one of this process."""
    folder = file.parent / f"{file.stem}-{os.getpid()}"
    link = folder / "failures" / "part-000000.parquet"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.hardlink_to(file)
    try:
        return read_failures(folder).tobytes()
    finally:
        link.unlink()


READERS: dict[str, Callable[[Path], Any]] = {
    "scores": _selected,
    "failures": _failures,
    "selection": _selection,
    "manifest": lambda file: load_manifest(file).table.to_pydict(),
    "table": lambda file: read_own_parquet(file).to_pydict(),
}
SUBJECT = Subject("Parquet files", make, read)
