"""Reading frames: against barcodes, against a plain forward decode, and on files that lie or are broken."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import read_barcode

from vidsemi.corpus.manifest import Row
from vidsemi.errors import DecodeError
from vidsemi.media.clips import view_indices
from vidsemi.media.reading import read_frames
from vidsemi.media.video import read_video

CONTAINERS = [
    ("a.mp4", "libx264", 2),
    ("a.mkv", "libx264", 2),
    ("a.mov", "libx264", 0),
    ("a.avi", "mpeg4", 2),
    ("a.ts", "libx264", 2),
    ("a.webm", "libvpx-vp9", 0),
]


def all_frames(n: int) -> np.ndarray:
    return np.arange(n)


@pytest.mark.parametrize(("name", "codec", "bf"), CONTAINERS)
def test_frames_are_those_asked_for(make_video: Callable[..., Path], name: str, codec: str, bf: int):
    file = make_video(name, frames=23, codec=codec, bf=bf)
    everything = read_video(str(file), all_frames, size=(24, 32))
    assert [read_barcode(frame) for frame in everything] == list(range(23))
    some = read_video(str(file), lambda n: np.array([20, 3, 3, n - 1]), size=(24, 32))
    assert [read_barcode(frame) for frame in some] == [20, 3, 3, 22]
    early = read_video(str(file), lambda n: np.array([5]), size=(24, 32), to_the_end=False)
    assert np.array_equal(early[0], everything[5])


def test_a_false_count_in_the_header_changes_nothing(make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    file = make_video("a.mkv", frames=20)
    asked = []

    def choose(n: int) -> np.ndarray:
        asked.append(n)
        return view_indices(n, 4, 1, 3).reshape(-1)

    for announced in (50, 19, 20, 0):
        asked.clear()
        monkeypatch.setattr("vidsemi.media.video._count_packets", lambda *_, n=announced: n)
        frames = read_video(str(file), choose, size=(24, 32))
        assert asked[-1] == 20
        assert [read_barcode(frame) for frame in frames] == [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]
    # in training the pass stops early, but a count that is too high is still found out
    monkeypatch.setattr("vidsemi.media.video._count_packets", lambda *_: 50)
    frames = read_video(str(file), lambda n: np.array([n - 1]), size=(24, 32), to_the_end=False)
    assert read_barcode(frames[0]) == 19


def test_trim_counts_frames_from_its_start(make_video: Callable[..., Path]):
    file = make_video("a.mp4", frames=40, rate=10)
    frames = read_video(str(file), all_frames, size=(24, 32), start=1.0, end=2.5)
    assert [read_barcode(frame) for frame in frames] == list(range(10, 25))
    row = Row(0, str(file), start=3.5)
    assert [read_barcode(frame) for frame in read_frames(row, all_frames, size=(24, 32))] == list(range(35, 40))
    with pytest.raises(DecodeError, match="no frame lies in the trim"):
        read_video(str(file), all_frames, start=10.0, end=12.0)


def test_tar_members_are_read_by_offset(make_video: Callable[..., Path], tmp_path: Path):
    file = make_video("a.mp4", frames=9)
    content = file.read_bytes()
    (tmp_path / "shard.tar").write_bytes(b"x" * 512 + content + b"y" * 100)
    row = Row(0, str(tmp_path / "shard.tar"), member="a.mp4", offset=512, size=len(content))
    assert [read_barcode(frame) for frame in read_frames(row, all_frames, size=(24, 32))] == list(range(9))
    with pytest.raises(DecodeError, match="ends before byte"):
        read_frames(Row(0, row.path, member="a.mp4", offset=512, size=10**6), all_frames, size=(24, 32))


def test_an_image_is_a_video_of_one_frame(tmp_path: Path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    frames = read_frames(Row(0, str(tmp_path / "a.png")), lambda n: view_indices(n, 3, 1, 1)[0], size=(30, 40))
    assert frames.shape == (3, 30, 40, 3)
    assert all(np.array_equal(frame, pixels) for frame in frames)


@pytest.mark.parametrize("name", ["empty.mp4", "random.mp4", "missing.mp4", "text.png", "folder.mp4"])
def test_what_is_no_video_is_a_decode_error(tmp_path: Path, name: str):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "random.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(DecodeError) as caught:
        read_frames(Row(0, str(tmp_path / name)), all_frames, size=(8, 8))
    assert caught.value.path == str(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_playlist_does_not_lead_elsewhere(make_video: Callable[..., Path], tmp_path: Path):
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


def test_a_codec_that_is_not_known_is_a_decode_error(make_video: Callable[..., Path]):
    file = make_video("a.mp4")
    content = file.read_bytes()
    place = content.rindex(b"avc1")
    file.write_bytes(content[:place] + b"zzzz" + content[place + 4 :])
    with pytest.raises(DecodeError, match="codec"):
        read_video(str(file), all_frames)


def test_flipped_bytes_are_read_or_refused(make_video: Callable[..., Path], tmp_path: Path):
    content = make_video("a.mp4").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        spoilt = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            spoilt[place] = rng.integers(256)
        (tmp_path / "b.mp4").write_bytes(
            spoilt[: int(rng.integers(1, len(content) + 1))] if rng.random() < 0.3 else spoilt
        )
        try:
            frames = read_video(str(tmp_path / "b.mp4"), lambda n: view_indices(n, 2, 1, 2).reshape(-1), size=(8, 8))
        except DecodeError:
            continue
        assert frames.shape == (4, 8, 8, 3)


def reference(file: Path, height: int, width: int) -> np.ndarray:
    """A plain forward decode."""
    with av.open(str(file), metadata_errors="replace") as container:
        return np.stack(
            [
                frame.reformat(width=width, height=height, format="rgb24", interpolation="BILINEAR").to_ndarray()
                for frame in container.decode(container.streams.best("video"))
            ]
        )


def test_real_clips_equal_a_forward_decode(real_data: Path):
    files = sorted((real_data / "clips").glob("*.*"))
    assert len(files) > 10
    for file in files:
        expected = reference(file, 32, 43)
        wanted = view_indices(len(expected), 8, 1, 10).reshape(-1)
        frames = read_video(str(file), lambda n: view_indices(n, 8, 1, 10).reshape(-1), size=(32, 43))
        assert np.array_equal(frames, expected[wanted]), file.name


def test_odd_real_files_are_read_or_refused(real_data: Path):
    read = refused = 0
    for file in sorted((real_data / "odd").rglob("*.*")):
        try:
            frames = read_frames(Row(0, str(file)), lambda n: view_indices(n, 4, 1, 2).reshape(-1), size=(16, 16))
        except DecodeError:
            refused += 1
        else:
            read += 1
            assert frames.shape == (8, 16, 16, 3)
    assert read > 25
    assert refused > 10


def test_rotation_is_applied(real_data: Path):
    pytest.importorskip("torch")  # decord can hang if it is imported first
    decord = pytest.importorskip("decord")  # it turns frames upright itself, so it is an independent reference here
    for degrees, shape in {0: (320, 568), 90: (568, 320), 180: (320, 568), 270: (568, 320)}.items():
        file = str(real_data / f"odd/decord/video_{degrees}.mov")
        frame = read_video(file, lambda n: np.array([0]))[0]
        expected = decord.VideoReader(file)[0].asnumpy()
        assert frame.shape[:2] == expected.shape[:2] == shape
        assert abs(frame.astype(int) - expected).mean() < 3
