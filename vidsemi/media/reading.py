"""A manifest row → frames. The only place that asks whether an example is a video or an image."""

import os
from pathlib import PurePosixPath

import numpy as np

from vidsemi.corpus.formats import IMAGE_SUFFIXES
from vidsemi.corpus.manifest import Row
from vidsemi.errors import DecodeError
from vidsemi.media.image import read_image
from vidsemi.media.video import ChooseFrames, read_video


def read_frames(row: Row, choose: ChooseFrames, *, size: tuple[int, int], to_the_end: bool = True) -> np.ndarray:
    """The chosen frames of an example, (len(choose(n)), height, width, 3) uint8 RGB; arguments as in `read_video`.

    An image has n = 1 frame, so a clip of it is the image standing still.

    Raises:
        DecodeError: the example cannot be read, whatever the library or the reason.
    """
    path = _local(row.path)
    data = None if row.member is None else _member(path, row)
    if PurePosixPath(row.member or row.path).suffix.lower() in IMAGE_SUFFIXES:
        return read_image(path, size=size, data=data)[choose(1)]
    return read_video(path, choose, size=size, start=row.start, end=row.end, to_the_end=to_the_end, data=data)


def _local(path: str) -> str:
    """A URI as a local file, through iopath; local paths as they are."""
    if "://" not in path:
        return path
    from iopath.common.file_io import HTTPURLHandler, PathManager

    manager = PathManager()
    manager.register_handler(HTTPURLHandler())
    try:
        return manager.get_local_path(path)
    except Exception as error:  # handlers raise whatever their transport raises
        raise DecodeError(path, str(error)) from None


def _member(path: str, row: Row) -> bytes:
    """The bytes of a file inside an uncompressed tar."""
    if row.offset is None or row.size is None:
        raise DecodeError(path, f"the manifest gives no offset and size for the member {row.member}")
    try:
        if row.offset < 0 or row.size <= 0 or row.offset + row.size > os.path.getsize(path):
            raise DecodeError(path, f"ends before byte {row.offset} + {row.size}, where the member {row.member} should")
        with open(path, "rb") as file:
            file.seek(row.offset)
            return file.read(row.size)
    except OSError as error:
        raise DecodeError(path, str(error)) from None
