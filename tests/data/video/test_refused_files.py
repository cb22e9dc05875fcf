"""Files that are not videos, or would take too much memory, are refused early, with a reason that names them."""

import base64
import gc
import gzip
import io
import os
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers.videos import barcode_frame, full_decode, write_video
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.data.verify import describe
from vidsemi.data.video import container as containers
from vidsemi.data.video import limits
from vidsemi.io.errors import DecodeError

WEB_PAGE = b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n"


def refusal(row: Row) -> DecodeError:
    """The error of a row, the same whether it is scored, trained on or verified."""
    errors = []
    for read in (
        describe,
        lambda row: read_frames(row, lambda n: np.arange(1), size=(24, 32)),
        lambda row: read_frames(row, lambda n: np.arange(1), size=(24, 32), exact=False),
        lambda row: read_frames(row, lambda n: np.arange(1), size=(24, 32), decoder="decord"),
    ):
        with pytest.raises(DecodeError) as caught:
            read(row)
        errors.append(caught.value)
    assert len({(error.code, error.reason) for error in errors}) == 1
    return errors[0]


@pytest.mark.parametrize(
    ("content", "code", "word"),
    [
        (b"", "video.empty", "empty"),
        (bytes(20_000), "video.wrong_type", "zeros"),
        (WEB_PAGE, "video.wrong_type", "a web page"),
        (gzip.compress(WEB_PAGE), "video.wrong_type", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "video.wrong_type", "git lfs pull"),
        (b"#EXTM3U\n#EXTINF:9,\na.ts\n#EXT-X-ENDLIST\n", "video.wrong_type", "a playlist"),
        (b"ID3\4\0\0\0\0\0\0\xff\xfb\x90\x64" + bytes(2000), "video.wrong_type", "MP3"),
        (np.random.default_rng(0).bytes(3000), "video.wrong_type", "unknown data"),
        (b"RIFF\xff\xff\0\0AVI LIST\xff\xff", "video.unreadable", "AVI"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("in_tar", [False, True])
def test_what_is_not_a_video_is_called_what_it_is(tmp_path: Path, content: bytes, code: str, word: str, in_tar: bool):
    file = tmp_path / "a.mp4"
    if in_tar and content:
        file.write_bytes(b"before" + content + WEB_PAGE)
        row = Row(0, str(file), member="a.mp4", offset=6, size=len(content))
    else:
        file.write_bytes(content)
        row = Row(0, str(file))
    error = refusal(row)
    assert error.code == code
    assert word in error.reason


@pytest.mark.parametrize(
    "suffix", [".264", ".avc", ".dv", ".gif", ".h264", ".m4v", ".mpg", ".mxf", ".ts", ".vob", ".webm"]
)
@pytest.mark.parametrize(("content", "code"), [(b"", "video.empty"), (bytes(5000), "video.wrong_type")])
def test_a_suffix_does_not_make_a_file_a_video(tmp_path: Path, suffix: str, content: bytes, code: str):
    """For some suffixes FFmpeg opens anything."""
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert refusal(Row(0, str(tmp_path / f"a{suffix}"))).code == code


def test_an_empty_member_of_a_tar(tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(bytes(2048))
    assert refusal(Row(0, str(tmp_path / "a.tar"), member="a.mp4", offset=512, size=0)).code == "member.empty"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "AVIF", "BMP"])
def test_a_picture_under_the_name_of_a_video(tmp_path: Path, form: str):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.mp4", form)
    error = refusal(Row(0, str(tmp_path / "a.mp4")))
    assert error.code == "video.wrong_type"
    assert f"a picture ({form})" in error.reason


def test_an_mp4_without_its_index(make_video: Callable[..., Path]):
    file = make_video("a.mp4")
    content = file.read_bytes()
    file.write_bytes(content[: content.index(b"moov") - 4])
    error = refusal(Row(0, str(file)))
    assert error.code == "video.truncated"
    assert "moov" in error.reason
    file.write_bytes(b"\0\0\0\1mdat" + b"\xff" * 8 + content[:-100])  # of 2^64 bytes
    assert refusal(Row(0, str(file))).code == "video.truncated"
    file.write_bytes(content[: content.index(b"moov") + 60])
    assert "truncated" in refusal(Row(0, str(file))).reason


def test_only_files_are_opened(tmp_path: Path):
    """To open a pipe, or to read a device, may take forever."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("pipe.mp4", "device.mp4", "folder.mp4"):
        assert refusal(Row(0, str(tmp_path / name))).code == "file.not_a_file"
        with pytest.raises(DecodeError) as caught:
            read_frames(Row(0, str((tmp_path / name).rename(tmp_path / f"{name}.png"))), np.arange, size=8)
        assert caught.value.code == "file.not_a_file"


def cover_picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(content, "JPEG")
    return content.getvalue()


def write_music(file: Path, *, moving: bool) -> Path:
    """Sound with a cover picture, perhaps with a video of 20 frames too, as music downloads are."""
    with av.open(str(file), "w", format={".m4a": "mp4"}.get(file.suffix)) as container:
        sound = container.add_stream("libopus" if file.suffix == ".ogg" else "aac", rate=48000)
        if moving:
            video = container.add_stream("libx264", rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if file.suffix == ".mkv":
            container.add_attachment("cover.jpg", "image/jpeg", cover_picture())
        elif file.suffix == ".ogg":
            text = b"image/jpeg"
            numbers = struct.pack(">IIIII", 64, 48, 24, 0, len(cover_picture()))
            block = struct.pack(">II", 3, len(text)) + text + struct.pack(">I", 0) + numbers + cover_picture()
            sound.metadata["METADATA_BLOCK_PICTURE"] = base64.b64encode(block).decode()
        else:
            cover = container.add_mux_stream("mjpeg", width=64, height=48)
            cover.disposition = av.stream.Disposition.attached_pic
        for number in range(20 if moving else 0):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        if moving:
            container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format="s16", layout="mono")
        frame.rate, frame.pts = 48000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        if file.suffix not in (".mkv", ".ogg"):
            packet = av.Packet(cover_picture())
            packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 90000)
            packet.is_keyframe = True
            container.mux(packet)
    return file


@pytest.mark.parametrize("suffix", [".mp4", ".m4a", ".mkv", ".ogg"])
def test_sound_with_a_cover_picture_is_not_a_video(tmp_path: Path, suffix: str):
    file = write_music(tmp_path / f"a{suffix}", moving=False)
    with av.open(str(file)) as container:
        assert len(container.streams.video) == 1
    error = refusal(Row(0, str(file.rename(tmp_path / "music.mp4"))))
    assert error.code == "video.no_stream"
    assert "cover" in error.reason


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_cover_picture_of_a_video_is_not_read(tmp_path: Path, suffix: str):
    info = describe(Row(0, str(write_music(tmp_path / f"a{suffix}", moving=True))))
    assert (info.frames, info.codec) == (20, "h264")


def test_sound_alone_in_a_container_of_videos(tmp_path: Path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        frame.rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    error = refusal(Row(0, str(tmp_path / "a.mp4")))
    assert error.code == "video.no_stream"
    assert "only sound" in error.reason


KINDS = {
    "a.mp4": {},
    "a.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "a.webm": {"codec": "libvpx-vp9"},
    "b.webm": {"codec": "libvpx"},
    "a.avi": {"codec": "mpeg4", "bf": 0},
    "b.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "bf": 0},
    "a.ts": {},
    "a.mpg": {"codec": "mpeg2video", "rate": 25},
    "a.flv": {},
    "b.flv": {"codec": "flv", "bf": 0},
    "a.wmv": {"codec": "wmv2", "bf": 0},
    "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "a.apng": {"codec": "apng", "pix_fmt": "rgb24"},
    "a.mov": {"codec": "prores", "pix_fmt": "yuv422p10le"},
    "b.mkv": {"codec": "ffv1"},
    "c.mkv": {"codec": "rawvideo"},
    "c.mp4": {"codec": "libsvtav1", "bf": 0},
}


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set another limit of pixels."""

    def change(pixels: int) -> None:
        monkeypatch.setattr(limits, "MAX_PIXELS", pixels)
        options = {"max_pixels": str(pixels)}
        monkeypatch.setattr(containers, "DECODER_OPTIONS", options)
        monkeypatch.setattr(containers, "OPTIONS", {**containers.OPTIONS, **options})

    return change


@pytest.mark.parametrize("name", KINDS)
def test_the_limit_of_pixels_holds_for_every_container_and_codec(
    tmp_path: Path, limit: Callable[[int], None], name: str
):
    file = write_video(tmp_path / name, 8, size=(240, 320), **KINDS[name])
    limit(2 * 240 * 320)  # decoders of small frames allocate more than that
    assert describe(Row(0, str(file))).frames == 8
    limit(240 * 320 - 1)
    assert refusal(Row(0, str(file))).code == "video.too_large"


def write_growing(file: Path, codec: str, pixels: str, sizes: Sequence[tuple[int, int]]) -> Path:
    """Write a video with ten frames of each size, of a new encoder in the same stream."""
    with av.open(str(file), "w") as container:
        for part, (height, width) in enumerate(sizes):
            if part == 0:
                stream = container.add_stream(codec, rate=25)
                encoder = stream.codec_context
            else:
                encoder = av.CodecContext.create(codec, "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, pixels, Fraction(1, 25)
            encoder.gop_size, encoder.max_b_frames = 5, 0
            packets = []
            for number in range(10 * part, 10 * part + 10):
                frame = av.VideoFrame.from_ndarray(barcode_frame(number, height, width), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in [*packets, *encoder.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    return file


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "mjpeg"), ("a.mkv", "libvpx-vp9"), ("a.ts", "libx264"), ("a.ts", "mpeg2video")],
)
def test_the_limit_holds_where_a_stream_changes_its_size(
    tmp_path: Path, limit: Callable[[int], None], name: str, codec: str
):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    file = write_growing(tmp_path / name, codec, pixels, [(240, 320), (480, 640)])
    expected = full_decode(file, (24, 32))
    assert len(expected) in (19, 20)  # libavformat's muxer of transport streams drops one
    assert np.array_equal(read_frames(Row(0, str(file)), np.arange, size=(24, 32)), expected)
    limit(2 * 240 * 320)
    for read in (describe, lambda row: read_frames(row, np.arange, size=(24, 32))):
        with pytest.raises(DecodeError) as caught:
            read(Row(0, str(file)))
        assert caught.value.code == "video.too_large"


def test_a_gif_that_announces_a_huge_canvas(tmp_path: Path):
    content = b"GIF89a" + struct.pack("<HHBBB", 16_000, 16_000, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    for number in range(2):
        content += b"\x21\xf9\x04\x04\x0a\0\0\0\x2c" + struct.pack("<HHHHB", number, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    (tmp_path / "a.gif").write_bytes(content + b"\x3b")
    error = refusal(Row(0, str(tmp_path / "a.gif")))
    assert error.code == "video.too_large"
    assert "16000 × 16000" in error.reason


def test_frames_with_more_bits_may_have_fewer_pixels(make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_BYTES", 48 * 64 * 2)
    options = {"codec": "ffv1", "frames": 5, "bf": 0}
    assert describe(Row(0, str(make_video("a.mkv", pix_fmt="yuv420p", **options)))).frames == 5  # 12 bits a pixel
    error = refusal(Row(0, str(make_video("b.mkv", pix_fmt="yuv444p16le", **options))))
    assert error.code == "video.too_large"
    assert "48 bits" in error.reason


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])  # decoded selectively and sequentially
def test_a_decoder_of_large_frames_may_keep_only_so_many(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, codec: str, exact: bool
):
    memory = iter(range(0, 1 << 40, 100 << 20))  # 100 MiB for each packet
    monkeypatch.setattr(limits, "resident_bytes", lambda: next(memory))
    file = make_video("a.mp4", codec=codec, frames=30)
    row = Row(0, str(file))
    assert len(read_frames(row, np.arange, size=(24, 32), exact=exact)) == 30
    monkeypatch.setattr(limits, "LARGE", 0)
    assert len(read_frames(row, lambda n: np.arange(6), size=(24, 32), exact=False)) == 6
    with pytest.raises(DecodeError) as caught:
        read_frames(row, np.arange, size=(24, 32), exact=exact)
    assert caught.value.code == "video.too_large"
    assert "keeps more than" in caught.value.reason


def test_damage_is_not_taken_for_a_disk_that_is_away(make_video: Callable[..., Path], tmp_path: Path):
    """FFmpeg calls some damage "Operation not permitted" or "Input/output error"."""
    file = tmp_path / "a.mp4"
    file.write_bytes(b"\0")
    for error, code in ((av.error.PermissionError, "video.unreadable"), (PermissionError, "file.unreadable")):
        with pytest.raises(DecodeError) as caught, containers.decode_errors(str(file)):
            raise error(1, "Operation not permitted")
        assert caught.value.code == code
        assert "Operation not permitted" in caught.value.reason
    file.unlink()
    with pytest.raises(DecodeError) as caught, containers.decode_errors(str(file)):
        raise av.error.OSError(5, "Input/output error")
    assert caught.value.code == "file.unreadable"


def test_large_frames_do_not_wait_for_the_garbage_collector(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    """In PyAV, a frame whose display matrix was looked at is part of a cycle."""
    monkeypatch.setattr(limits, "BULKY", 0)
    row = Row(0, str(make_video("a.mp4")))
    gc.collect()
    gc.disable()
    try:
        for _ in range(6):
            describe(row)
            read_frames(row, lambda n: np.arange(3), size=(24, 32))
        left = sum(type(each) is av.VideoFrame for each in gc.get_objects())  # isinstance would wake lazy modules
    finally:
        gc.enable()
    assert left <= 3
