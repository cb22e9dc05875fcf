"""Open a video file safely: that file alone, one decoding thread, every library error as a `DecodeError`."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import av
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Disposition

from vidsemi.data.file_kind import BRANDS, GIT_LFS, HEAD, MP4, kind_of
from vidsemi.data.video.limits import DECODER_OPTIONS, LEFTOVERS, MAX_PIXELS, FrameSizeError, check_pixels
from vidsemi.io.errors import DecodeError
from vidsemi.io.store import is_remote

if TYPE_CHECKING:
    from vidsemi.io.remote_file import RemoteFile

# Supported containers. Not playlists and lists of files (hls, concat, dash, …), which name other files.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,rm,mxf,gif,apng,h264,hevc,av1,ivf,yuv4mpegpipe,nut,dv,wtv"
)
# `subfile` is a range of a local file: a member of a tar. FFmpeg also decodes while it opens a file.
OPTIONS = {"protocol_whitelist": "file,subfile", "format_whitelist": FORMATS, **DECODER_OPTIONS}
NO_DECODER = {"codec_whitelist": "none"}
LATE = (b"FLV", b"\0\0\1\xba")  # begins of files whose streams FFmpeg only finds while it decodes, without the limit
COVER = Disposition.attached_pic
STILL_BRANDS = {brand for brand, kind in BRANDS.items() if kind.family == "picture"} - {b"avis", b"hevc", b"msf1"}
MOST_BOXES = 1000  # of an MP4, to look for its index
MAX_BYTES = 2**29  # 512 MiB, of a file that is read as a whole, as images are


@dataclass(frozen=True)
class Source:
    """The bytes of a media file: a file, or a range of one, such as a member of a tar."""

    path: str
    offset: int | None = None  # first byte; None for the whole file
    size: int | None = None  # number of bytes
    remote: "RemoteFile | None" = field(default=None, compare=False)  # the file, if it is in an object store

    @property
    def url(self) -> str:
        """FFmpeg's URL of the source; `file:` keeps it from taking a path such as `concat:a` for a protocol."""
        if self.offset is None or self.size is None:
            return f"file:{self.path}"
        return f"subfile,,start,{self.offset},end,{self.offset + self.size},,:file:{self.path}"

    def open(self) -> BinaryIO:
        """Open the whole file for reading bytes."""
        return open(self.path, "rb") if self.remote is None else cast(BinaryIO, self.remote.open())

    def limits(self, file: BinaryIO) -> tuple[int, int]:
        """First byte and end of the source in its opened file."""
        begin = self.offset or 0
        return begin, file.seek(0, os.SEEK_END) if self.size is None else begin + self.size


def read_bytes(source: Source, first: int | None = None) -> bytes:
    """The first bytes of a source, or all of them; a `DecodeError` if it cannot be read or is too large."""
    try:
        with source.open() as file:
            begin, end = source.limits(file)
            wanted = end - begin if first is None else min(first, end - begin)
            if wanted > MAX_BYTES:
                reason = f"file of {wanted} bytes; the limit for images is {MAX_BYTES}"
                raise DecodeError("image.too_large", source.path, reason)
            file.seek(begin)
            return file.read(wanted)
    except OSError as error:
        raise DecodeError.from_os_error(source.path, error) from None


@contextmanager
def open_video(source: Source) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """Open a file and its default video stream, with one decoding thread. No other file is ever opened.

    Raises:
        DecodeError: it is not a video, or has no video stream or one of an unknown codec.
        FrameSizeError: its frames are too large (`decode_errors` converts it to a `DecodeError`).
    """
    LEFTOVERS.free()
    if read_bytes(source, 4).startswith(LATE):
        check_announced(source)
    with _opened(source) as container:
        stream = _video_stream(source, container)
        check_pixels(stream.codec_context)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = DECODER_OPTIONS
        stream.codec_context.flags |= Flags.unaligned  # otherwise columns that H.264 crops on the left stay
        try:
            yield container, stream
        finally:
            LEFTOVERS.note(stream.codec_context)


@contextmanager
def _opened(source: Source) -> Iterator[InputContainer]:
    with _file_of(source) as file:
        try:
            container = av.open(file, "r", metadata_errors="replace", options=OPTIONS)
        except (av.InvalidDataError, av.ArgumentError, av.EOFError) as error:
            raise _not_opened(source, error.strerror or str(error)) from None
        with container:
            yield container


@contextmanager
def _file_of(source: Source) -> Iterator[Any]:
    """What PyAV opens: a URL, or a file of an object store, whose errors FFmpeg would take for damage."""
    if source.remote is None:
        yield source.url
        return
    file = source.remote.open(source.offset or 0, source.size, source.url)  # formats are also told by the name
    try:
        yield file
    finally:
        if file.failure is not None:
            raise file.failure


