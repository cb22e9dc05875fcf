"""Where the bytes of an example come from: members of tars, odd file names, URIs."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.videos import read_barcode
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.data.verify import describe
from vidsemi.io import download as addresses
from vidsemi.io.errors import DecodeError


def codes(row: Row, decoder: str = "pyav") -> list[int]:
    frames = read_frames(row, lambda n: np.arange(n), size=(24, 32), decoder=decoder)
    return [read_barcode(frame) for frame in frames]


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_a_member_of_a_tar_is_read_in_place(make_video: Callable[..., Path], tmp_path: Path, name: str, decoder: str):
    """It lies between other videos, of which no byte may be read."""
    content = make_video(name, frames=9).read_bytes()
    other = make_video(f"other.{name}", frames=30).read_bytes()
    (tmp_path / "shard, end,1 :x.tar").write_bytes(other + content + other)
    row = Row(0, str(tmp_path / "shard, end,1 :x.tar"), member=name, offset=len(other), size=len(content))
    assert codes(row, decoder) == list(range(9))
    assert describe(row).frames == 9


@pytest.mark.parametrize(
    "name", ["concat:a|b.mp4", "http:a.mp4", "a?b#c%20.mp4", "-i.mp4", "ä 你.mp4", "subfile,,x.mp4"]
)
def test_file_names_are_not_taken_for_protocols(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    make_video("a.mp4", frames=5).rename(tmp_path / name)
    assert codes(Row(0, str(tmp_path / name))) == list(range(5))
    monkeypatch.chdir(tmp_path)
    assert codes(Row(0, name)) == list(range(5))


class Manager:
    """Fetches URIs that start with `https://made/` from a folder."""

    def __init__(self, folder: Path):
        self.folder, self.caches = folder, []

    def get_local_path(self, uri: str, cache_dir: str) -> str:
        self.caches.append(cache_dir)
        if not uri.startswith("https://made/"):
            raise ConnectionError(f"nobody answers\nat {uri}")
        return str(self.folder / uri.removeprefix("https://made/"))


def test_uris_are_fetched_through_iopath(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make_video("a.mp4", frames=5)
    manager = Manager(tmp_path)
    monkeypatch.setattr(addresses, "_path_manager", lambda folder: manager)
    assert codes(Row(0, "https://made/a.mp4")) == list(range(5))
    with pytest.raises(DecodeError, match="No such file"):
        codes(Row(0, "https://made/b.mp4"))
    with pytest.raises(DecodeError, match=re.escape("nobody answers at https://other/a.mp4")) as caught:
        codes(Row(0, "https://other/a.mp4"))
    assert caught.value.code == "file.not_downloaded"
    assert len(set(manager.caches)) == 3  # two hosts do not share a path
    for path in ("x/../../a.mp4", "x/.\t./a.mp4"):  # neither is fetched
        with pytest.raises(DecodeError) as caught:
            codes(Row(0, f"https://made/{path}"))
        assert caught.value.code == "file.not_downloaded" and len(manager.caches) == 3


def test_an_unknown_uri_scheme_is_refused():
    with pytest.raises(DecodeError) as caught:
        codes(Row(0, "nowhere://a.mp4"))
    assert caught.value.code == "file.not_downloaded"
