"""The reference that every other way of reading is held against: decode everything, in order, and count."""

from collections.abc import Iterator
from itertools import chain

import av
from av.container import InputContainer

from vidsemi.media.canvas import Canvas
from vidsemi.media.container import Source, Trim, open_video
from vidsemi.media.packets import video_packets


def decoded_frames(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Decoded frames in presentation order. Packets that do not decode are passed over, as players do."""
    for packet in chain(video_packets(container, stream), [None]):  # None: what the decoder still holds back
        try:
            yield from stream.codec_context.decode(packet)
        except av.InvalidDataError:
            continue


def decode_forward(source: Source, trim: Trim, canvas: Canvas, *, stop_early: bool) -> int | None:
    """One whole pass that fills the canvas.

    Args:
        source: the file.
        trim: the part of the video that counts; its first frame is number 0.
        canvas: gets the frames it wants.
        stop_early: end as soon as it has them all.

    Returns:
        The number of frames there are; None if the pass ended early.
    """
    with open_video(source) as (container, stream):
        first, last = trim.stamps(stream)
        number = 0
        for frame in decoded_frames(container, stream):
            if trim:
                if frame.pts is None:
                    raise ValueError("has no time stamps, so it cannot be trimmed")
                if not first <= frame.pts < last:
                    continue
            canvas.put(number, frame)
            number += 1
            if stop_early and canvas.complete:
                return None
    return number