def _video_stream(source: Source, container: InputContainer) -> av.VideoStream:
    """The default video stream. A cover picture of a piece of music, or of a video, is not one."""
    streams = container.streams
    stream = streams.best("video")
    if stream is not None and stream.disposition & COVER:
        moving = [other for other in streams.video if not other.disposition & COVER]
        stream = max(moving, key=lambda other: bool(other.disposition & Disposition.default), default=None)
        if stream is None:
            raise DecodeError("video.no_stream", source.path, "not a video: sound with a cover picture")
    brand = container.metadata.get("major_brand", "").encode()
    if brand in STILL_BRANDS:
        raise DecodeError("video.wrong_type", source.path, f"not a video: the file contains {BRANDS[brand]}")
    if stream is None:
        what = "not a video: only sound" if streams.audio else "no video stream"
        what += "" if len(streams) else "; the file may be truncated"
        raise DecodeError("video.no_stream", source.path, what)
    if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
        raise DecodeError("video.unknown_codec", source.path, "unknown video codec")
    return stream


def check_announced(source: Source) -> None:
    """Raise a `FrameSizeError` if the frames are over the limit by what a container says, before any is decoded."""
    with (
        suppress(av.FFmpegError),
        _file_of(source) as file,
        av.open(file, metadata_errors="replace", options=OPTIONS | NO_DECODER) as container,
    ):
        for stream in container.streams.video:
            if stream.codec_context is not None:  # of an unknown codec
                check_pixels(stream.codec_context)


def check_refused(source: Source, codec: av.VideoCodecContext) -> None:
    """Raise a `FrameSizeError` if the size of a frame is why its decoder refused it; most decoders then forget it."""
    check_pixels(codec)
    check_announced(source)
    if not codec.width:
        raise FrameSizeError(f"frames of an invalid size, or of more than {MAX_PIXELS} pixels")


def _not_opened(source: Source, reason: str) -> DecodeError:
    """Why a file cannot be opened as a video; FFmpeg only says that its data is invalid, or an argument of ours."""
    if error := _not_a_video(source):
        return error
    kind = kind_of(read_bytes(source, HEAD))
    if kind is None:
        return DecodeError("video.wrong_type", source.path, "not a video: the file begins with unknown data")
    if kind == MP4 and not _has_index(source):
        why = "its index (moov) is missing; is it still being copied or recorded?"
        return DecodeError("video.truncated", source.path, f"truncated {kind.name}: {why}")
    return DecodeError("video.unreadable", source.path, f"damaged or truncated {kind.name}: {reason}")


def _not_a_video(source: Source) -> DecodeError | None:
    """What a file is that begins as no video does; None if it may be one."""
    head = read_bytes(source, HEAD)
    if not head:
        return DecodeError("video.empty", source.path, "empty file")
    if not head.strip(b"\0"):
        return DecodeError("video.wrong_type", source.path, "not a video: the file begins with zeros")
    kind = kind_of(head)
    if kind is None or kind.family == "video" or kind.name == "GIF" or b"acTL" in head:  # an animated PNG
        return None
    todo = "; run git lfs pull" if kind == GIT_LFS else "; unpack it first" if kind.family == "archive" else ""
    return DecodeError("video.wrong_type", source.path, f"not a video: the file contains {kind}{todo}")


def _has_index(source: Source) -> bool:
    """Whether an MP4 has its index: a box `moov` on the highest level."""
    with source.open() as file:
        begin, end = source.limits(file)
        for _ in range(MOST_BOXES):
            file.seek(min(begin, end))
            head = file.read(16) if begin < end else b""
            if head[4:8] == b"moov":
                return True
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            if len(head) < 16 or size < 8:  # 0: up to the end of the file
                return False
            begin += size
    return True


@contextmanager
def decode_errors(path: str) -> Iterator[None]:
    """Convert errors of the libraries and the file system to a `DecodeError` of that path."""
    try:
        yield
    except FrameSizeError as error:
        raise DecodeError("video.too_large", path, str(error)) from None
    except (av.FFmpegError, OSError, ValueError, ArithmeticError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = re.sub(r"^\[Errno \d+\] ", "", reason)
        if isinstance(error, OSError) and not (isinstance(error, av.FFmpegError) and _can_be_read(path)):
            raise DecodeError("file.unreadable", path, reason) from None
        reason = f"damaged or truncated ({reason})" if isinstance(error, OSError) else reason
        raise DecodeError("video.unreadable", path, reason) from None


def _can_be_read(path: str) -> bool:
    """Whether a file is there. FFmpeg also has errors of the system, such as EPERM, for damage."""
    if is_remote(path):  # whose errors of reading are `DecodeError`s
        return True
    try:
        with open(path, "rb") as file:
            if hasattr(os, "posix_fadvise"):  # or the cache may answer for a disk that is gone
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.read(1)
    except OSError:
        return False
    return True


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
    check_announced(source)
    return _not_a_video(source) or DecodeError("video.no_frames", source.path, "no frame can be decoded")


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
