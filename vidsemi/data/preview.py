"""A small looping picture of an example, for a page: animated WebP of a video, still WebP of an image.

WebP since every browser shows it, hundreds of times on a page, and Pillow always writes it: 12 frames of real clips fit
15 kB at a quality of 12 to 25. Animated AVIF is smaller, but Pillow may lack its encoder.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from vidsemi.data.clip_sampling import clip_indices, span
from vidsemi.data.image import loaded, upright
from vidsemi.data.manifest import Row
from vidsemi.data.read import is_image, locate, read_frames
from vidsemi.data.video.container import decode_errors, open_video, read_bytes
from vidsemi.io.download import is_address
from vidsemi.io.errors import DecodeError

VERSION = 1  # of what a preview looks like; previews of other versions are made again
HEIGHT, MAX_WIDTH = 112, 224  # pixels
FRAMES, RATE = 12, 6.0  # frames of a preview, and per second: two seconds from the middle of the video
MAX_BYTES = 15_000
QUALITIES = (50, 25, 12, 5)  # of WebP, tried in this order
HEIGHTS = (HEIGHT, 80, 56, 40, 28)  # then with smaller frames, of the last quality; the last one is always small enough
FALLBACK_RATE = 25.0  # frames per second of a video whose container does not tell
FASTEST = 240.0  # frames per second; more is damage


def preview_key(row: Row) -> str:
    """A name for the preview of an example, which changes with the file, its trim or the look of previews.

    The file is told by its size and time of change, not by its content: to read it would take as long as the preview.

    Raises:
        DecodeError: the file is missing.
    """
    known: dict[str, Any] = {**asdict(row), "example_id": None, "version": VERSION}
    if not is_address(row.path):
        try:
            status = os.stat(row.path)
        except (OSError, ValueError) as error:
            reason = error if isinstance(error, OSError) else OSError(str(error))
            raise DecodeError.from_os_error(row.path, reason) from None
        known["file"] = [status.st_size, status.st_mtime_ns]
    return hashlib.sha256(repr(sorted(known.items())).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def make_preview(row: Row) -> bytes:
    """The preview of an example, WebP of at most `MAX_BYTES`; raises a `DecodeError` if it cannot be read.

    The same file gives the same bytes with the same version of Pillow.
    """
    from PIL import Image

    if is_image(row):
        source = locate(row)
        with loaded(source.path, read_bytes(source)) as stored:
            return _encoded([upright(source.path, stored)], 0)
    rate, step = _frame_rate(row), 1

    def choose(n: int) -> np.ndarray:
        nonlocal step
        step = max(min(round(rate / RATE), n // FRAMES), 1)  # a short video shows more of its frames
        length = min(FRAMES, n)
        return clip_indices((n - span(length, step)) // 2, length, step, n)

    frames = read_frames(row, choose, size=HEIGHT, exact=False)
    return _encoded([Image.fromarray(frame.transpose(1, 2, 0)) for frame in frames], round(1000 * step / rate))


def _frame_rate(row: Row) -> float:
    """Frames per second, as the container or the manifest says."""
    rate: float | None
    if row.is_frame_folder:
        rate = row.frames_per_second
    else:
        source = locate(row)
        with decode_errors(source.path), open_video(source) as (_, stream):
            rate = float(stream.average_rate) if stream.average_rate else None
    return rate if rate is not None and 0 < rate <= FASTEST else FALLBACK_RATE


def _encoded(images: Sequence[Any], milliseconds: int) -> bytes:
    """WebP that loops forever, in the best quality and size that fits `MAX_BYTES`."""
    for height, qualities in [(HEIGHTS[0], QUALITIES), *((height, QUALITIES[-1:]) for height in HEIGHTS[1:])]:
        small = [_resized(image, height) for image in images]
        for quality in qualities:
            buffer = io.BytesIO()
            more = {"save_all": True, "append_images": small[1:], "duration": milliseconds, "loop": 0}
            small[0].save(buffer, "WEBP", quality=quality, method=4, **(more if len(small) > 1 else {}))
            if buffer.tell() <= MAX_BYTES:
                return buffer.getvalue()
    raise AssertionError(f"{len(images)} frames of {small[0].size} pixels do not fit {MAX_BYTES} bytes")


def _resized(image: Any, height: int) -> Any:
    """An image of at most this height, and at most twice as wide; its shape stays."""
    from PIL import Image

    factor = min(height / image.height, height * MAX_WIDTH / HEIGHT / image.width)
    size = max(round(image.width * factor), 1), max(round(image.height * factor), 1)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
