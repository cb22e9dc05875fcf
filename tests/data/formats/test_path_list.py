"""Lists of path and label as SlowFast, pytorchvideo, VideoMAE and mmaction2 have them, with a file of classes."""

import json
from pathlib import Path

import pytest

from tests.data.test_manifest import touch
from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.data.formats import formats
from vidsemi.data.formats.lists import ClassNames
from vidsemi.data.formats.path_list import read_list
from vidsemi.data.manifest import load_manifest

CLASSES = "abseiling\nair drumming\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two videos, of which one has spaces and commas in its name, and two folders of frames."""
    frames = [f"{name}/img_{number:05d}.jpg" for name in ("f1", "f two") for number in (1, 2)]
    (tmp_path / "classes.txt").write_text(CLASSES)
    return touch(tmp_path / "v", "a/1.mp4", "b, c/2 3.mp4", *frames)


OFFSET = {"columns": "path,start,frames,label", "unit": "frames", "rate": 10}
LISTS = [
    ("a/1.mp4 0\nb, c/2 3.mp4 1\n", {}, [None, None]),
    ("a/1.mp4,0\nb, c/2 3.mp4, 1\n", {}, [None, None]),
    ("a/1.mp4;0\r\n\r\nb, c/2 3.mp4;1\r\n", {}, [None, None]),
    ("a/1.mp4\tabseiling\nb, c/2 3.mp4\tair drumming\n", {}, [None, None]),
    ("a/1.mp4,abseiling\nb, c/2 3.mp4,air drumming\n", {}, [None, None]),
    ("a/1.mp4 0.5 2 0\nb, c/2 3.mp4 0 7 1\n", {}, [(0.5, 2), (0, 7)]),
    ("a/1.mp4,5,20,0\nb, c/2 3.mp4,0,70,1\n", {"unit": "frames", "rate": 10}, [(0.5, 2), (0, 7)]),
    ("a/1.mp4 5 15 0\nb, c/2 3.mp4 0 70 1", OFFSET, [(0.5, 2), (0, 7)]),
]


@pytest.mark.parametrize(("text", "options", "trims"), LISTS)
def test_lists_of_every_kind(text: str, options: dict, trims: list, root: Path, tmp_path: Path):
    (tmp_path / "list.csv").write_text(text)
    found = read_list(tmp_path / "list.csv", root, classes=tmp_path / "classes.txt", **options)
    assert found.columns["path"] == [str(root / "a/1.mp4"), str(root / "b, c/2 3.mp4")]
    assert found.columns["label"] == ["abseiling", "air drumming"]
    if trims[0]:
        assert list(zip(found.columns["start"], found.columns["end"], strict=True)) == trims


