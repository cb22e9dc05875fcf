"""Damaged videos: read as scoring, training and `--verify` do, and compared with a decode of the whole file."""

import os
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import numpy as np

from tools.fuzz.engine import Fault, Subject
from vidsemi.data.clip_sampling import random_clip_indices, view_indices
from vidsemi.data.manifest import Row
from vidsemi.data.read import is_image, read_frames
from vidsemi.data.verify import FileInfo, describe
from vidsemi.data.video.container import Source, open_video
from vidsemi.data.video.frame_buffer import FrameBuffer
from vidsemi.data.video.picture import Picture
from vidsemi.data.video.sequential import decoded_frames
from vidsemi.io.errors import DecodeError

SIZE = (32, 43)
QUIET = {"x265-params": "log-level=none"}

# Container, encoder, pixel format, frames, B-frames in a row.
KINDS = (
    ("mp4", "libx264", "yuv420p", 24, 2),
    ("mkv", "libx265", "yuv420p", 24, 2),
    ("webm", "libvpx-vp9", "yuv420p", 24, 0),
    ("avi", "mpeg4", "yuv420p", 24, 0),
    ("ts", "libx264", "yuv420p", 24, 2),
    ("mpg", "mpeg2video", "yuv420p", 24, 2),
    ("flv", "flv1", "yuv420p", 24, 0),
    ("wmv", "wmv2", "yuv420p", 24, 0),
    ("mov", "mjpeg", "yuvj420p", 16, 0),
    ("gif", "gif", "rgb8", 16, 0),
    ("apng", "apng", "rgb24", 10, 0),
    ("mp4", "libsvtav1", "yuv420p", 16, 0),
    ("webm", "libvpx", "yuv420p", 24, 0),
    ("mkv", "ffv1", "yuv420p", 10, 0),
    ("avi", "huffyuv", "yuv422p", 10, 0),
    ("avi", "libx264", "yuv420p", 24, 2),
    ("mkv", "mpeg4", "yuv420p", 24, 2),
    ("mov", "prores", "yuv422p10le", 10, 0),
    ("3gp", "h263", "yuv420p", 16, 0),
    ("rm", "rv20", "yuv420p", 16, 0),
    ("mxf", "mpeg2video", "yuv420p", 16, 0),
)


def make(folder: Path) -> list[Path]:
    """Write a small video of each kind."""
    os.environ.setdefault("SVT_LOG", "0")
    files = [_write(folder / f"{codec}.{suffix}", codec, *rest) for suffix, codec, *rest in KINDS]
    if hasattr(os, "sched_setscheduler"):  # for root, SVT-AV1 makes the calling thread a real-time one
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return files


def _write(file: Path, codec: str, pixels: str, frames: int, b_frames: int) -> Path:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (96, 128, 3), np.uint8)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=25, options=QUIET)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 128, 96, pixels
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 10, b_frames
        for number in range(frames):
            moved = np.roll(picture, 3 * number, axis=1) // 16 * 16
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def read(file: Path, good: Path) -> str:
    """Read a damaged file in every way; a `Fault` if they contradict one another.

    Codecs have no checksums: damage may show as other pixels that no decoder calls corrupt. But all ways to read a file
    must give the frames of a decode of the whole file.
    """
    row = Row(0, str(file))
    views, info = _read_or_refuse(row)
    if is_image(row):
        return "read"
    rng = np.random.default_rng(0)
    read_frames(row, lambda n: random_clip_indices(n, 4, 2, rng), size=SIZE, exact=False)
    with suppress(DecodeError):  # there may be no frame in it
        read_frames(replace(row, start=0.3, end=0.9), _views, size=SIZE)
    whole = _whole_decode(Source(str(file)), _views(info.frames))
    expected, count = _intact(good)
    if info.damaged:  # how it is concealed may differ each time, since it depends on what is left in memory
        return "read, damage reported" + (", frames intact" if np.array_equal(views, expected) else "")
    if not np.array_equal(views, whole):
        # HEVC, VP8 and MJPEG leave the rest of a damaged picture as it was in memory: other decodes give other pixels
        wanted = _views(info.frames)
        again = [_whole_decode(Source(str(file)), wanted, keep=keep) for keep in (True, False)]
        _whole_decode(Source(str(good)), _views(count))
        again += [_whole_decode(Source(str(file)), wanted), read_frames(row, _views, size=SIZE)]
        if all(np.array_equal(whole, other) for other in again[:3]) and np.array_equal(views, again[3]):
            raise Fault("other frames than those of a whole decode")
        return "read, pixels that the decoder leaves undefined, nothing reported"
    if np.array_equal(views, expected):
        return "read, frames intact"
    return f"read, {'other pixels' if info.frames == count else 'another number of frames'}, nothing reported"


@cache
def _intact(good: Path) -> tuple[np.ndarray, int]:
    """The views of a good file, and its number of frames."""
    row = Row(0, str(good))
    return read_frames(row, _views, size=SIZE), describe(row).frames


def _read_or_refuse(row: Row) -> tuple[np.ndarray, FileInfo]:
    """The views of a file and its description, which `--verify` must refuse or read as scoring does."""
    try:
        views = read_frames(row, _views, size=SIZE)
    except DecodeError as error:
        try:
            describe(row)
        except DecodeError:
            raise error from None
        raise Fault(f"only scoring refuses it ({error.code}: {error.reason})") from None
    try:
        return views, describe(row)
    except DecodeError as error:
        raise Fault(f"only --verify refuses it ({error.code}: {error.reason})") from None


def _whole_decode(source: Source, wanted: np.ndarray, *, keep: bool = False) -> np.ndarray:
    """The wanted frames, after a decode of all of them; `keep` holds the memory of all until the end."""
    kept = []
    with open_video(source) as (container, stream):
        buffer = FrameBuffer(wanted, SIZE, Picture(source, stream))
        for number, frame in enumerate(decoded_frames(source, container, stream)):
            buffer.put(number, frame)
            kept += [frame] if keep else []
    return buffer.array()


def _views(n: int) -> np.ndarray:
    return view_indices(n, 4, 1, 4).reshape(-1)


SUBJECT = Subject("videos", make, read)
