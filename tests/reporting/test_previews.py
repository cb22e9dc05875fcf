"""The maker of previews: one file each, kept, in time; a reason for each that cannot be made."""

import os
from pathlib import Path

import pytest
from PIL import Image

from vidsemi.data.manifest import Row
from vidsemi.io.errors import DecodeError
from vidsemi.reporting import previews
from vidsemi.reporting.previews import PreviewMaker


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Three images, one of which is damaged, and one that is missing."""
    for name in "abc":
        Image.new("RGB", (40, 30), (ord(name), 0, 0)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    return [Row(number, str(tmp_path / f"{name}.png")) for number, name in enumerate(("a", "b", "gone", "c"))]


def maker(**options: object) -> PreviewMaker:
    return PreviewMaker(4, **{"workers": 0, "seconds": None, **options})  # type: ignore[arg-type]


def test_previews_are_made_once(tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch):
    cache = tmp_path / "previews"
    first = maker().make(rows, cache)
    assert [type(one) for one in first] == [bytes, DecodeError, DecodeError, bytes]
    kept = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert sorted(file.read_bytes() for file in kept) == sorted(one for one in first if isinstance(one, bytes))
    with monkeypatch.context() as patch:
        patch.setattr(previews, "make_preview", None)
        again = maker().make([rows[3], rows[0]], cache)
    assert again == [first[3], first[0]]
    assert {file: file.stat().st_mtime_ns for file in cache.iterdir()} == kept
    Image.new("RGB", (40, 30), (0, 255, 0)).save(rows[0].path)  # another picture
    os.utime(rows[0].path, ns=(1, 1))
    assert maker().make(rows[:1], cache)[0] not in (first[0], None)
    assert len([*cache.iterdir()]) == 3


def test_a_damaged_file_of_the_cache_is_made_again(tmp_path: Path, rows: list[Row]):
    cache = tmp_path / "previews"
    (first,) = maker().make(rows[:1], cache)
    (file,) = cache.iterdir()
    for content in (b"", b"<script>", b"RIFF1234WEBP" + bytes(20_000)):
        file.write_bytes(content)
        assert maker().make(rows[:1], cache) == [first] == [file.read_bytes()]


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path, rows: list[Row]):
    (tmp_path / "file").write_text("")
    (preview,) = maker().make(rows[:1], tmp_path / "file" / "previews")
    assert isinstance(preview, bytes)


def test_what_there_is_no_time_for_is_left_out(tmp_path: Path, rows: list[Row]):
    limited = maker(seconds=0.0)
    assert limited.make(rows, tmp_path / "previews") == [None] * 4
    assert maker(seconds=3600.0).make(rows, tmp_path / "previews")[3] is not None


@pytest.mark.slow
def test_worker_processes_give_the_same(tmp_path: Path, rows: list[Row]):
    one, two = maker().make(rows, tmp_path / "one"), maker(workers=2).make(rows, tmp_path / "two")
    assert [str(own) for own in one] == [str(own) for own in two]
    assert sorted(os.listdir(tmp_path / "one")) == sorted(os.listdir(tmp_path / "two"))
