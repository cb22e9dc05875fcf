"""Wanted frames without decoding all others, where that is sure to give the very frames of a whole forward pass.

Two kinds of packets are left out. Between two restart points (`Table.restarts`) nothing is sent to the decoder after
the last wanted frame. And H.264 pictures that no other refers to are skipped by the decoder itself. Those of HEVC are
not: there a picture of a higher temporal layer may refer to one that says it is not referred to.

What comes out is held against the packets: one frame each, in order, none damaged; what was left out must at least
parse. Whatever does not fit gives None, and the caller decodes everything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np
from av.container import InputContainer

from vidsemi.media.canvas import Canvas
from vidsemi.media.container import Source, Trim
from vidsemi.media.packets import REORDER, Table, inspector, packets_again, read_table

ChooseFrames = Callable[[int], np.ndarray]  # the video's frame count → frame numbers in [0, count), any order

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
    size: tuple[int, int] | None,
    check: bool,
) -> np.ndarray | None:
    """The wanted frames, (N, 3, height, width) uint8, or None where they may not be those of a whole pass.

    Args:
        source: the file.
        stream: whose decoder has not been used yet.
        stretch: packets that hold the wanted frames.
        wanted: (N,) frame numbers.
        size: (height, width) of the result.
        check: also parse what is not decoded.
    """
    table, numbers, decoder = stretch.table, stretch.numbers, stream.codec_context
    if not table.regular or decoder.name not in CODECS:
        return None
    needed = np.isin(numbers, wanted)
    may_skip = table.sizes >= SMALL if check else np.ones(len(needed), bool)
    if check and decoder.name not in SKIPPABLE:
        may_skip[:] = False
    needed |= ~may_skip
    number_of = dict(zip(table.stamps.tolist(), numbers.tolist(), strict=True))
    restart_of = dict(zip(table.stamps.tolist(), table.restarts.tolist(), strict=True))
    canvas = Canvas(wanted, size)
    shown: list[int] = []
    inspect = inspector(stream)
    due: set[int] = set()  # frames that have to come out

    def take(frames: list[av.VideoFrame]) -> bool:
        """Whether these frames are as they should be."""
        for frame in frames:
            number = number_of.get(frame.pts)
            if number is None or frame.is_corrupt or (restart_of[frame.pts] and not frame.key_frame):
                return False
            shown.append(number)
            canvas.put(number, frame)
        return True

    plan = zip(_to_send(needed, table.restarts).tolist(), needed.tolist(), table.stamps.tolist(), strict=True)
    mode = None
    try:
        for packet, (send, need, stamp) in zip(packets_again(source, table, stretch.sought), plan, strict=False):
            if packet.pts != stamp:
                return None
            if send:
                if decoder.name in SKIPPABLE and need != mode:
                    decoder.skip_frame, mode = "DEFAULT" if need else "NONREF", need
                if not take(decoder.decode(packet)):
                    return None
            referred_to = True if need or not check else inspect(packet)
            if referred_to is None:
                return None
            if send and (need or (check and referred_to)):
                due.add(number_of[stamp])
        if not take(decoder.decode(None)):
            return None
    except av.FFmpegError:
        return None
    in_order = all(a < b for a, b in pairwise(shown))
    return canvas.array() if in_order and canvas.complete and due.issubset(shown) else None


def _to_send(needed: np.ndarray, restarts: np.ndarray) -> np.ndarray:
    """Which packets the decoder gets, (n,) bool: up to the last needed one between two restart points."""
    segment = np.cumsum(restarts) - 1
    last = np.full(segment[-1] + 1, -1)
    last[segment[needed]] = np.flatnonzero(needed)  # of several assignments to a place the last one stays
    return np.arange(len(needed)) <= last[segment]
