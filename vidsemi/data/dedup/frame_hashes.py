"""Hash a file: its bytes, and perceptual hashes of a few of its frames.

Imported late: imagehash and scipy take a third of a second.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache

import imagehash
import numpy as np
import scipy.fftpack  # noqa: F401  imagehash would import it in every reading process
from PIL import Image

from vidsemi.data.dedup.duplicates import FRAMES
from vidsemi.data.manifest import Row
from vidsemi.data.read import is_image, locate, read_frames
from vidsemi.data.video.container import Source
from vidsemi.data.video.frame_folder import frame_paths
from vidsemi.io.errors import DecodeError

SIDE = 32  # pixels of the square that `imagehash.phash` looks at
FLAT = 3.0  # standard deviation of gray levels (0 to 255); below it there is only coding noise
FEWEST_BITS = 16  # set in a hash: normally 32, those above the median; fewer in stripes, which lack most frequencies
CONTENT_BYTES = 16  # of SHA-256; among 1e12 files two have the same with probability 1e-15
METHOD = f"SHA-256; phash of imagehash, 64 bits, of {FRAMES} frames a video"


@dataclass(frozen=True)
class FileHashes:
    """The hashes of an example."""

    content: bytes  # first bytes of the SHA-256 of the file, or of the member of a tar
    frames: tuple[int, ...]  # perceptual hashes, 1 for an image, `FRAMES` for a video; empty if it does not decode
    error: str | None = None  # why it does not decode


def hash_file(row: Row) -> FileHashes:
    """Hash an example. For a trimmed video the content is that of the whole file, the frames are those of the trim.

    Raises:
        DecodeError: its bytes cannot be read.
    """
    content = _content_of(row)
    try:
        frames = read_frames(
            row, _spread_frames if not is_image(row) else lambda _: np.zeros(1, np.int64), size=(SIDE, SIDE)
        )
    except DecodeError as error:
        if error.unreachable:  # its disk went away meanwhile
            raise
        return FileHashes(content, (), error.reason)
    return FileHashes(content, tuple(perceptual_hash(frame) for frame in frames))


def _content_of(row: Row) -> bytes:
    if row.is_frame_folder:
        paths = frame_paths(row.path, row.frames_per_second or 0)
        files = [_content_of(Row(row.example_id, path)) for path in paths]
        return hashlib.sha256(b"".join(files)).digest()[: len(files[0])]
    source = locate(row)
    try:
        state = os.stat(source.path)
    except OSError as error:
        raise DecodeError.from_os_error(source.path, error) from None
    return _content(source, state.st_size, state.st_mtime_ns)


def perceptual_hash(frame: np.ndarray) -> int:
    """64 bits that hardly change when a frame is recoded or scaled: the signs of its 8 × 8 lowest frequencies.

    The frame is (3, 32, 32) uint8. The hash is 0, which no other frame has, if it shows next to nothing.
    """
    image = Image.fromarray(frame.transpose(1, 2, 0)).convert("L")
    bits = imagehash.phash(image).hash
    if np.asarray(image).std() < FLAT or bits.sum() < FEWEST_BITS:
        return 0
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _spread_frames(n: int) -> np.ndarray:
    """The middle frames of `FRAMES` equal parts of a video."""
    return (2 * np.arange(FRAMES) + 1) * n // (2 * FRAMES)


@lru_cache(maxsize=1000)  # several rows may be parts of one long video, whose bytes each process reads once
def _content(source: Source, size: int, time: int) -> bytes:
    """Hash the bytes of a source; size and time of the file are part of the cache key."""
    digest = hashlib.sha256()
    try:
        with open(source.path, "rb") as file:
            file.seek(source.offset or 0)
            left = source.size if source.offset is not None else None
            while chunk := file.read(1 << 20 if left is None else min(1 << 20, left)):
                digest.update(chunk)
                left = None if left is None else left - len(chunk)
    except OSError as error:
        raise DecodeError.from_os_error(source.path, error) from None
    return digest.digest()[:CONTENT_BYTES]