def test_folders_of_frames_of_a_list(root: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_text("f1 2 0\nf two 2 1\ngone 5 1\n")
    found = read_list(tmp_path / "list.txt", root, rate=12.5)
    assert found.columns == {
        "path": [str(root / "f1"), str(root / "f two")],
        "label": ["0", "1"],
        "frames_per_second": [12.5] * 2,
    }
    assert found.missing == ["gone"]
    with refused("list.folder_without_rate", root / "f1", "--rate"):
        read_list(tmp_path / "list.txt", root)


def test_a_list_without_a_root_has_absolute_paths_or_lies_beside_the_videos(root: Path, tmp_path: Path):
    (root / "list.txt").write_text(f"a/1.mp4 0\n{root}/b, c/2 3.mp4 1\n")
    assert read_list(root / "list.txt", None).columns["path"] == [str(root / "a/1.mp4"), str(root / "b, c/2 3.mp4")]
    (tmp_path / "list.txt").write_text("a/1.mp4 0\n")
    with refused("scan.no_files", "list.txt", tmp_path, "a/1.mp4"):
        formats()["path_list"].scan([str(tmp_path / "list.txt")], None)


def test_a_list_for_pre_training_has_no_labels(root: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_text("a/1.mp4 0 -1\nb, c/2 3.mp4 0 -1\n")
    found = read_list(tmp_path / "list.txt", root, classes=tmp_path / "classes.txt")
    assert found.columns["label"] == [None, None]
    (tmp_path / "list.txt").write_text("a/1.mp4\n")
    assert read_list(tmp_path / "list.txt", root).columns == {"path": [str(root / "a/1.mp4")]}


@pytest.mark.parametrize(
    ("text", "options", "code", "mentioned"),
    [
        ("a/1.mp4 2\n", {}, "list.unknown_class", ["line 1", "'2'", "classes.txt"]),
        ("a/1.mp4 0\na/1.mp4 5 1\n", {}, "list.unclear_columns", ["1 to 2", "--columns"]),
        ("f1 163 1 3 5 7\n", {}, "list.unclear_columns", ["--columns"]),
        ("path,label\na/1.mp4,0\n", {}, "list.has_header", ["manifest table"]),
        ("a/1.mp4 2 1 0\n", {}, "list.bad_time", ["line 1", "2 to 1"]),
        ("a/1.mp4 0 9 0\n", {"unit": "frames"}, "list.unit_without_rate", ["--rate"]),
        ("a/1.mp4 0\n", {"columns": "label,path"}, "list.unknown_column", ["label,path"]),
        ("a/1.mp4 0\n", {"rate": -1.0}, "list.bad_rate", ["-1"]),
        ("\n", {}, "list.empty", ["list.txt"]),
    ],
)
def test_what_is_no_such_list(text: str, options: dict, code: str, mentioned: list[str], root: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_text(text)
    with refused(code, *mentioned):
        read_list(tmp_path / "list.txt", root, classes=tmp_path / "classes.txt", **options)


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("c.txt", "b\na\n", {0: "b", 1: "a"}),
        ("c.txt", "1 Apply Lipstick\n2 Archery\n", {1: "Apply Lipstick", 2: "Archery"}),
        ("c.txt", "adult+female+singing,0\nzooming,7\n", {0: "adult+female+singing", 7: "zooming"}),
        ("c.txt", "vault 1\nvault 2\nhigh jump\n", {0: "vault 1", 1: "vault 2", 2: "high jump"}),
        ("c.json", json.dumps({'"air drumming"': 1, "abseiling": 0}), {0: "abseiling", 1: "air drumming"}),
        ("c.json", json.dumps({"Holding something": "1", "Moving": "0"}), {0: "Moving", 1: "Holding something"}),
        ("c.json", json.dumps({"0": "a", "3": "b"}), {0: "a", 3: "b"}),
        ("c.json", json.dumps([["Back", "15som", "FREE"], ["Forward"]]), {0: "Back 15som FREE", 1: "Forward"}),
    ],
)
def test_files_that_number_the_classes(name: str, text: str, names: dict[int, str], tmp_path: Path):
    (tmp_path / name).write_text(text)
    classes = ClassNames(tmp_path / name)
    assert {number: classes.name(number, "") for number in names} == names
    with refused("list.unknown_class", "here", "'99'", name):
        classes.name(99, "here")


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("c.txt", "a\na\n", "classes.repeated"),
        ("c.txt", "1 a\n1 b\n", "classes.repeated"),
        ("c.txt", "\n", "classes.empty"),
        ("c.json", "3", "classes.unreadable"),
        ("c.json", '{"a": "b"}', "classes.unreadable"),
        ("c.json", "{", "file.unreadable"),
        ("c.json", "[" * 100_000, "file.unreadable"),
    ],
)
def test_what_is_no_file_of_classes(name: str, text: str, code: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with refused(code, name):
        ClassNames(tmp_path / name)


def test_a_list_on_the_command_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "list.txt").write_text("a/1.mp4 0\nf1 0\n")
    words = ["manifest", "path_list", str(tmp_path / "list.txt"), "--root", str(root), "--rate", "25", "--classes"]
    assert cli.main([*words, str(tmp_path / "classes.txt"), "--output", str(tmp_path / "m.csv")]) == 0
    assert "2 examples" in capsys.readouterr().out
    manifest = load_manifest(tmp_path / "m.csv")
    assert (manifest.row(0).frames_per_second, manifest.row(1).frames_per_second, manifest.class_names()) == (
        None,
        25.0,
        ["abseiling"],
    )
