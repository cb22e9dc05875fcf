"""Manifests and the formats they are made from."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.data.formats.folder import read_folder
from vidsemi.data.formats.kinetics import read_kinetics
from vidsemi.data.formats.portable_paths import portable_paths
from vidsemi.data.formats.split_lists import read_ucf101
from vidsemi.data.formats.table import read_table_format
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.data.manifest_file import write_manifest

WriteCsv = Callable[..., Path]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def test_rows_and_classes(write_csv: WriteCsv, tmp_path: Path):
    file = write_csv(
        "m.csv",
        ["path", "label", "start", "end", "note"],
        [
            ["a b.mp4", "007", "1.5", "", "x"],
            ["/abs/c.mp4", "jump, high", "", "2", "y"],
            ["s3://b/k.mp4", "007", "", "", "z"],
        ],
    )
    manifest = load_manifest(file)
    assert len(manifest) == 3
    assert manifest.row(0) == Row(0, str(tmp_path / "a b.mp4"), start=1.5)
    assert manifest.row(1) == Row(1, "/abs/c.mp4", end=2.0)
    assert manifest.row(2).path == "s3://b/k.mp4"
    assert manifest.class_names() == ["007", "jump, high"]
    assert manifest.label_indices(["007", "jump, high"], "the labeled set").tolist() == [0, 1, 0]
    other = tmp_path / "videos"
    other.mkdir()
    assert load_manifest(file, other).row(0).path == str(other / "a b.mp4")


def test_csv_and_parquet_are_the_same_table(tmp_path: Path):
    columns = {"path": ["a.mp4", 'b "quoted", c.mp4'], "label": ["x", "y"], "start": [None, 2.5]}
    for suffix in ("csv", "parquet"):
        write_manifest(tmp_path / f"m.{suffix}", columns)
    a, b = load_manifest(tmp_path / "m.csv"), load_manifest(tmp_path / "m.parquet")
    assert a.table.equals(b.table)
    assert a.table.to_pydict() == columns


def test_fingerprint_is_of_the_content(write_csv: WriteCsv):
    one = load_manifest(write_csv("a.csv", ["path"], [["x.mp4"]]))
    same = load_manifest(write_csv("b.csv", ["path"], [["x.mp4"]]))
    other = load_manifest(write_csv("c.csv", ["path"], [["y.mp4"]]))
    assert one.fingerprint == same.fingerprint != other.fingerprint


def bad_manifests(write_csv: WriteCsv, tmp_path: Path) -> list[tuple[str, str, Path]]:
    """Codes, what the message must mention, files."""
    (tmp_path / "list.txt").write_text("a.mp4 0\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "ragged.csv").write_text("path,label\na,b,c\n")
    pq.write_table(pa.table({"path": ["a"], "start": ["soon"]}), tmp_path / "typed.parquet")
    return [
        (
            "missing_column",
            "'path'; its columns are: file",
            write_csv("no.csv", ["file", "label"], [["a", "b"]]),
        ),
        ("empty", "", write_csv("empty.csv", ["path", "label"], [])),
        ("missing_file", "missing.csv", tmp_path / "missing.csv"),
        ("unknown_suffix", ".parquet", tmp_path / "list.txt"),
        ("unreadable", "", tmp_path / "broken.parquet"),
        ("unreadable", "Expected 2 columns", tmp_path / "ragged.csv"),
        ("missing_path", "line 3", write_csv("hole.csv", ["path", "label"], [["a", "x"], ["", "y"]])),
        ("wrong_type", "", tmp_path / "typed.parquet"),
        ("duplicate_column", "'label'", write_csv("twice.csv", ["path", "label", "label"], [["a", "x", "y"]])),
    ]


@pytest.mark.parametrize("number", range(9))
def test_bad_manifests_are_refused_in_a_line(write_csv: WriteCsv, tmp_path: Path, number: int):
    code, mentioned, file = bad_manifests(write_csv, tmp_path)[number]
    with refused(f"manifest.{code}", mentioned, file.name):
        load_manifest(file)


def test_bad_labels_are_refused_with_their_line(write_csv: WriteCsv, tmp_path: Path):
    file = write_csv("m.csv", ["path", "label"], [["a", "jump"], ["b", "runn"]])
    with refused("manifest.unknown_label", "'runn' (line 3)", "did you mean 'run'"):
        load_manifest(file).label_indices(["jump", "run"], "the labeled set")
    with refused("manifest.missing_label", "line 3"):
        load_manifest(write_csv("n.csv", ["path", "label"], [["a", "jump"], ["b", ""]])).class_names()
    with refused("manifest.missing_column", "'label'"):
        load_manifest(write_csv("o.csv", ["path"], [["a"]])).class_names()
    with refused("manifest.missing_root", tmp_path / "nowhere"):
        load_manifest(file, tmp_path / "nowhere")


def test_folder_a_class(tmp_path: Path):
    root = touch(
        tmp_path / "v", "jump/a.mp4", "jump/deep/b.AVI", "run fast/c.webm", "run fast/notes.txt", ".hidden/x.mp4"
    )
    found = read_folder(root)
    relative = [Path(path).relative_to(root).as_posix() for path in found.columns["path"]]
    assert relative == ["jump/a.mp4", "jump/deep/b.AVI", "run fast/c.webm"]
    assert found.columns["label"] == ["jump", "jump", "run fast"]
    (root / "jump" / "circle").symlink_to(root)
    assert len(read_folder(root).columns["path"]) == 3
    with refused("folder.no_class", "loose.mp4"):
        read_folder(touch(root, "loose.mp4"))
    with refused("folder.missing", tmp_path / "none"):
        read_folder(tmp_path / "none")
    with refused("folder.no_media", tmp_path / "w"):
        read_folder(touch(tmp_path / "w", "jump/a.txt"))


def test_official_kinetics_csv(write_csv: WriteCsv, tmp_path: Path):
    header = ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
    file = write_csv(
        "train.csv",
        header,
        [
            ["air drumming", "-_abc_-1", "5", "15", "train", "0"],
            ["abseiling", "whole", "90", "100", "train", "0"],
            ["abseiling", "gone", "1", "11", "train", "0"],
        ],
    )
    root = touch(tmp_path / "k", "air_drumming/-_abc_-1_000005_000015.mp4", "v_whole.mkv")
    found = read_kinetics(file, root)
    assert [Path(path).name for path in found.columns["path"]] == ["-_abc_-1_000005_000015.mp4", "v_whole.mkv"]
    assert found.columns["label"] == ["air drumming", "abseiling"]
    assert found.columns["start"] == [None, 90.0]
    assert found.columns["end"] == [None, 100.0]
    assert found.missing == ["gone_000001_000011"]
    with refused("kinetics.bad_time", "bad.csv: line 2: time_start"):
        read_kinetics(write_csv("bad.csv", header, [["a", "b", "soon", "2", "train", "0"]]), root)
    with refused("kinetics.missing_column", "'youtube_id'", "path, label"):
        read_kinetics(write_csv("bad.csv", ["path", "label"], [["a", "b"]]), root)


def test_a_real_kinetics_annotation_file(real_data: Path, tmp_path: Path):
    file = real_data / "annotations" / "kinetics-400_val_2000.csv"
    root = touch(tmp_path, "0wR5jVB-WPk_000417_000427.mp4")
    found = read_kinetics(file, root)
    assert found.columns["label"] == ["abseiling"]
    assert len(found.missing) == 1998


def test_ucf101_split_files(tmp_path: Path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n")
    (lists / "trainlist01.txt").write_text(
        "ApplyEyeMakeup/v_A_g08_c01.avi 1\nArchery/v_B_g08_c01.avi 2\nArchery/gone.avi 2\n"
    )
    (lists / "testlist01.txt").write_text("Archery/v_B_g01_c01.avi\n")
    root = touch(tmp_path / "u", "ApplyEyeMakeup/v_A_g08_c01.avi", "Archery/v_B_g08_c01.avi", "Archery/v_B_g01_c01.avi")
    train = read_ucf101(lists / "trainlist01.txt", root)
    assert train.columns["label"] == ["ApplyEyeMakeup", "Archery"]
    assert train.missing == ["Archery/gone.avi"]
    assert read_ucf101(lists / "testlist01.txt", root).columns["label"] == ["Archery"]
    (lists / "trainlist02.txt").write_text("ApplyEyeMakeup/v_A_g08_c01.avi 2\n")
    with refused("ucf101.class_mismatch", "trainlist02.txt: line 1: class number 2", "ApplyEyeMakeup"):
        read_ucf101(lists / "trainlist02.txt", root)


def test_tables_with_other_column_names(write_csv: WriteCsv, tmp_path: Path):
    file = write_csv("t.csv", ["file", "class", "views"], [["a.mp4", "x", "3"]])
    found = read_table_format(file, None, path_column="file", label_column="class")
    assert found.columns == {"path": [str(tmp_path / "a.mp4")], "label": ["x"]}
    with refused("table.missing_column", "'clip'", "file, class, views"):
        read_table_format(file, None, path_column="clip", label_column="class")


def test_paths_in_manifests_move_with_their_folder(tmp_path: Path):
    paths = [str(tmp_path / "v" / "a.mp4"), "/elsewhere/a.mp4", "s3://b/a.mp4"]
    assert portable_paths(paths, tmp_path / "m.csv") == ["v/a.mp4", "/elsewhere/a.mp4", "s3://b/a.mp4"]


def test_a_name_that_is_no_text_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "root" / "a").mkdir(parents=True)
    for name in (b"good.mp4", b"bad\xff.mp4"):
        (tmp_path / "root" / "a" / os.fsdecode(name)).write_bytes(b"")
    words = ["manifest", "folder", "--root", str(tmp_path / "root"), "--output", str(tmp_path / "m.csv"), "--json"]
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == 1
    assert (tmp_path / "m.missing.txt").read_text().endswith("bad\\udcff.mp4\n")
