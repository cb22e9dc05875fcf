"""A manifest row → frames. The only place that asks whether an example is a video or an image."""

from pathlib import PurePosixPath

import numpy as np

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.formats.readers import IMAGE_SUFFIXES
from vidsemi.data.image import read_image
from vidsemi.data.manifest import Row
from vidsemi.data.sources import locate, read_bytes
from vidsemi.data.transforms import Decoder, Size
from vidsemi.data.video.backends import read_foreign
from vidsemi.data.video.container import Trim, decode_errors
from vidsemi.data.video.decode import read_video


def is_image(row: Row) -> bool:
    """Whether an example is an image, by its name."""
    return PurePosixPath(row.member or row.path).suffix.lower() in IMAGE_SUFFIXES


def read_whole_image(row: Row) -> np.ndarray:
    """All pixels of an image, (1, 3, height, width) uint8, RGB, not to be written to.

    Raises:
        DecodeError: it cannot be read.
    """
    source = locate(row)
    return read_image(source.path, read_bytes(source))


def read_frames(
    row: Row, choose: ChooseFrames, *, size: Size, exact: bool = True, decoder: Decoder = "pyav"
) -> np.ndarray:
    """The chosen frames of an example; arguments as in `read_video`.

    An image has n = 1 frame, so a clip of it is the image standing still.

    Args:
        row: the example.
        choose: frame count → frame numbers wanted.
        size: (height, width) or shorter side to scale to.
        exact: confirm the frame count by decoding.
        decoder: reads the files that it is known to get right; PyAV reads the others.

    Returns:
        (len(choose(n)), 3, height, width) uint8, RGB.

    Raises:
        DecodeError: the example cannot be read, whatever the library or the reason.
    """
    source = locate(row)
    if is_image(row):
        return read_image(source.path, read_bytes(source), size=size)[choose(1)]
    trim = Trim(row.start, row.end)
    if decoder != "pyav" and not trim:
        with decode_errors(source.path):
            frames = read_foreign(decoder, source, choose, size)
        if frames is not None:
            return frames
    return read_video(source, choose, size=size, trim=trim, exact=exact)
