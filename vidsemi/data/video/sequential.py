"""The reference that every other way of reading is held against: decode everything, in order, and count."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

import av
from av.container import InputContainer

from vidsemi.data.video.container import WHOLE, Source, Trim, open_video
from vidsemi.data.video.frame_buffer import Canvas
from vidsemi.data.video.packets import video_packets


def decoded_frames(
    container: InputContainer, stream: av.VideoStream, trim: Trim = WHOLE, damage: Counter[str] | None = None
) -> Iterator[av.VideoFrame]:
    """Decoded frames of a trim in presentation order. Packets that do not decode are passed over, as players do.

    Args:
        container: an opened file.
        stream: its video stream.
        trim: the part of the video that counts.
        damage: counts `packets` that the decoder refuses and `frames` that it calls corrupt, trimmed away or not.
    """
    first, last = trim.stamps(stream)
    damage = Counter() if damage is None else damage
    for packet in chain(video_packets(container, stream), [None]):  # None: what the decoder still holds back
        try:
            frames = stream.codec_context.decode(packet)
        except av.InvalidDataError:
            damage["packets"] += 1
            continue
        for frame in frames:
            damage["frames"] += frame.is_corrupt
            if trim and frame.pts is None:
                raise ValueError("has no time stamps, so it cannot be trimmed")
            if not trim or (frame.pts is not None and first <= frame.pts < last):
                yield frame


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
    number = 0
    with open_video(source) as (container, stream):
        for frame in decoded_frames(container, stream, trim):
            canvas.put(number, frame)
            number += 1
            if stop_early and canvas.complete:
                return None
    return number
