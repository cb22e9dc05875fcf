"""Open a video file safely: that file alone, one decoding thread, every library error as a `DecodeError`."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer

from vidsemi.io.errors import DecodeError

# Supported containers. Not playlists and lists of files (hls, concat, dash, …), which name other files.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,rm,mxf,gif,apng,h264,hevc,av1,ivf,yuv4mpegpipe,nut,dv,wtv"
)
# `subfile` is a range of a local file: a member of a tar.
OPTIONS = {"protocol_whitelist": "file,subfile", "format_whitelist": FORMATS}
MAX_BYTES = 2**29  # 512 MiB, of a file that is read as a whole, as images are


@dataclass(frozen=True)
class Source:
    """The bytes of a media file: a local file, or a range of one, such as a member of a tar."""

    path: str
    offset: int | None = None  # first byte; None for the whole file
    size: int | None = None  # number of bytes

    @property
    def url(self) -> str:
        """FFmpeg's URL of the source; `file:` keeps it from taking a path such as `concat:a` for a protocol."""
        if self.offset is None or self.size is None:
            return f"file:{self.path}"
        return f"subfile,,start,{self.offset},end,{self.offset + self.size},,:file:{self.path}"


def read_bytes(source: Source, first: int | None = None) -> bytes:
    """The first bytes of a source, or all of them; a `DecodeError` if it cannot be read or is too large."""
    try:
        with open(source.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size if source.size is None else source.size
            wanted = size if first is None else min(first, size)
            if wanted > MAX_BYTES:
                reason = f"file of {wanted} bytes; the limit for images is {MAX_BYTES}"
                raise DecodeError("image.too_large", source.path, reason)
            file.seek(source.offset or 0)
            return file.read(wanted)
    except OSError as error:
        raise DecodeError.from_os_error(source.path, error) from None


@contextmanager
def open_video(source: Source) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """Open a file and its default video stream, with one decoding thread. No other file is ever opened.

    Raises:
        DecodeError: it has no video stream, or one of an unknown codec.
        av.FFmpegError: it cannot be opened (`decode_errors` converts it to a `DecodeError`).
    """
    with av.open(source.url, "r", metadata_errors="replace", options=OPTIONS) as container:
        stream = container.streams.best("video")
        if stream is None:
            raise DecodeError("video.no_stream", source.path, "no video stream")
        if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
            raise DecodeError("video.unknown_codec", source.path, "unknown video codec")
        stream.codec_context.thread_count = 1
        yield container, stream


@contextmanager
def decode_errors(path: str) -> Iterator[None]:
    """Convert errors of the libraries and the file system to a `DecodeError` of that path."""
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, ArithmeticError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DecodeError("video.unreadable", path, re.sub(r"^\[Errno \d+\] ", "", reason)) from None


@dataclass(frozen=True)
class Trim:
    """The part of a video to use, in seconds from its beginning: frames at or after `start` and before `end`."""

    start: float | None = None
    end: float | None = None

    def __bool__(self) -> bool:
        return self.start is not None or self.end is not None

    def __str__(self) -> str:
        return f"{self.start or 0:g} s to {'its end' if self.end is None else f'{self.end:g} s'}"

    def stamps(self, stream: av.VideoStream) -> tuple[float, float]:
        """The trim in time stamps relative to the first frame's, [first, last); a missing bound is infinite."""
        return _stamp(self.start, stream, -math.inf), _stamp(self.end, stream, math.inf)

    def inside(self, times: np.ndarray, stream: av.VideoStream) -> np.ndarray:
        """Which frames lie in the trim, (n,) bool, by their time stamps relative to the first one's."""
        first, last = self.stamps(stream)
        return (first <= times) & (times < last)


def no_frames(source: Source, trim: Trim) -> DecodeError:
    """The error for a video without a frame that counts."""
    if trim:
        return DecodeError("video.empty_trim", source.path, f"no frame in the trim {trim}")
    return DecodeError("video.no_frames", source.path, "no frame can be decoded")


WHOLE = Trim()
FAR = 1e10  # seconds, three centuries; a trim there is an error
FINE, MICROSECOND = Fraction(1, 1000), Fraction(1, 1_000_000)  # seconds


def _stamp(seconds: float | None, stream: av.VideoStream, unbounded: float) -> float:
    """The smallest time stamp of frames at or after `seconds`.

    A frame just before `seconds` counts as at it: by a microsecond, for `seconds` that were computed as frame / rate;
    by one unit of a fine time base, which rounds the times of frames (Matroska has milliseconds).
    """
    if seconds is None:
        return unbounded
    if stream.time_base is None or not abs(seconds) < FAR:  # also of NaN
        raise ValueError(f"cannot be trimmed at {seconds} s")
    early = stream.time_base if stream.time_base <= FINE else MICROSECOND
    return math.floor((Fraction(seconds) - early) / stream.time_base) + 1
