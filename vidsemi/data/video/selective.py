"""Wanted frames without decoding all others, where that is sure to give the very frames of a whole forward pass.

Two kinds of packets are left out. Between two restart points (`Table.restarts`) nothing is sent to the decoder after
the last wanted frame. And H.264 pictures that no other refers to are skipped by the decoder itself. Those of HEVC are
not: there a picture of a higher temporal layer may refer to one that says it is not referred to. Where the count has to
be exact, only H.264 leaves anything out: of other codings little but decoding tells that a packet is damaged.

What comes out is held against the packets: one frame each, in order, none damaged; what was left out must at least
parse. Whatever does not fit gives None, and the caller decodes everything.
"""

from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np
from av.container import InputContainer

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.input_spec import Size
from vidsemi.data.video.container import Source, Trim
from vidsemi.data.video.frame_buffer import Canvas
from vidsemi.data.video.packets import REORDER, Table, inspector, packets_again, read_table

CODECS = ("h264", "hevc", "vp9", "libdav1d", "mpeg4")  # those in which a restart point can be told
SMALL = 64  # bytes; to skip a smaller packet saves little, and damage to it would be likely to go unnoticed
SKIPPABLE = ("h264",)
CHUNK_HEADER = 8  # bytes; the index of an AVI points at it, a packet behind it
MARGIN = 1.0  # seconds before a trim's start that are sought, since containers seek by decoding time


@dataclass(frozen=True)
class Stretch:
    """Packets that hold all wanted frames.

    Attributes:
        table: the packets.
        numbers: (n,) int64, the frame number of each; negative before a trim's start, `count` and more after its end.
        count: frames of the video, or of the trim.
        sought: time stamp that was sought before they were read; None if they are from the beginning.
    """

    table: Table
    numbers: np.ndarray
    count: int
    sought: int | None = None


def whole_stretch(table: Table, stream: av.VideoStream, trim: Trim, sought: int | None = None) -> Stretch:
    """The frames of a table that lie in a trim, counted from its start."""
    first, last = trim.stamps(stream)
    order = np.argsort(np.argsort(table.stamps, kind="stable"))
    count = int(((table.stamps >= first) & (table.stamps < last)).sum())
    return Stretch(table, order - int((table.stamps < first).sum()), count, sought)


def stretch_around_trim(container: InputContainer, stream: av.VideoStream, trim: Trim) -> Stretch | None:
    """The packets of a trim, sought instead of read from the file's beginning; None where that is not sure."""
    first, last = trim.stamps(stream)
    if not trim.start or stream.time_base is None:
        return None
    sought = int(first - MARGIN / stream.time_base)
    container.seek(sought, stream=stream)
    table = read_table(container, stream, before=last)
    if not table.regular or table.stamps[0] > first:
        return None
    return whole_stretch(table, stream, trim, sought)


def stretch_around_clip(container: InputContainer, stream: av.VideoStream, choose: ChooseFrames) -> Stretch | None:
    """The packets from the key frame before the first wanted frame on, by the container's index of all its frames.

    Only containers that have one (MP4, AVI) can do this; the index is believed for the number of frames, and for which
    packet is which: the first that is read has to lie in the file where the index says.
    """
    index = stream.index_entries
    count = len(index)
    if count == 0 or count != stream.frames:
        return None
    wanted = choose(count)
    entries = index[: int(wanted.min()) + 1]
    if any(entry.is_discard for entry in entries):
        return None
    key = max((number for number, entry in enumerate(entries) if entry.is_keyframe), default=0)
    delay = (stream.start_time or 0) - entries[0].timestamp  # the index holds decoding times, seeking wants shown ones
    sought = entries[key].timestamp + delay
    container.seek(sought, stream=stream)
    table = read_table(container, stream, count=int(wanted.max()) + 1 - key + REORDER)
    if not table.regular or table.first_position is None:
        return None
    if table.first_position - entries[key].pos not in (0, CHUNK_HEADER):
        return None
    return Stretch(table, key + np.argsort(np.argsort(table.stamps)), count, sought)


