"""Folders that are not what they seem: their classes, frames, links and unknown files are reported."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.test_manifest import touch
from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.data.formats.folder import read_files, read_folder
from vidsemi.data.formats.media_files import media_files
from vidsemi.data.manifest import load_manifest

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `vidsemi manifest folder` (or `files`) on a folder; its document, and its text in `text`."""

    def run(root: Path, format: str = "folder") -> dict[str, Any]:
        words = ["manifest", format, "--root", str(root), "--output", str(tmp_path / "m.csv")]
        assert cli.main(words) == 0
        text = capsys.readouterr().out
        assert cli.main([*words, "--json"]) == 0
        return {**json.loads(capsys.readouterr().out), "text": text}

    return run


def test_the_summary_counts_classes_videos_images_and_unknown_suffixes(tmp_path: Path, run: Run):
    names = [f"c{number}/{kind}" for number in range(7) for kind in ("a.mp4", "b.jpg", "c.MXX", "d.txt", "e.mxx", "f")]
    answer = run(touch(tmp_path / "v", *names, "c0/.hidden.xyz"))
    assert (answer["examples"], answer["videos"], answer["images"], answer["classes"]) == (14, 7, 7, 7)
    assert answer["unknown_suffixes"] == {".mxx": 14, ".txt": 7, "": 7}
    assert answer["warnings"] == []
    for words in ("14 examples", "7 videos", "7 images", "7 classes: c0, c1, c2, c3, c4, …", ".mxx (14)"):
        assert words in answer["text"]
    answer = run(tmp_path / "v", "files")
    assert (answer["videos"], answer["images"], answer["classes"]) == (7, 7, 0)
    with refused("folder.no_media", ".mxx (2)", ".txt (1)"):
        read_folder(touch(tmp_path / "w", "a/a.mxx", "a/b.mxx", "b/a.txt"))


KNOWN = """
MTS m2ts m2t tod mod VOB mpe m2v asf 3g2 divx f4v qt LRV insv mk3d nut ivf y4m h264 hevc dv mxf rm ogm wtv
"""


def test_suffixes_of_cameras_discs_and_streams_are_videos(tmp_path: Path):
    root = touch(tmp_path / "v", *(f"clip.{suffix}" for suffix in KNOWN.split()))
    assert len(read_files(root)) == len(KNOWN.split())


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "VALIDATION", "testing"), ("k4_train", "k4_test")])
def test_parts_of_a_dataset_are_not_classes(tmp_path: Path, run: Run, names: tuple[str, ...]):
    root = touch(tmp_path / "v", *(f"{name}/{label}/{n}.mp4" for name in names for label in "ab" for n in "xy"))
    (warning,) = run(root)["warnings"]
    assert all(name in warning for name in names)
    touch(root, "more/a/x.mp4", "other/b/x.mp4")
    assert len(run(root)["warnings"]) == 1
    assert run(root / names[0])["warnings"] == []


def test_a_train_may_be_a_class(tmp_path: Path, run: Run):
    names = ["apple", "bus", "steam train", "train", "bullet train", "contest"]
    assert run(touch(tmp_path / "v", *(f"{name}/{n}.jpg" for name in names for n in "xy")))["warnings"] == []
    assert len(run(touch(tmp_path / "w", "train/x.mp4", "train/y.mp4"))["warnings"]) == 1
    assert len(run(touch(tmp_path / "x", "train/a/x.mp4", "b/x.mp4", "c/x.mp4"))["warnings"]) == 1


@pytest.mark.parametrize(
    ("folder", "name", "numbers"),
    [
        ("a/video0", "img_{:05d}.jpg", range(1, 11)),
        ("a/video0", "{}.png", range(3)),
        ("a/b/video0", "frame{:06d}.webp", range(0, 300, 30)),
        ("a", "video0_{:03d}.jpg", range(1, 31)),
    ],
)
def test_frames_of_videos_are_noticed(tmp_path: Path, run: Run, folder: str, name: str, numbers: range):
    root = touch(tmp_path / "v", *(f"{folder}/{name.format(number)}" for number in numbers), "b/x.mp4")
    for kind in ("folder", "files"):
        (warning,) = run(root, kind)["warnings"]
        assert str(root / folder) in warning and str(len(numbers)) in warning


def test_images_of_a_class_are_not_frames(tmp_path: Path, run: Run):
    draw = random.Random(0)
    names = [f"n01440764/n01440764_{draw.randrange(30000)}.JPEG" for _ in range(50)]
    names += [f"b/{number}.png" for number in range(5)] + ["c/deep/x1.jpg", "c/deep/x2.jpg", "c/deep/y.jpg"]
    names += [f"d/clip{number}/x.mp4" for number in range(9)] + [f"d/{number}.mp4" for number in range(20)]
    assert run(touch(tmp_path / "v", *names))["warnings"] == []


@pytest.mark.parametrize("link", ["hop", "zip", "jump/deep"])
def test_links_that_make_one_folder_two_classes(tmp_path: Path, run: Run, link: str):
    root = touch(tmp_path / "v", "jump/a.mp4", "run/b.mp4").resolve()
    (root / link).symlink_to(root / "run")
    answer = run(root)
    labels = load_manifest(tmp_path / "m.csv").table.to_pydict()["label"]
    assert sorted(labels) == sorted(["jump", "run", Path(link).parts[0]])
    (warning,) = answer["warnings"]
    assert "'run'" in warning and f"'{Path(link).parts[0]}'" in warning
    assert len(media_files(root)) == 2  # where classes do not matter, a folder is listed once


def test_one_file_in_two_classes_and_links_within_a_class(tmp_path: Path, run: Run):
    store = touch(tmp_path / "store", "a.mp4", "b.mp4", "deep/c.mp4")
    root = touch(tmp_path / "v", "run/x.mp4")
    (root / "jump").mkdir()
    (root / "jump" / "a.mp4").symlink_to(store / "a.mp4")
    (root / "jump" / "b.mp4").symlink_to(store / "b.mp4")
    for name in ("deep", "again"):
        (root / "jump" / name).symlink_to(store / "deep")
    for name in ("self", "up"):
        (root / "jump" / name).symlink_to(root if name == "up" else root / "jump" / "self")
    answer = run(root)
    assert (answer["examples"], answer["warnings"]) == (4, [])
    (root / "run" / "a.mp4").symlink_to(store / "a.mp4")
    (warning,) = run(root)["warnings"]
    assert str(store / "a.mp4") in warning and "'jump'" in warning and "'run'" in warning
