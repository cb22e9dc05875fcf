"""A manifest row → frames: where its bytes are, and whether they are a video or an image."""

import os
import stat
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.formats.media_files import IMAGE_SUFFIXES
from vidsemi.data.frame_cache import FrameCache, entry_key
from vidsemi.data.image import read_image
from vidsemi.data.input_spec import Decoder, Size
from vidsemi.data.manifest import Row
from vidsemi.data.memory import MemoryRow
from vidsemi.data.video.backends import read_with_backend
from vidsemi.data.video.container import Source, Trim, decode_errors, read_bytes
from vidsemi.data.video.decode import read_video
from vidsemi.data.video.frame_folder import read_frame_folder, source_of
from vidsemi.io.download import AddressError, CacheError, fetch, is_address
from vidsemi.io.errors import DecodeError
from vidsemi.io.store import is_remote


def is_image(row: Row) -> bool:
    """Whether an example is an image, by its file name."""
    if isinstance(row, MemoryRow):
        return row.image
    return not row.is_frame_folder and PurePosixPath(row.member or row.path).suffix.lower() in IMAGE_SUFFIXES


def locate(row: Row) -> Source:
    """The bytes of an example: of a local file, or in an object store; another URI is first fetched into our cache.

    If it cannot be fetched, or its tar does not reach as far as the manifest says, raises a `DecodeError`.
    """
    if is_remote(row.path):
        return _locate_remote(row)
    try:
        path = fetch(row.path) if is_address(row.path) else row.path
    except CacheError as error:
        raise DecodeError("cache.not_writable", row.path, str(error)) from None
    except AddressError as error:
        code = "file.not_served" if error.answered else "file.not_downloaded"
        raise DecodeError(code, row.path, str(error)) from None
    try:
        status = os.stat(path)
    except OSError as error:
        raise DecodeError.from_os_error(path, error) from None
    except ValueError as error:  # a zero byte in the path
        raise DecodeError("file.unreadable", path, str(error)) from None
    if not stat.S_ISREG(status.st_mode):  # to open a pipe, or to read a device, may take forever
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a device or a socket"
        raise DecodeError("file.not_a_file", path, f"not a file, but {what}")
    if row.member is None:
        return Source(path)
    offset, size = _range_of_member(row, path)
    _check_member(row, path, status.st_size)
    return Source(path, offset, size)


def _locate_remote(row: Row) -> Source:
    from vidsemi.io.remote_file import RemoteFile

    if row.member is None:
        return source_of(row.path)
    offset, size = _range_of_member(row, row.path)
    remote = RemoteFile(row.path, max(offset, 0), max(size, 1))
    _check_member(row, row.path, remote.size)
    return Source(row.path, offset, size, remote)


def _range_of_member(row: Row, path: str) -> tuple[int, int]:
    if row.offset is None or row.size is None:
        raise DecodeError("member.no_offset", path, f"the manifest has no offset or size for the member {row.member}")
    if row.size == 0:
        raise DecodeError("member.empty", path, f"the member {row.member} is empty")
    return row.offset, row.size


def _check_member(row: Row, path: str, file_size: int) -> None:
    """Raise a `DecodeError` unless the file reaches as far as the manifest says."""
    offset, size = _range_of_member(row, path)
    if not (offset >= 0 and size > 0 and offset + size <= file_size):
        reason = f"the file ends before byte {offset} + {size}, the end of the member {row.member}"
        raise DecodeError("member.truncated", path, reason)


def read_frames(
    row: Row,
    choose: ChooseFrames,
    *,
    size: Size,
    exact: bool = True,
    decoder: Decoder = "pyav",
    source: Source | None = None,
    cache: FrameCache | None = None,
) -> np.ndarray:
    """Read the chosen frames of an example, (N, 3, height, width) uint8, RGB; `read_video` explains the arguments.

    An image is a video of one frame, so that a clip of it is a still. PyAV decodes all files that the decoder is not
    known to decode correctly, and those in object stores. `source` is the row's if it was located before. A cache has
    the frames of video files only. Whatever the library or the reason, an example that cannot be read is a
    `DecodeError`.
    """
    if isinstance(row, MemoryRow):
        return row.read(choose, size)
    if row.is_frame_folder:
        rate = row.frames_per_second or 0
        return read_frame_folder(row.path, rate, choose, size=size, trim=Trim(row.start, row.end))
    source = source or locate(row)
    if is_image(row):
        return read_image(source.path, read_bytes(source), size=size)[choose(1)]
    trim = Trim(row.start, row.end)
    if cache is not None:
        with decode_errors(source.path):
            key = entry_key(source, trim, size, decoder)

        decode = partial(_decode, source, size=size, trim=trim, decoder=decoder, exact=True)
        frames = cache.read(key, choose, decode, size)
        if frames is not None:
            return frames
    return _decode(source, choose, size=size, trim=trim, decoder=decoder, exact=exact)


def _decode(
    source: Source, choose: ChooseFrames, *, size: Size, trim: Trim, decoder: Decoder, exact: bool
) -> np.ndarray:
    if decoder != "pyav" and not trim and source.remote is None:
        with decode_errors(source.path):
            frames = read_with_backend(decoder, source, choose, size)
        if frames is not None:
            return frames
    return read_video(source, choose, size=size, trim=trim, exact=exact)


def read_whole_image(row: Row) -> np.ndarray:
    """All pixels of an image, (1, 3, height, width) uint8, RGB, read-only; raises a `DecodeError`."""
    source = locate(row)
    return read_image(source.path, read_bytes(source))
