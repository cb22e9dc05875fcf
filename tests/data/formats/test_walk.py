"""Listing folders: the order of paths, whatever the names, and the same from a relative root."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.data.formats.folder import read_files, read_folder
from vidsemi.data.formats.media_files import MEDIA_SUFFIXES, media_files, relative_parts, walk_media

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
    assert walk_media(root).files == list(map(str, wanted))
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
