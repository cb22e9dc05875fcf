"""Names of files and classes as copies of Kinetics have them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.data.test_manifest import touch
from tests.datasets.test_kinetics import CLIPS, HEADER, TRAIN
from tests.helpers.errors import refused
from vidsemi.data.class_names import read_class_names
from vidsemi.data.formats.kinetics import match_classes, read_kinetics, youtube_id


def test_files_under_other_names_and_an_image_beside_them(write_csv: Callable[..., Path], tmp_path: Path):
    file = write_csv("train.csv", HEADER, TRAIN[:3])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())  # as spreadsheets do
    root = touch(tmp_path / "v", "-3B32lodo2M.webm", "-3B32lodo2M.jpg", "v_-_abc_-1xyz.mp4", CLIPS[2])
    first = touch(tmp_path / "first", CLIPS[2], "deep/-3B32lodo2M.mkv")
    found = read_kinetics(file, first, root)
    paths = [Path(path).relative_to(tmp_path).as_posix() for path in found.columns["path"]]
    assert paths == ["first/deep/-3B32lodo2M.mkv", "v/v_-_abc_-1xyz.mp4", f"first/{CLIPS[2]}"]
    assert found.columns["start"] == [59, 5, None] and found.columns["label"][0] == "abseiling"
    assert read_kinetics(file, root).columns["path"][0].endswith(".webm")


def test_every_class_is_found_under_the_names_of_copies():
    classes = read_class_names(REPOSITORY / "datasets" / "kinetics" / "classes.txt")
    for change in (lambda name: name.replace(" ", "_"), lambda name: re.sub("['()]", "", name).replace(" ", "_"), str):
        assert match_classes(map(change, classes), classes, "there", "Kinetics") == classes
    with refused("classes.missing_label", "there"):
        match_classes(["zumba", None], classes, "there", "Kinetics")


@pytest.mark.parametrize("name", ["-_abc_-1xyz", "v_abcdefghi", "v_12345_000", "_________00"])
def test_the_id_in_a_name(name: str):
    for form in ("{}.mp4", "a/v_{}.mkv", "{}_000001_000011.mp4", "A [good] title [{}].webm"):
        assert youtube_id(form.format(name)) == name
    assert youtube_id("a/holiday in rome.mp4") == "holiday in rome"
