"""Examples that two manifests share: held against `os.path.samefile` for every pair."""

import math
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidsemi.data import overlap as overlaps
from vidsemi.data.batches import TableBatches
from vidsemi.data.dedup import record_file
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.overlap import have_seconds_in_common, overlap

SPELLINGS = [
    *("a/0.mp4", "a/1.mp4", "b/0.mp4", "./a/0.mp4", "b/../a//1.mp4"),
    *("linked/0.mp4", "b/link.mp4", "b/hard.mp4", "b/loop.mp4", "a/gone.mp4", "linked/gone.mp4", "b/gone.mp4"),
    *("a/.", "b/..", "linked/", "linked", "b/to_linked"),
    *("nowhere/gone.mp4", "s3://bucket/0.mp4", "s3://bucket/a/0.mp4", "{root}/a/1.mp4"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files; a link to a folder, symbolic and hard links to a file, and one to itself."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("a/0.mp4", "a/1.mp4", "b/0.mp4"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    (root / "linked").symlink_to("a")
    (root / "b/link.mp4").symlink_to("../linked/1.mp4")
    (root / "b/hard.mp4").hardlink_to(root / "a/0.mp4")
    (root / "b/to_linked").symlink_to("../linked")
    (root / "b/loop.mp4").symlink_to("loop.mp4")
    return root


def manifest(file: Path, rows: list[str], root: Path | None = None, header: str = "path") -> Manifest:
    file.write_text("\n".join([header, *rows]) + "\n")
    return load_manifest(file, root)


def is_same(one: str, other: str) -> bool:
    if "://" in one or "://" in other:
        return one == other
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


@pytest.fixture(params=[False, True], ids=["in memory", "on disk"])
def on_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    if request.param:
        monkeypatch.setattr(overlaps, "AT_ONCE", 4)
        monkeypatch.setattr(overlaps, "FEW", 3)
        monkeypatch.setattr(record_file, "RUN", 3)


@pytest.mark.usefixtures("on_disk")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(SPELLINGS), min_size=1), st.lists(st.sampled_from(SPELLINGS), min_size=1))
def test_however_paths_are_spelled(tree: Path, ours: list[str], theirs: list[str]):
    (tree / "elsewhere").mkdir(exist_ok=True)
    one = manifest(tree / "one.csv", [path.format(root=tree) for path in ours])
    other = manifest(tree / "elsewhere/other.csv", [path.format(root=tree) for path in theirs], root=tree)
    pairs = [[is_same(one.row(i).path, other.row(j).path) for j in range(len(other))] for i in range(len(one))]
    found = overlap(one, other)
    assert found.same.tolist() == [index for index, row in enumerate(pairs) if any(row)]
    assert found.other_part.tolist() == []


@pytest.mark.usefixtures("on_disk")
def test_parts_of_a_file_and_members_of_a_tar(tmp_path: Path):
    header = "path,start,end,member"
    one = manifest(
        tmp_path / "1.csv", ["v.mp4,0,10,", "v.mp4,20,30,", "v.mp4,40,,", "t.tar,,,a", "t.tar,,,b"], None, header
    )
    other = manifest(tmp_path / "2.csv", ["v.mp4,9.5,12,", "v.mp4,30,40,", "t.tar,,,b"], None, header)
    assert overlap(one, other).same.tolist() == [0, 4]
    assert overlap(one, other).other_part.tolist() == [1, 2]
    whole = manifest(tmp_path / "3.csv", ["v.mp4"])
    assert overlap(one, whole).same.tolist() == [0, 1, 2]


TIMES = st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, math.inf, -math.inf, math.nan])
PIECES = st.lists(st.tuples(st.integers(0, 3), TIMES, TIMES))


@given(PIECES, PIECES.filter(bool))
def test_seconds_in_common_are_those_of_all_pairs(ours: list[tuple[int, float, float]], theirs: list[Any]):
    columns = [[np.array(column, float) for column in zip(*side, strict=True)] for side in (ours, theirs)]
    own, others = ((side[0].astype(int), *side[1:]) if side else (np.zeros(0, int),) * 3 for side in columns)
    expected = [any(a[0] == b[0] and b[1] < a[2] and a[1] < b[2] for b in theirs) for a in ours]
    assert have_seconds_in_common(own, others).tolist() == expected


@pytest.mark.usefixtures("on_disk")
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), min_size=1), st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_members_and_seconds_are_those_of_all_pairs(tree: Path, rows: list[tuple[int, ...]], data: st.DataObject):
    others = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), min_size=1))
    header = "path,start,end,member"
    texts = [[f"{'abc'[p]}.tar,{t},{t + 1.5},{['', 'x', 'y'][m]}" for p, m, t in side] for side in (rows, others)]
    one, other = (manifest(tree / f"parts{number}.csv", own, None, header) for number, own in enumerate(texts))
    found = overlap(one, other)
    for row in range(len(rows)):
        here = [b for b in others if b[:2] == rows[row][:2]]
        is_same = any(abs(b[2] - rows[row][2]) < 1.5 for b in here)
        assert (row in found.same.tolist()) == is_same
        assert (row in found.other_part.tolist()) == (bool(here) and not is_same)


def test_memory_does_not_grow_with_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(overlaps, "AT_ONCE", 2000)
    monkeypatch.setattr(overlaps, "FEW", 0)
    monkeypatch.setattr(record_file, "RUN", 2000)
    peaks = []
    for count in (10_000, 10_000, 40_000):  # the first time for what is loaded
        paths = [f"{name // 1000}/{name}.mp4" for name in range(3 * count // 2)]
        tables = [pa.table({"path": own}).to_batches(1000) for own in (paths[:count], paths[count // 2 :])]
        one, other = (Manifest(tmp_path, tmp_path, TableBatches(pa.Table.from_batches(own)), "") for own in tables)
        tracemalloc.start()
        same = overlap(one, other).same
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert np.array_equal(same, np.arange(count // 2, count))
    assert peaks[2] < peaks[1] + 20 * 30_000  # with objects it takes 400 bytes of each example
