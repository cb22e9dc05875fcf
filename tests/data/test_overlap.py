"""Examples that two manifests share: held against `os.path.samefile` for every pair."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.overlap import overlap

SPELLINGS = [
    *("a/0.mp4", "a/1.mp4", "b/0.mp4", "./a/0.mp4", "b/../a//1.mp4"),
    *("linked/0.mp4", "b/link.mp4", "b/hard.mp4", "b/loop.mp4", "a/gone.mp4", "linked/gone.mp4", "b/gone.mp4"),
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


@given(st.lists(st.sampled_from(SPELLINGS), min_size=1), st.lists(st.sampled_from(SPELLINGS), min_size=1))
def test_however_paths_are_spelled(tree: Path, ours: list[str], theirs: list[str]):
    (tree / "elsewhere").mkdir(exist_ok=True)
    one = manifest(tree / "one.csv", [path.format(root=tree) for path in ours])
    other = manifest(tree / "elsewhere/other.csv", [path.format(root=tree) for path in theirs], root=tree)
    pairs = [[is_same(one.row(i).path, other.row(j).path) for j in range(len(other))] for i in range(len(one))]
    found = overlap(one, other)
    assert found.same == [index for index, row in enumerate(pairs) if any(row)]
    assert found.other_part == []


def test_parts_of_a_file_and_members_of_a_tar(tmp_path: Path):
    header = "path,start,end,member"
    one = manifest(
        tmp_path / "1.csv", ["v.mp4,0,10,", "v.mp4,20,30,", "v.mp4,40,,", "t.tar,,,a", "t.tar,,,b"], None, header
    )
    other = manifest(tmp_path / "2.csv", ["v.mp4,9.5,12,", "v.mp4,30,40,", "t.tar,,,b"], None, header)
    assert overlap(one, other).same == [0, 4]
    assert overlap(one, other).other_part == [1, 2]
    whole = manifest(tmp_path / "3.csv", ["v.mp4"])
    assert overlap(one, whole).same == [0, 1, 2]
