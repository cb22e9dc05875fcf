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

    `damage` counts `packets` that the decoder refuses and `frames` that it marks as corrupt, also outside the trim.
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
    """Decode a file from its beginning and fill the buffer; the first frame of the trim is number 0.

    Returns:
        The number of frames; None if decoding stopped early, when the buffer was complete.
    """
    count = 0
    with open_video(source) as (container, stream):
        for count, frame in enumerate(decoded_frames(container, stream, trim), 1):
            buffer.put(count - 1, frame)
            if stop_early and buffer.complete:
                return None
    return count