def decode_stretch(
    source: Source,
    stream: av.VideoStream,
    stretch: Stretch,
    wanted: np.ndarray,
    size: Size | None,
    check: bool,
) -> np.ndarray | None:
    """The wanted frames, (N, 3, height, width) uint8, or None where they may not be those of a whole pass.

    Args:
        source: the file.
        stream: whose decoder has not been used yet.
        stretch: packets that hold the wanted frames.
        wanted: (N,) frame numbers.
        size: (height, width) or shorter side of the result.
        check: also parse what is not decoded.
    """
    table, numbers, decoder = stretch.table, stretch.numbers, stream.codec_context
    if not table.regular or decoder.name not in CODECS:
        return None
    needed = np.isin(numbers, wanted)
    if check:
        needed |= _must_be_seen(table) if decoder.name in SKIPPABLE and _progressive(stream) else True
    number_of = dict(zip(table.stamps.tolist(), numbers.tolist(), strict=True))
    restart_of = dict(zip(table.stamps.tolist(), table.restarts.tolist(), strict=True))
    canvas = Canvas(wanted, size)
    shown: list[int] = []

    def take(frames: list[av.VideoFrame]) -> bool:
        """Whether these frames are as they should be."""
        for frame in frames:
            number = number_of.get(frame.pts)
            if number is None or frame.is_corrupt or (restart_of[frame.pts] and not frame.key_frame):
                return False
            shown.append(number)
            canvas.put(number, frame)
        return True

    plan = list(zip(table.stamps.tolist(), _to_send(needed, table.restarts).tolist(), needed.tolist(), strict=True))
    mode = None
    try:
        for packet, (stamp, send, need) in zip(packets_again(source, table, stretch.sought), plan, strict=False):
            if packet.pts != stamp:
                return None
            if send:
                if decoder.name in SKIPPABLE and need != mode:
                    decoder.skip_frame, mode = "DEFAULT" if need else "NONREF", need
                if not take(decoder.decode(packet)):
                    return None
        if not take(decoder.decode(None)):
            return None
    except av.FFmpegError:
        return None
    if not canvas.complete or any(a >= b for a, b in pairwise(shown)):
        return None
    if check and len(shown) < len(plan):
        came = set(shown)
        inspect = inspector(stream)
        for packet, (stamp, send, need) in zip(packets_again(source, table, stretch.sought), plan, strict=False):
            if number_of[stamp] not in came:
                referred_to = inspect(packet)
                if need or referred_to is None or (send and referred_to):
                    return None
    return canvas.array()


def _must_be_seen(table: Table) -> np.ndarray:
    """Packets that tell how many frames there are if something is unusual, (n,) bool.

    Small ones; and those that come later than any before them in relation to their place in the order of pictures. A
    decoder that has not been told how long it has to hold pictures back learns it from these, and drops one or two.
    """
    late = np.arange(len(table.stamps)) - np.argsort(np.argsort(table.stamps))
    latest_before = np.concatenate([[0], np.maximum.accumulate(late)[:-1]])
    return (table.sizes < SMALL) | (late > np.maximum(latest_before, 0))


def _progressive(stream: av.VideoStream) -> bool:
    """Whether pictures are whole frames, as far as is known: a field may stand alone, and give no frame."""
    return int(stream.codec_context.field_order) in (0, 1)


def _to_send(needed: np.ndarray, restarts: np.ndarray) -> np.ndarray:
    """Which packets the decoder gets, (n,) bool: up to the last needed one between two restart points."""
    segment = np.cumsum(restarts) - 1
    last = np.full(segment[-1] + 1, -1)
    last[segment[needed]] = np.flatnonzero(needed)  # of several assignments to a place the last one stays
    return np.arange(len(needed)) <= last[segment]
