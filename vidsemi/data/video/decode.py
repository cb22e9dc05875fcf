"""Frames of a video, exactly: those of one forward pass of PyAV, whatever is skipped on the way.

Containers lie about their frame counts (one too many, 0, twice what is there), so the frames to read are given as a
function of the count, and the count that packets announce is only a first guess that decoding itself confirms.
"""

import av
import numpy as np

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.input_spec import Size
from vidsemi.data.video.container import WHOLE, Source, Trim, decode_errors, no_frames, open_video
from vidsemi.data.video.frame_buffer import Canvas
from vidsemi.data.video.packets import read_table
from vidsemi.data.video.selective import CODECS, decode_stretch, stretch_around_clip, stretch_around_trim, whole_stretch
from vidsemi.data.video.sequential import decode_forward
from vidsemi.io.errors import DecodeError


def read_video(
    source: Source,
    choose: ChooseFrames,
    *,
    size: Size | None = None,
    trim: Trim = WHOLE,
    exact: bool = True,
) -> np.ndarray:
    """Read the frames that `choose` names.

    Args:
        source: the file.
        choose: called with the number of frames that really decode, it returns the frames wanted. It may be called
            more than once, first with a count that turns out wrong, so it has to be a pure function.
        size: (height, width) or shorter side to scale to; None keeps the file's own.
        trim: the part of the video that counts.
        exact: confirm the count. Without it a count that the container announces and nothing contradicts is believed,
            and decoding begins at the key frame before the first wanted frame and ends at the last; for training,
            where clips are random anyway.

    Returns:
        (len(choose(n)), 3, height, width) uint8, RGB, the container's rotation applied.

    Raises:
        DecodeError: not a single frame can be had, or the file cannot be opened.
    """
    with decode_errors(source.path):
        frames = _read_around(source, choose, size, trim, exact)
        return _read_whole(source, choose, size, trim, exact) if frames is None else frames


def _read_around(source: Source, choose: ChooseFrames, size: Size | None, trim: Trim, exact: bool) -> np.ndarray | None:
    """The frames from a stretch that is sought, where there is reason to seek and it is sure to be right."""
    if not trim.start and (exact or trim):
        return None
    with open_video(source) as (container, stream):
        try:
            stretch = (
                stretch_around_trim(container, stream, trim) if trim else stretch_around_clip(container, stream, choose)
            )
        except av.FFmpegError:
            return None
        if stretch is None or stretch.count == 0:
            return None
        return decode_stretch(source, stream, stretch, choose(stretch.count), size, exact)


def _read_whole(source: Source, choose: ChooseFrames, size: Size | None, trim: Trim, exact: bool) -> np.ndarray:
    """The frames by going through the file from its beginning."""
    with open_video(source) as (container, stream):
        table = read_table(container, stream)
        stretch = whole_stretch(table, stream, trim)
        guess = stretch.count if trim else table.frames
        if guess > 0 and table.regular:
            frames = decode_stretch(source, stream, stretch, choose(guess), size, exact)
            if frames is not None:
                return frames
            exact |= stream.codec_context.name in CODECS  # the count was contradicted, so it is not to be believed
    for _ in range(2):  # where the guess is wrong, the first pass has counted
        wanted = choose(max(guess, 1))
        canvas = Canvas(wanted, size)
        count = decode_forward(source, trim, canvas, stop_early=not exact)
        if count == 0:
            raise no_frames(source, trim)
        if canvas.complete and count in (None, guess):
            return canvas.array()
        assert count is not None  # a pass that ends early is complete
        guess = count
    raise DecodeError("video.unstable", source.path, f"decodes to another number of frames each time ({guess})")
