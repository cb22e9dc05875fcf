"""What duplicates are known by: a hash of a file's bytes, and perceptual hashes of how a few of its frames look.

Imported late: imagehash and scipy take a third of a second.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache

import imagehash
import numpy as np
import scipy.fftpack  # noqa: F401  imagehash would import it in every process that reads
from PIL import Image

from vidsemi.data.dedup.duplicates import FRAMES
from vidsemi.data.manifest import Row
from vidsemi.data.read import is_image, locate, read_frames
from vidsemi.data.video.container import Source
from vidsemi.io.errors import DecodeError

SIDE = 32  # pixels of the square that `imagehash.phash` looks at
FLAT = 3.0  # standard deviation of grey levels (0 to 255) below which there is nothing to see but the coding's noise
FEWEST_BITS = 16  # set; a hash sets 32, those above the median, but where most frequencies are missing, as in stripes
CONTENT_BYTES = 16  # of SHA-256: two of 1e12 files have the same with probability 1e-15
METHOD = f"SHA-256; phash of imagehash, 64 bits, of {FRAMES} frames a video"


@dataclass(frozen=True)
class FileHashes:
    """The hashes of an example.

    Attributes:
        content: first bytes of the SHA-256 of its file, or of the member of its tar.
        frames: perceptual hashes, one of an image and `FRAMES` of a video; 0 of a frame with next to nothing in it.
            Empty if it does not decode.
        error: why it does not decode; None if it does.
    """

    content: bytes
    frames: tuple[int, ...]
    error: str | None = None


def hash_file(row: Row) -> FileHashes:
    """The hashes of an example; of a trimmed video the content is the whole file's, the frames are those of the trim.

    Raises:
        DecodeError: its bytes cannot be read.
    """
    source = locate(row)
    try:
        state = os.stat(source.path)
    except OSError as error:
        raise DecodeError.from_os_error(source.path, error) from None
    content = _content(source, state.st_size, state.st_mtime_ns)
    try:
        frames = read_frames(row, _only if is_image(row) else _spread, size=(SIDE, SIDE))
    except DecodeError as error:
        return FileHashes(content, (), error.reason)
    return FileHashes(content, tuple(perceptual_hash(frame) for frame in frames))


def perceptual_hash(frame: np.ndarray) -> int:
    """64 bits that stay much the same when a frame is coded again or scaled: signs of its 8 × 8 lowest frequencies.

    Args:
        frame: (3, 32, 32) uint8.

    Returns:
        The hash; 0, which no other frame has, if there is next to nothing in it.
    """
    image = Image.fromarray(frame.transpose(1, 2, 0)).convert("L")
    bits = imagehash.phash(image).hash
    if np.asarray(image).std() < FLAT or bits.sum() < FEWEST_BITS:
        return 0
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _spread(n: int) -> np.ndarray:
    """The middles of `FRAMES` equal parts of a video."""
    return (2 * np.arange(FRAMES) + 1) * n // (2 * FRAMES)


def _only(n: int) -> np.ndarray:
    return np.zeros(1, np.int64)


@lru_cache(maxsize=1000)  # the parts of a long video are rows of their own; its bytes are read once by each process
def _content(source: Source, size: int, time: int) -> bytes:
    """The hash of a source's bytes; size and time of its file say whether it is still the same."""
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
