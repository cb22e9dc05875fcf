"""Hash a file: its bytes, and perceptual hashes of a few of its frames.

Imported late: imagehash and scipy take a third of a second.
"""

import hashlib
import os
from dataclasses import dataclass
from typing import Any

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
MOST_DIGESTS = 1000  # to remember: several rows may be parts of one long video, whose bytes each process reads once
METHOD = f"SHA-256; phash of imagehash, 64 bits, of {FRAMES} frames a video"


_digests: dict[tuple[Any, ...], bytes] = {}


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
    source = None if row.is_frame_folder else locate(row)
    content = _content_of_folder(row) if source is None else _content_of(source)
    try:
        frames = read_frames(
            row,
            _spread_frames if not is_image(row) else lambda _: np.zeros(1, np.int64),
            size=(SIDE, SIDE),
            source=source,
        )
    except DecodeError as error:
        if error.unreachable:  # its disk went away meanwhile
            raise
        return FileHashes(content, (), error.reason)
    return FileHashes(content, tuple(perceptual_hash(frame) for frame in frames))


def _content_of_folder(row: Row) -> bytes:
    paths = frame_paths(row.path, row.frames_per_second or 0)
    files = [_content_of(locate(Row(row.example_id, path))) for path in paths]
    return hashlib.sha256(b"".join(files)).digest()[: len(files[0])]


def _content_of(source: Source) -> bytes:
    version: tuple[int, int | str]
    if source.remote is not None:
        version = source.remote.size, source.remote.version
    else:
        try:
            state = os.stat(source.path)
        except OSError as error:
            raise DecodeError.from_os_error(source.path, error) from None
        version = state.st_size, state.st_mtime_ns
    key = (source.path, source.offset, source.size, version)
    if key not in _digests:
        if len(_digests) >= MOST_DIGESTS:
            _digests.clear()
        _digests[key] = _digest(source)
    return _digests[key]


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


def _digest(source: Source) -> bytes:
    digest = hashlib.sha256()
    try:
        with source.open() as file:
            begin, end = source.limits(file)
            file.seek(begin)
            while chunk := file.read(min(1 << 20, end - begin)):
                digest.update(chunk)
                begin += len(chunk)
    except OSError as error:
        raise DecodeError.from_os_error(source.path, error) from None
    return digest.digest()[:CONTENT_BYTES]
