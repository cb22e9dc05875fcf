"""Reading frames: wrong frame counts, trims, members of tars, images, and files that are not videos."""

import dataclasses
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.videos import read_barcode
from vidsemi.data.clip_sampling import view_indices
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.data.video import decode as video
from vidsemi.data.video.backends import check_decoder
from vidsemi.data.video.container import Source, Trim
from vidsemi.data.video.decode import read_video
from vidsemi.data.video.packets import read_table
from vidsemi.data.video.selective import ChooseFrames
from vidsemi.io.errors import DecodeError, UserError


def all_frames(n: int) -> np.ndarray:
    return np.arange(n)


def views(frames: int, count: int) -> ChooseFrames:
    return lambda n: view_indices(n, frames, 1, count).reshape(-1)


def codes(frames: np.ndarray) -> list[int]:
    return [read_barcode(frame) for frame in frames]


@pytest.mark.parametrize("announced", [50, 19, 20, 1])
def test_a_wrong_announced_count_changes_nothing(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, announced: int
):
    """Packets announce more or fewer frames than decode."""
    file = make_video("a.mkv", frames=20)
    monkeypatch.setattr(
        video, "read_table", lambda *a: dataclasses.replace(read_table(*a), frames=announced, regular=False)
    )
    asked = []

    def choose(n: int) -> np.ndarray:
        asked.append(n)
        return view_indices(n, 4, 1, 3).reshape(-1)

    frames = read_video(Source(str(file)), choose, size=(24, 32))
    assert asked[-1] == 20
    assert codes(frames) == [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]
    # in training decoding stops early, but a count that is too high is still noticed
    frames = read_video(Source(str(file)), lambda n: np.array([n - 1]), size=(24, 32), exact=False)
    assert codes(frames) == [min(announced, 20) - 1]


@pytest.mark.parametrize("name", ["a.avi", "b.mp4"])
def test_the_fallback_to_sequential_decoding_is_logged(
    make_video: Callable[..., Path], caplog: pytest.LogCaptureFixture, name: str
):
    file = make_video(name, codec="mpeg4" if name == "a.avi" else "mpeg2video")
    with caplog.at_level(logging.DEBUG, logger="vidsemi"):
        frames = read_video(Source(str(file)), lambda n: np.array([3]), size=(24, 32), exact=False)
    assert codes(frames) == [3]
    assert caplog.messages and all(str(file) in message for message in caplog.messages)
    assert "decoded sequentially" in caplog.messages[-1]


def test_trim_counts_frames_from_its_start(make_video: Callable[..., Path]):
    file = make_video("a.mp4", frames=40, rate=10)
    frames = read_video(Source(str(file)), all_frames, size=(24, 32), trim=Trim(1.0, 2.5))
    assert codes(frames) == list(range(10, 25))
    row = Row(0, str(file), start=3.5)
    assert codes(read_frames(row, all_frames, size=(24, 32))) == list(range(35, 40))
    with pytest.raises(DecodeError, match="trim 10 s to 12 s"):
        read_video(Source(str(file)), all_frames, trim=Trim(10.0, 12.0))


def test_tar_members_are_read_by_offset(make_video: Callable[..., Path], tmp_path: Path):
    file = make_video("a.mp4", frames=9)
    content = file.read_bytes()
    (tmp_path / "shard.tar").write_bytes(b"x" * 512 + content + b"y" * 100)
    row = Row(0, str(tmp_path / "shard.tar"), member="a.mp4", offset=512, size=len(content))
    assert codes(read_frames(row, all_frames, size=(24, 32))) == list(range(9))
    with pytest.raises(DecodeError, match=r"byte 512 \+ 1000000.*a\.mp4"):
        read_frames(Row(0, row.path, member="a.mp4", offset=512, size=10**6), all_frames, size=(24, 32))


def test_an_image_is_a_video_of_one_frame(tmp_path: Path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    frames = read_frames(Row(0, str(tmp_path / "a.png")), lambda n: view_indices(n, 3, 1, 1)[0], size=(30, 40))
    assert frames.shape == (3, 3, 30, 40)
    assert all(np.array_equal(frame.transpose(1, 2, 0), pixels) for frame in frames)


@pytest.mark.parametrize("name", ["empty.mp4", "random.mp4", "missing.mp4", "text.png", "folder.mp4"])
def test_files_that_are_not_videos_are_decode_errors(tmp_path: Path, name: str):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "random.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(DecodeError) as caught:
        read_frames(Row(0, str(tmp_path / name)), all_frames, size=(8, 8))
    assert caught.value.path == str(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_playlists_are_not_followed(make_video: Callable[..., Path], tmp_path: Path):
    make_video("a.ts")
    playlist = tmp_path / "list.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    concat = tmp_path / "concat.mp4"
    concat.write_text("ffconcat version 1.0\nfile a.ts\n")
    local = tmp_path / "local.m3u8"
    local.write_text(f"#EXTM3U\n#EXTINF:2,\n{tmp_path}/a.ts\n#EXT-X-ENDLIST\n")
    for file in (playlist, concat, local):
        with pytest.raises(DecodeError):
            read_frames(Row(0, str(file)), all_frames, size=(8, 8))


def test_an_unknown_codec_is_a_decode_error(make_video: Callable[..., Path]):
    file = make_video("a.mp4")
    content = file.read_bytes()
    place = content.rindex(b"avc1")
    file.write_bytes(content[:place] + b"zzzz" + content[place + 4 :])
    with pytest.raises(DecodeError, match="codec"):
        read_video(Source(str(file)), all_frames)


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
def test_a_decoder_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch, decoder: str):
    for module in (decoder, f"{decoder}.decoders"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=f"{decoder}.*docs/guides/decoding.md") as caught:
        check_decoder(decoder)
    assert caught.value.code == "decoder.not_installed"
