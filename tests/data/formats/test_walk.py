"""Listing folders: the order of paths, whatever the names, and the same from a relative root."""

import os
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.data.formats import path_texts
from vidsemi.data.formats.folder import read_files, read_folder
from vidsemi.data.formats.image_series import series_lengths
from vidsemi.data.formats.media_files import MEDIA_SUFFIXES, media_files, relative_parts, walk_media
from vidsemi.data.formats.path_texts import PathTexts

NAMES = st.sampled_from(["a", "a-b", "a b", "a.b", "A", "b", "b.mp4", "é", "c.jpg"])
FILES = st.sampled_from(["a.mp4", "a-b.mp4", "b.MP4", "c.txt", "d.jpg", ".hidden.mp4", "a", "é.png"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.lists(NAMES, max_size=3), FILES), min_size=1, max_size=12))
def test_files_come_in_the_order_of_their_paths(
    tmp_path_factory: pytest.TempPathFactory, paths: list[tuple[list[str], str]]
):
    root = tmp_path_factory.mktemp("walk")
    for folders, name in paths:
        file = root.joinpath(*folders, name)
        if not any(part.is_file() for part in file.parents) and not file.is_dir():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    wanted = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix.lower() in MEDIA_SUFFIXES and path.name[0] != "."
    ]
    assert list(walk_media(root).files) == list(map(str, wanted))
    for path in wanted:
        assert relative_parts(str(path), root) == list(path.relative_to(root).parts)


def test_a_relative_root_gives_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("x/b.mp4", "x/a.mp4", "y/c.jpg"):
        (tmp_path / "r" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "r" / name).touch()
    monkeypatch.chdir(tmp_path / "r")
    assert read_folder(Path()).columns == {"path": ["x/a.mp4", "x/b.mp4", "y/c.jpg"], "label": ["x", "x", "y"]}
    monkeypatch.chdir(tmp_path)
    assert read_files(Path("r")).columns["path"] == ["r/x/a.mp4", "r/x/b.mp4", "r/y/c.jpg"]
    assert media_files(Path("r/../r")) == [Path("r/../r") / name for name in ("x/a.mp4", "x/b.mp4", "y/c.jpg")]


def test_an_unreadable_folder_is_named_though_it_was_listed_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a/1.mp4", "b/2.mp4", "c/3.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def refusing(folder: str) -> object:
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with refused("folder.unreadable", tmp_path / "b"):
        walk_media(tmp_path)


TEXTS = st.lists(st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1), max_size=30)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 9))
def test_paths_in_little_memory_are_the_same_ones(names: list[str], size: int):
    names = [*names, os.fsdecode(b"not UTF-8: \xff")]
    with patch.object(path_texts, "BLOCK", size):
        texts = PathTexts(names)
        assert (len(texts), list(texts), list(texts)) == (len(names), names, names)


def test_paths_of_a_hundred_thousand_files_take_little_memory():
    tracemalloc.start()
    texts = PathTexts(f"/data/videos/class_{i // 1000}/video_{i:06d}.mp4" for i in range(100_000))
    assert len(texts) == 100_000
    assert tracemalloc.get_traced_memory()[0] < 2e6  # as text they take 9 MB, and 1 MB for the list
    tracemalloc.stop()


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b7x"]), st.integers(0, 9)), max_size=40))
@settings(deadline=None)
def test_series_of_numbered_images(images: list[tuple[str, int]]):
    series: dict[str, set[int]] = {}
    for prefix, number in images:
        series.setdefault(prefix, set()).add(number)
    wanted = []
    for numbers in map(sorted, series.values()):
        steps = Counter(after - before for before, after in pairwise(numbers))
        if len(numbers) >= 3 and max(steps.values()) >= 0.9 * steps.total():
            wanted.append(len(numbers))
    names = [f"{prefix}{number}.jpg" for prefix, number in images]
    assert series_lengths([*names, "other.jpg"]) == wanted
