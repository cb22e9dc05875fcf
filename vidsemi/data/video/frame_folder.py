"""Read a folder of frames, numbered images, as a video with a frame rate."""

import math

import numpy as np

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.formats.frame_names import frames_in, frames_of
from vidsemi.data.image import read_image
from vidsemi.data.input_spec import Size
from vidsemi.data.video.container import WHOLE, Source, Trim, no_frames, read_bytes
from vidsemi.io.errors import DecodeError
from vidsemi.io.store import is_remote, read_many


def source_of(path: str) -> Source:
    """The whole of a file, here or in an object store; raises a `DecodeError` if a store does not serve it."""
    if not is_remote(path):
        return Source(path)
    from vidsemi.io.remote_file import RemoteFile

    return Source(path, remote=RemoteFile(path))


def frame_paths(folder: str, rate: float, trim: Trim = WHOLE) -> list[str]:
    """The paths of the frames in a folder within a trim; frame i, from 0, is at i / rate seconds.

    Raises:
        DecodeError: the folder cannot be read, or has no frame in the trim.
    """
    if not 0 < rate < math.inf:
        raise DecodeError("frames.bad_rate", folder, f"a rate of {rate:g} frames per second")
    try:
        if is_remote(folder):
            from vidsemi.io.remote_file import names_in

            names = frames_of(name for name in names_in(folder) if name[0] != ".")
        else:
            names = frames_in(folder)
    except OSError as error:
        raise DecodeError.from_os_error(folder, error) from None
    except ValueError as error:
        raise DecodeError("frames.unclear", folder, str(error)) from None
    start = -math.inf if trim.start is None else trim.start
    end = math.inf if trim.end is None else trim.end
    inside = [f"{folder}/{name}" for number, name in enumerate(names) if start <= number / rate < end]
    if not inside:
        raise no_frames(Source(folder), trim)
    return inside


def read_frame_folder(
    folder: str, rate: float, choose: ChooseFrames, *, size: Size | None = None, trim: Trim = WHOLE
) -> np.ndarray:
    """Read the frames that `choose` names, (N, 3, height, width) uint8, RGB; like `read_video`, for images.

    Raises:
        DecodeError: a frame cannot be read, or has another shape than the first.
    """
    paths = frame_paths(folder, rate, trim)
    wanted, places = np.unique(choose(len(paths)), return_inverse=True)
    own = [paths[number] for number in wanted]
    contents = read_many(lambda path: read_bytes(source_of(path)), own, remote=is_remote(folder))
    frames = [read_image(path, content, size=size) for path, content in zip(own, contents, strict=True)]
    if len({frame.shape for frame in frames}) > 1:
        raise DecodeError("frames.shapes_differ", folder, "the frames have different shapes")
    return np.concatenate(frames)[places]
