"""Entry to video decoding: `read_video` returns exactly the frames of a full sequential decode, at less cost.

Containers are often wrong about the number of frames (one too many, 0, twice the real one). So the frames to read are
given as a function of the number, and the number that packets announce is a first guess that decoding confirms.
"""

import logging

import av
import numpy as np

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.input_spec import Size
from vidsemi.data.video.container import WHOLE, Source, Trim, decode_errors, no_frames, open_video
from vidsemi.data.video.frame_buffer import FrameBuffer
from vidsemi.data.video.packets import read_table
from vidsemi.data.video.picture import Picture
from vidsemi.data.video.selective import CODECS, NotSelective, decode_selectively, seek_clip, seek_trim, whole_range
from vidsemi.data.video.sequential import decode_sequentially, first_stamp, frames_inside
from vidsemi.io.errors import DecodeError

logger = logging.getLogger("vidsemi")


def read_video(
    source: Source, choose: ChooseFrames, *, size: Size | None = None, trim: Trim = WHOLE, exact: bool = True
) -> np.ndarray:
    """Read the frames that `choose` names, (N, 3, height, width) uint8, RGB, as players show them.

    Args:
        source: the file.
        choose: number of frames → N frame numbers; pure, since a wrong number makes another call necessary.
        size: (height, width) or shorter side to scale to; None keeps the file's own, with pixels made square.
        trim: the part of the video that counts.
        exact: confirm the number of frames. Otherwise the container's is trusted unless something contradicts it, and
            decoding goes from the key frame before the first wanted frame to the last one; for training, where clips
            are random anyway.

    Raises:
        DecodeError: the file cannot be opened, or no frame decodes.
    """
    with decode_errors(source.path):
        if trim.start or not (exact or trim):
            try:
                return _decode_after_seeking(source, choose, size, trim, exact)
            except NotSelective as reason:
                logger.debug("%s is read from its beginning: %s", source.path, reason)
        return _decode_from_beginning(source, choose, size, trim, exact)


def _decode_after_seeking(
    source: Source, choose: ChooseFrames, size: Size | None, trim: Trim, exact: bool
) -> np.ndarray:
    """Read only the part of the file that holds the trim or the clip, if that is certain to be right."""
    with open_video(source) as (container, stream):
        try:
            if trim:
                part = seek_trim(container, stream, trim, first_stamp(source))
            else:
                part = seek_clip(container, stream, choose)
        except av.FFmpegError as error:
            raise NotSelective(f"seeking fails: {error}") from None
        if part.count == 0:
            raise NotSelective("there are no frames")
        buffer = FrameBuffer(choose(part.count), size, Picture(source, stream))
        return decode_selectively(source, stream, part, buffer, exact)


def _decode_from_beginning(
    source: Source, choose: ChooseFrames, size: Size | None, trim: Trim, exact: bool
) -> np.ndarray:
    with open_video(source) as (container, stream):
        picture = Picture(source, stream)
        table = read_table(container, stream)
        guess = table.frames
        if table.regular:
            packets = whole_range(table, container, stream, trim)
            guess = packets.count if trim else guess
        if table.regular and guess > 0:
            try:
                buffer = FrameBuffer(choose(guess), size, picture)
                return decode_selectively(source, stream, packets, buffer, exact)
            except NotSelective as reason:
                logger.debug("%s is decoded sequentially: %s", source.path, reason)
            exact |= stream.codec_context.name in CODECS  # something contradicted the number, so it cannot be trusted
        else:
            logger.debug("%s is decoded sequentially: its packets are irregular or hold no frames", source.path)
    if trim:
        return _decode_trim(source, choose, size, trim, picture)
    for _ in range(2):  # if the guess is wrong, the first pass has counted
        buffer = FrameBuffer(choose(max(guess, 1)), size, picture)
        count = decode_sequentially(source, buffer, stop_early=not exact)
        if count == 0:
            raise no_frames(source, trim)
        if buffer.complete and count in (None, guess):
            return buffer.array()
        assert count is not None  # a pass that stops early is complete
        guess = count
    raise _unstable(source, guess)


def _decode_trim(source: Source, choose: ChooseFrames, size: Size | None, trim: Trim, picture: Picture) -> np.ndarray:
    """Decode sequentially twice: for the frames that lie in the trim, then for the chosen ones."""
    inside = frames_inside(source, trim)
    if len(inside) == 0:
        raise no_frames(source, trim)
    buffer = FrameBuffer(inside[choose(len(inside))], size, picture)
    decode_sequentially(source, buffer, stop_early=True)
    if not buffer.complete:
        raise _unstable(source, len(inside))
    return buffer.array()


def _unstable(source: Source, count: int) -> DecodeError:
    return DecodeError("video.unstable", source.path, f"another number of frames each time it is decoded ({count})")
