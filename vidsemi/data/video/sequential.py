"""Decode everything in order and count: slow, and the reference for the frames of a video."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

import av
import numpy as np
from av.container import InputContainer

from vidsemi.data.video.container import Source, Trim, check_refused, open_video
from vidsemi.data.video.frame_buffer import FrameBuffer
from vidsemi.data.video.limits import Decoder, check_pixels
from vidsemi.data.video.packets import video_packets
from vidsemi.data.video.timeline import Stamps, frame_times, has_presentation_times


def decoded_frames(
    source: Source, container: InputContainer, stream: av.VideoStream, damage: Counter[str] | None = None
) -> Iterator[av.VideoFrame]:
    """Yield the decoded frames in presentation order. Packets that do not decode are skipped, as players do.

    `damage` counts `packets` that the decoder refuses and `frames` that it marks as corrupt. In containers without
    presentation times, `frame.opaque` is the `dts` of the frame's packet.
    """
    damage = Counter() if damage is None else damage
    decoder, codec = Decoder(stream), stream.codec_context
    codec.copy_opaque = ordered = not has_presentation_times(container)
    for packet in chain(video_packets(container, stream), [None]):  # None flushes the decoder
        if packet is not None and ordered:
            packet.opaque = packet.dts
        try:
            frames = decoder.decode(packet)
        except av.InvalidDataError:
            check_pixels(codec)
            damage["packets"] += 1
            continue
        except (av.ArgumentError, OverflowError):
            check_refused(source, codec)
            raise
        for frame in frames:
            damage["frames"] += frame.is_corrupt
            yield frame


def first_stamp(source: Source) -> int | None:
    """The time stamp of the first frame that decodes; None if there is none."""
    with open_video(source) as (container, stream):
        frame = next(decoded_frames(source, container, stream), None)
        return None if frame is None else frame.pts if has_presentation_times(container) else frame.dts


def frames_inside(source: Source, trim: Trim) -> np.ndarray:
    """Decode a file for the numbers of its frames that lie in a trim, (n,) int64."""
    with open_video(source) as (container, stream):
        stamps = Stamps()
        for frame in decoded_frames(source, container, stream):
            stamps.add(frame)
        return np.flatnonzero(trim.inside(frame_times(stamps, container, stream), stream))


def decode_sequentially(source: Source, buffer: FrameBuffer, *, stop_early: bool) -> int | None:
    """Decode a file from its beginning and fill the buffer.

    Returns:
        The number of frames; None if decoding stopped early, when the buffer was complete.
    """
    count = 0
    with open_video(source) as (container, stream):
        for count, frame in enumerate(decoded_frames(source, container, stream), 1):
            buffer.put(count - 1, frame)
            if stop_early and buffer.complete:
                return None
    return count
