"""Members whose names have dots: WebDataset's key ends at the first one; no sample gets the label of another."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.formats.test_tar import write_tar
from tests.helpers.errors import assert_refused
from vidsemi.cli import main as cli
from vidsemi.data.formats.tar import index_tar
from vidsemi.data.manifest import Row, load_manifest

AMBIGUOUS = [
    (["v1.0_a.mp4", "v1.0_a.cls", "v1.0_b.mp4", "v1.0_b.cls"], ["v1.0_a.cls", "v1.0_b.cls"]),
    (["x/clip.1.mp4", "x/clip.2.mp4", "x/clip.2.cls"], ["x/clip.1.mp4", "x/clip.2.mp4"]),
    (["a.mp4", "a.cls", "a.b.MP4"], ["a.mp4", "a.b.MP4"]),
    (["a.one.jpg", "a.cls", "a.two.jpg"], ["a.one.jpg", "a.two.jpg"]),
    (["a.mp4", "a.cls", "b.mp4", "a.second.cls"], ["a.cls", "a.second.cls"]),
    (["a.mp4", "a.cls", "b.mp4", "a.mp4"], ["a.mp4", "a.cls"]),
    (["a.mp4", "a.cls", "a.cls"], ["a.mp4", "a.cls"]),
    (["2026.01.mp4", "2026.02.jpg", "2026.03.jpg"], ["2026.01.mp4", "2026.02.jpg"]),
]


@pytest.mark.parametrize(("members", "named"), AMBIGUOUS)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_samples_that_dots_merge_are_refused_with_the_names(
    members: list[str], named: list[str], workers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_tar(tmp_path / "good.tar", {"0.mp4": b"video"})
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in members:  # some of them twice
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    words = ["manifest", "tar", str(tmp_path), "--output", str(tmp_path / "m.csv"), "--workers", workers]
    assert cli.main(words) == 2
    errors = [line for line in capsys.readouterr().err.splitlines(keepends=True) if "error" in line]
    assert_refused("".join(errors), "tar.ambiguous_names", tmp_path / "x.tar", *named)
    assert not (tmp_path / "m.csv").exists()


FINE = [
    (["a.mp4", "a.json", "a.cls"], {"a.mp4": "a.cls"}),
    (["a.mp4", "a.webm", "a.cls"], {"a.mp4": "a.cls", "a.webm": "a.cls"}),
    (
        ["v1.0/a.mp4", "v1.0/a.cls", "v1.0/b.mp4"],
        {"v1.0/a.mp4": "v1.0/a.cls", "v1.0/b.mp4": None},
    ),
    (["c.left.png", "c.right.png"], {"c.left.png": None, "c.right.png": None}),
    (["c.left.png", "c.cls"], {"c.left.png": "c.cls"}),
    (["c.1.mp4", "c.2.mp4", "c.1.jpg", "c.2.jpg", "c.2.small.jpg"], {"c.1.mp4": None, "c.2.mp4": None}),
    (["c.mp4", "c.cls", "c.0.jpg", "c.1.jpg"], {"c.mp4": "c.cls"}),
    (["a.mp4", "b.mp4", "b.cls"], {"a.mp4": None, "b.mp4": "b.cls"}),
    (["x/a.mp4", "y/a.cls", "y/a.mp4"], {"x/a.mp4": None, "y/a.mp4": "y/a.cls"}),
]


@pytest.mark.parametrize(("members", "labels"), FINE)
def test_equal_keys_with_one_extension_each_are_one_sample(
    members: list[str], labels: dict[str, str | None], tmp_path: Path
):
    write_tar(tmp_path / "x.tar", {name: f" {name}\n".encode() for name in members})
    words = ["manifest", "tar", str(tmp_path / "x.tar"), "--output", str(tmp_path / "m.parquet"), "--workers", "0"]
    assert cli.main(words) == 0
    table = load_manifest(tmp_path / "m.parquet").table.to_pydict()
    assert dict(zip(table["member"], table["label"], strict=True)) == labels


names = st.sampled_from(["a", "b", "a.0", "a.1", "b.0", "b.0.x"])
files = st.builds("{}.{}".format, names, st.sampled_from(["mp4", "jpg", "cls", "json"]))


@given(st.lists(files, unique=True, min_size=1, max_size=8))
def test_no_example_has_a_label_of_another_name_unless_it_is_the_only_one(
    tmp_path_factory: pytest.TempPathFactory, members: list[str]
):
    tar = write_tar(tmp_path_factory.mktemp("t") / "x.tar", {name: name.encode() for name in members})
    index = index_tar(Row(0, str(tar)))
    if index.ambiguous:
        first, second = index.ambiguous
        assert first != second and first.split(".")[0] == second.split(".")[0]
        return
    for name, label in zip(index.columns["member"], index.columns["label"], strict=True):
        labels = [member for member in members if same_key(member, name) and member.endswith(".cls")]
        assert labels == ([label] if label else [])
        media = [member for member in members if same_key(member, name) and member.endswith(name[-4:])]
        assert not label or media == [name]


def same_key(*names: str) -> bool:
    return len({name.split(".")[0] for name in names}) == 1
