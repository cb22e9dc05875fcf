"""Decode everything in order and count: slow, and the reference for the frames of a video."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

import av
from av.container import InputContainer

from vidsemi.data.video.container import WHOLE, Source, Trim, open_video
from vidsemi.data.video.frame_buffer import FrameBuffer
from vidsemi.data.video.packets import video_packets


def decoded_frames(
    container: InputContainer, stream: av.VideoStream, trim: Trim = WHOLE, damage: Counter[str] | None = None
) -> Iterator[av.VideoFrame]:
    """Yield the decoded frames of a trim in presentation order. Packets that do not decode are skipped, as players do.

    Args:
        container: an opened file.
        stream: its video stream.
        trim: the part of the video that counts.
        damage: counts `packets` that the decoder refuses and `frames` that it marks as corrupt, also outside the trim.
    """
    first, last = trim.stamps(stream)
    damage = Counter() if damage is None else damage
    for packet in chain(video_packets(container, stream), [None]):  # None flushes the decoder
        try:
            frames = stream.codec_context.decode(packet)
        except av.InvalidDataError:
            damage["packets"] += 1
            continue
        for frame in frames:
            damage["frames"] += frame.is_corrupt
            if trim and frame.pts is None:
                raise ValueError("no time stamps, so it cannot be trimmed")
            if not trim or (frame.pts is not None and first <= frame.pts < last):
                yield frame


def decode_sequentially(source: Source, trim: Trim, buffer: FrameBuffer, *, stop_early: bool) -> int | None:
    """Decode a file from its beginning and fill the buffer.

    Args:
        source: the file.
        trim: the part of the video that counts; its first frame is number 0.
        buffer: receives the frames.
        stop_early: stop when the buffer is complete.

    Returns:
        The number of frames; None if decoding stopped early.
    """
    number = 0
    with open_video(source) as (container, stream):
        for frame in decoded_frames(container, stream, trim):
            buffer.put(number, frame)
            number += 1
            if stop_early and buffer.complete:
                return None
    return number
