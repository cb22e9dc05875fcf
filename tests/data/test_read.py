"""Where the bytes of an example come from: members of tars, odd file names, URIs."""

import http.server
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.servers import send, serve
from tests.helpers.videos import read_barcode
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.data.verify import describe
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


def test_addresses_are_downloaded(make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    content = make_video("a.mp4", frames=5).read_bytes()
    asked = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        if request.path == "/a.mp4":
            send(request, content)
        else:
            request.send_error(404)

    with serve(answer) as address, serve(answer) as other:
        assert codes(Row(0, f"{address}/a.mp4")) == list(range(5))
        row = Row(0, f"{other}/a.mp4", member="b.mp4", offset=len(content) - 9, size=10)
        with pytest.raises(DecodeError, match="ends before") as caught:  # another host does not share a path
            codes(row)
        assert caught.value.code == "member.truncated"
        with pytest.raises(DecodeError, match="404") as caught:
            codes(Row(0, f"{address}/b.mp4"))
        assert caught.value.code == "file.not_served"
        for path in ("x/../../a.mp4", "x/.\t./a.mp4"):  # neither is fetched
            with pytest.raises(DecodeError) as caught:
                codes(Row(0, f"{address}/{path}"))
            assert caught.value.code == "file.not_downloaded"
    assert asked == ["/a.mp4", "/a.mp4", "/b.mp4"]
    with pytest.raises(DecodeError, match="refused") as caught:
        codes(Row(0, f"{address}/c.mp4"))
    assert caught.value.code == "file.not_downloaded"


def test_an_unknown_uri_scheme_is_refused():
    with pytest.raises(DecodeError) as caught:
        codes(Row(0, "nowhere://a.mp4"))
    assert caught.value.code == "file.not_downloaded"
