"""Damaged videos: read as scoring, training and `--verify` do, and compared with a plain full decode."""

import os
from pathlib import Path

import av
import numpy as np

from tools.fuzz.engine import Fault, Subject
from vidsemi.data.clip_sampling import random_clip_indices, view_indices
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.data.verify import describe
from vidsemi.io.errors import DecodeError

SIZE = (32, 43)
QUIET = {"x265-params": "log-level=none"}

# Container, encoder, pixel format, frames, B-frames in a row.
KINDS = (
    ("mp4", "libx264", "yuv420p", 40, 2),
    ("mkv", "libx265", "yuv420p", 40, 2),
    ("webm", "libvpx-vp9", "yuv420p", 40, 0),
    ("avi", "mpeg4", "yuv420p", 40, 0),
    ("ts", "libx264", "yuv420p", 40, 2),
    ("mpg", "mpeg2video", "yuv420p", 40, 2),
    ("flv", "flv1", "yuv420p", 40, 0),
    ("wmv", "wmv2", "yuv420p", 40, 0),
    ("mov", "mjpeg", "yuvj420p", 20, 0),
    ("gif", "gif", "rgb8", 20, 0),
    ("apng", "apng", "rgb24", 10, 0),
    ("mp4", "libsvtav1", "yuv420p", 20, 0),
    ("webm", "libvpx", "yuv420p", 40, 0),
    ("mkv", "ffv1", "yuv420p", 10, 0),
    ("avi", "huffyuv", "yuv422p", 10, 0),
    ("avi", "libx264", "yuv420p", 40, 2),
    ("mkv", "mpeg4", "yuv420p", 40, 2),
    ("mov", "prores", "yuv422p10le", 10, 0),
    ("3gp", "h263", "yuv420p", 20, 0),
    ("rm", "rv20", "yuv420p", 20, 0),
    ("mxf", "mpeg2video", "yuv420p", 20, 0),
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
    picture = rng.integers(0, 256, (144, 176, 3), np.uint8)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=25, options=QUIET)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 176, 144, pixels
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 10, b_frames
        for number in range(frames):
            moved = np.roll(picture, 3 * number, axis=1) // 16 * 16
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def read(file: Path, good: Path) -> str:
    """Read a damaged file in all three ways; a `Fault` if they contradict one another."""
    row = Row(0, str(file))
    rng = np.random.default_rng(0)
    try:
        info = describe(row)
    except DecodeError as error:
        refused: str | None = error.code
    else:
        refused = None
    try:
        views = read_frames(row, _views, size=SIZE)
    except DecodeError as error:
        if refused is None:
            raise Fault(f"only scoring refuses it ({error.code})") from None
        raise
    if refused is not None:
        raise Fault(f"only --verify refuses it ({refused})")
    read_frames(row, lambda n: random_clip_indices(n, 4, 2, rng), size=SIZE, exact=False)
    same = _same(views, good)
    if info.damaged:
        return "read, damage reported" + (", frames intact" if same else "")
    return "read, frames intact" if same else "read, other frames, nothing reported"


def _views(n: int) -> np.ndarray:
    return view_indices(n, 4, 1, 4).reshape(-1)


def _same(views: np.ndarray, good: Path) -> bool:
    return np.array_equal(views, read_frames(Row(0, str(good)), _views, size=SIZE))


SUBJECT = Subject("videos", make, read)
