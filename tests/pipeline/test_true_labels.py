"""True labels of examples: held against a dictionary of them, for however the paths are written."""

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.data.batches import TableBatches
from vidsemi.data.formats import repeats
from vidsemi.data.manifest import Manifest
from vidsemi.data.manifest_file import COLUMNS
from vidsemi.pipeline.true_labels import UNKNOWN, find_labels

ROOT = Path("/data/videos")
PATHS = ["a.mp4", "./a.mp4", "b/../a.mp4", "b//c.mp4", "b/c.mp4", "/data/videos/a.mp4", "s3://x/a.mp4", "b/.", "b/"]
KEYS = st.fixed_dictionaries(
    {"path": st.sampled_from(PATHS)},
    optional={"member": st.sampled_from([None, "m", ""]), "start": st.sampled_from([None, 0.0, -0.0, 1.5])},
)
ROWS = st.lists(st.tuples(KEYS, st.sampled_from(["x", "y", None])), min_size=1, max_size=12)


def manifest_of(rows: list[dict[str, Any]], size: int, root: Path = ROOT) -> Manifest:
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    table = pa.table({name: pa.array([row.get(name) for row in rows], COLUMNS[name]) for name in names})
    return Manifest(root / "m.csv", root, TableBatches(pa.Table.from_batches(table.to_batches(size))), "")


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    path = row["path"] if "://" in row["path"] else os.path.abspath(ROOT / row["path"])
    return path, row.get("member"), row.get("start"), row.get("end")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(KEYS, min_size=1, max_size=12), ROWS, st.data())
def test_they_are_those_of_a_dictionary(
    unlabeled: list[dict[str, Any]], labeled: list[tuple[dict[str, Any], str | None]], data: st.DataObject
):
    known: dict[tuple[Any, ...], str | None] = {}
    labeled = [(row, label) for row, label in labeled if known.setdefault(key_of(row), label) == label]
    true_labels = manifest_of([{**row, "label": label} for row, label in labeled], 4)
    ids = np.array(data.draw(st.lists(st.integers(0, len(unlabeled) - 1))), np.int64)
    found, names = find_labels(ids, manifest_of(unlabeled, 3), true_labels)
    expected = [known.get(key_of(unlabeled[row]), UNKNOWN) for row in ids.tolist()]
    assert [UNKNOWN if label == UNKNOWN else names[label] or None for label in found.tolist()] == expected


def test_two_labels_are_refused_wherever_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(repeats, "RUN", 2)
    rows = [{"path": f"{name}.mp4", "label": "x"} for name in "abcdef"]
    true_labels = manifest_of([*rows, {"path": "g/../b.mp4", "label": "y"}], 2)
    with refused("precision.two_labels", true_labels.file, "/data/videos/b.mp4"):
        find_labels(np.array([0]), manifest_of(rows, 4), true_labels)


def test_memory_does_not_grow_with_the_labels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(repeats, "RUN", 2000)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    unlabeled, peaks = manifest_of([{"path": f"{n}.mp4"} for n in range(100)], 1000), []
    for count in (5_000, 5_000, 30_000):  # the first time for what is loaded
        true_labels = manifest_of([{"path": f"{n}.mp4", "label": f"c{n % 5}"} for n in range(count)], 1000)
        tracemalloc.start()
        found, names = find_labels(np.arange(100), unlabeled, true_labels)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert [names[label] for label in found.tolist()] == [f"c{n % 5}" for n in range(100)]
    assert peaks[2] < peaks[1] + 20 * 25_000  # as objects they take 400 bytes each
