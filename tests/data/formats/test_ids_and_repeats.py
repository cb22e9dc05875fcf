"""A file that two rows name, and an id that two files fit: nothing is chosen silently."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.formats.test_table import yfcc100m_line
from tests.data.test_manifest import touch
from tests.helpers.errors import assert_refused, refused
from vidsemi.cli import main as cli
from vidsemi.data.formats.kinetics import read_kinetics
from vidsemi.data.formats.media_files import FilesByStem
from vidsemi.data.formats.table import read_table_format
from vidsemi.data.formats.yfcc100m import read_yfcc100m

WriteCsv = Callable[..., Path]


def test_an_id_that_two_files_fit_is_refused_with_both(tmp_path: Path, write_csv: WriteCsv):
    root = touch(tmp_path / "v", "a/100.mp4", "b/100.mp4", "200.mp4", "200.avi", "200.jpg", "a/300.jpg", "b/300.png")
    pairs = {"100": ("a/100.mp4", "b/100.mp4"), "200": ("200.mp4", "200.avi"), "300": ("a/300.jpg", "b/300.png")}
    for name, files in pairs.items():
        with refused("scan.ambiguous_name", name, *(root / file for file in files)):
            read_table_format(write_csv("t.csv", ["id"], [[name]]), root)
        (tmp_path / "y").write_text(yfcc100m_line(name, [], 25))
        with refused("scan.ambiguous_name", *(root / file for file in files)):
            read_yfcc100m(tmp_path / "y", root)
    header = ["label", "youtube_id", "time_start", "time_end"]
    touch(root, "train/x_000001_000002.mp4", "val/x_000001_000002.mkv")
    with refused("scan.ambiguous_name", "train/x_000001_000002.mp4", "val/x_000001_000002.mkv"):
        read_kinetics(write_csv("k.csv", header, [["a", "x", "1", "2"]]), root)


def test_files_that_nothing_asks_for_and_links_to_one_file_are_not_ambiguous(tmp_path: Path, write_csv: WriteCsv):
    root = touch(tmp_path / "v", "a/100.mp4", "b/100.mp4", "a/7.mp4", "8.jpg", "8.mp4")
    (root / "b" / "7.mp4").symlink_to(root / "a" / "7.mp4")
    found = read_table_format(write_csv("t.csv", ["id"], [["7"], ["8"]]), root)
    assert found.columns["path"] == [str(root / "a" / "7.mp4"), str(root / "8.mp4")]
    files = FilesByStem(touch(tmp_path / "better", "100.mp4"), root)
    assert files.get("100") == str(tmp_path / "better" / "100.mp4")
    assert files.get("9", "none") == "none" and set(files) == {"100", "7", "8"}


REPEATS = [
    ("id,label\n7,a\n8,b\n7,b\n", "scan.conflicting_labels", ["lines 2 and 4", "7.mp4", "'a'", "'b'"]),
    ("id,label\n7,a\n7,a\n", "scan.repeated_file", ["lines 2 and 3", "7.mp4"]),
    ("id,path\n7,\n,7.mp4\n", "scan.repeated_file", ["lines 2 and 3", "7.mp4"]),
    ("path,label\nv/7.mp4,a\nv/7.mp4,b\n", "scan.conflicting_labels", ["lines 2 and 3", "'a'", "'b'"]),
    ("path,label\nv/7.mp4,a\nv/../v//7.mp4,\n", "scan.conflicting_labels", ["lines 2 and 3", "'a'", "''"]),
    ("path,label,end\nv/7.mp4,a,2\nv/8.mp4,a,2\nv/7.mp4,c,2\n", "scan.conflicting_labels", ["lines 2 and 4"]),
]


@pytest.mark.parametrize(("text", "code", "mentioned"), REPEATS)
def test_two_rows_of_one_file_are_refused(
    text: str, code: str, mentioned: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = touch(tmp_path / "v", "7.mp4", "8.mp4")
    (tmp_path / "t.csv").write_text(text)
    base = root if "id" in text else tmp_path
    words = ["manifest", "table", str(tmp_path / "t.csv"), "--root", str(base), "--output", str(tmp_path / "m.csv")]
    assert cli.main(words) == 2
    assert_refused(capsys.readouterr().err, code, *mentioned)
    assert not (tmp_path / "m.csv").exists()


def test_rows_that_repeat_a_path_are_counted_and_parts_of_a_file_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lines = ["a.mp4,x,,", "a.mp4,x,,", "a.mp4,y,1,2", "a.mp4,z,2,3", "./a.mp4,x,,", "b.mp4,x,,"]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,start,end", *lines]))
    words = ["manifest", "table", str(tmp_path / "t.csv"), "--output", str(tmp_path / "m.csv"), "--json"]
    assert cli.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["examples"], answer["repeated"]) == (6, 2)
