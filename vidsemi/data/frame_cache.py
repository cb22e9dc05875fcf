"""Decoded frames of short videos, kept in a folder, so that each video is decoded once (`runtime.frame_cache`).

Small clips cost more to open than to show a network: reading 8 of 16 frames of 32 x 32 pixels takes 2.3 ms from an MP4
and 0.3 ms from here. Entries are named by file, size of the frames and decoder; a file that has changed gets another.
"""

import hashlib
import logging
import os
import shutil
import struct
import uuid
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.input_spec import Size
from vidsemi.data.video.container import Source, Trim
from vidsemi.io.errors import UserError

logger = logging.getLogger("vidsemi")

MAX_BYTES = 64 << 20  # of a video's frames; longer videos are decoded each time
KEEP_FREE, MOST_FREE = 0.1, 5 << 30  # share of the disk that the cache leaves, and at most so many bytes
HEADER = struct.Struct("<8s3I")  # MAGIC; frames, height, width; 0 frames for a video that is too long
MAGIC = b"vsframe1"
CHECKSUM = np.dtype("<u4")  # of each frame, after the header; the frames follow


class _TooLongError(Exception):
    """The frames of a video take more than MAX_BYTES."""


@dataclass(frozen=True)
class FrameCache:
    """A cache of frames; any number of processes may share it, and it may be deleted at any time. Can be pickled."""

    folder: Path

    def read(
        self, key: str, choose: ChooseFrames, decode: Callable[[ChooseFrames], np.ndarray], size: Size
    ) -> np.ndarray | None:
        """Return the chosen frames of a video, (N, 3, height, width) uint8; None if it is too long to be kept.

        Args:
            key: of the entry (`entry_key`).
            choose: number of frames → N frame numbers.
            decode: the same as `read_video` for the frames that a function chooses, with the exact number of frames.
            size: of the frames, or their shorter side.
        """
        file = self.folder / key[:2] / key[2:]
        try:
            return _read(file, choose)
        except (OSError, ValueError):  # it is not there, or damaged
            pass

        def all_frames(count: int) -> np.ndarray:
            height, width = (size, size) if isinstance(size, int) else size
            if count * 3 * height * width > MAX_BYTES:
                raise _TooLongError
            return np.arange(count)

        try:
            frames = decode(all_frames)
        except _TooLongError:
            _write(file, np.empty((0, 3, 1, 1), np.uint8))
            return None
        _write(file, frames)
        return frames[choose(len(frames))]


def frame_cache(folder: Path | None) -> FrameCache | None:
    """Return the cache of `runtime.frame_cache`, if any; raises a `UserError` if its folder cannot be created."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("runtime.frame_cache", f"runtime.frame_cache: {folder}: {error.strerror}") from None
    if not _has_room(folder, MAX_BYTES):
        logger.warning("runtime.frame_cache: the disk of %s is almost full, so frames are not kept", folder)
    return FrameCache(folder)


def entry_key(source: Source, trim: Trim, size: Size, decoder: str) -> str:
    """Name an entry by all that its frames depend on; raises an OSError if the file is gone."""
    if source.remote is not None:
        version: tuple[object, ...] = (source.path, source.remote.version)
    else:
        status = os.stat(source.path)
        version = (os.path.abspath(source.path), status.st_size, status.st_mtime_ns)
    depends_on = (*version, source.offset, source.size, trim.start, trim.end, size, decoder)
    return hashlib.blake2b(repr(depends_on).encode(), digest_size=20).hexdigest()


def _read(file: Path, choose: ChooseFrames) -> np.ndarray | None:
    """The chosen frames of an entry; None if it says that the video is too long; a ValueError if it is damaged."""
    with open(file, "rb", buffering=0) as entry:
        head = entry.read(HEADER.size)
        if len(head) < HEADER.size:
            raise ValueError("no header")
        magic, count, height, width = HEADER.unpack(head)
        pixels = 3 * height * width
        begin = HEADER.size + CHECKSUM.itemsize * count
        if magic != MAGIC or os.fstat(entry.fileno()).st_size != begin + count * pixels:
            raise ValueError("wrong header")
        if count == 0:
            return None
        checksums = np.frombuffer(entry.read(begin - HEADER.size), CHECKSUM)
        chosen = choose(count)
        frames = np.empty((len(chosen), 3, height, width), np.uint8)
        for place, number in enumerate(chosen.tolist()):
            row = frames[place].data.cast("B")
            if os.preadv(entry.fileno(), [row], begin + number * pixels) != pixels:
                raise ValueError("too short")
            if zlib.crc32(row) != checksums[number]:
                raise ValueError("wrong checksum")
    return frames


def _write(file: Path, frames: np.ndarray) -> None:
    """Write an entry, which nobody misses if it cannot be written."""
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
    frames = np.ascontiguousarray(frames)
    checksums = np.array([zlib.crc32(frame.data.cast("B")) for frame in frames], CHECKSUM)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        if not _has_room(file.parent, frames.nbytes):
            return
        try:
            header = HEADER.pack(MAGIC, len(frames), *frames.shape[-2:])
            temporary.write_bytes(b"".join((header, checksums.tobytes(), frames.tobytes())))
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)


def _has_room(folder: Path, size: int) -> bool:
    usage = shutil.disk_usage(folder)
    return usage.free - size >= min(KEEP_FREE * usage.total, MOST_FREE)
