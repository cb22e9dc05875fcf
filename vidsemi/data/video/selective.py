"""Decode only what the wanted frames need, where that is certain to give the frames of a full sequential decode.

Two kinds of packets are left out. Within a closed group of pictures nothing is sent to the decoder after the last
wanted frame. And the decoder itself skips H.264 pictures that no other picture refers to. In HEVC they are decoded:
there, a picture of a higher temporal layer may refer to one that is marked as not referred to. If the number of frames
has to be exact, only H.264 leaves anything out: for other codecs little but decoding shows that a packet is damaged.

The result is checked against the packets: one frame each, in order, none damaged; skipped packets must at least parse.
Otherwise `NotSelective` is raised, and the caller decodes everything.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np
from av.container import InputContainer

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.video.container import Source, Trim
from vidsemi.data.video.frame_buffer import FrameBuffer
from vidsemi.data.video.limits import Decoder, VideoPacket
from vidsemi.data.video.packets import REORDER, PacketTable, inspector, packets_again, read_table
from vidsemi.data.video.timeline import continuous

CODECS = ("h264", "hevc", "vp9", "libdav1d", "mpeg4")  # those whose closed groups of pictures can be recognized
SKIPPABLE = ("h264",)
SMALL = 64  # bytes; to skip a smaller packet saves little, and damage to it would probably go unnoticed
CHUNK_HEADER = 8  # bytes; the index of an AVI points at it, a packet behind it
SEEKABLE = ("mov", "matroska", "avi")  # first of FFmpeg's names of the format
MARGIN = 1.0  # seconds to seek ahead of a trim's start, since containers seek by decoding time

Plan = list[tuple[int, int, bool, bool]]  # of each packet: time stamp, frame number, whether to send it, whether needed


class NotSelective(Exception):  # noqa: N818  (not a failure: the caller decodes everything)
    """It is not certain that decoding a part gives the right frames; the message says why."""


@dataclass(frozen=True)
class PacketRange:
    """Consecutive packets that hold all wanted frames."""

    table: PacketTable
    numbers: np.ndarray  # (n,) int64, frame numbers; negative before a trim's start, `count` or more after its end
    count: int  # frames of the video, or of the trim
    sought: int | None = None  # time stamp to seek before reading them; None to read from the beginning


def whole_range(table: PacketTable, container: InputContainer, stream: av.VideoStream, trim: Trim) -> PacketRange:
    """All packets of a file, numbered from the first frame of a trim."""
    order = np.argsort(table.stamps)
    inside = trim.inside(continuous(table.times[order], container, stream), stream)
    numbers = np.argsort(order) - int(inside.argmax())
    return PacketRange(table, numbers, int(inside.sum()))


def seek_trim(container: InputContainer, stream: av.VideoStream, trim: Trim, origin: int | None) -> PacketRange:
    """Seek a trim and read its packets; `NotSelective` if they may not be all of them.

    `origin` is the time stamp of the file's first frame. Containers whose clock may restart, or that only look for the
    time by reading, are not sought in.
    """
    first, last = trim.stamps(stream)
    if not trim.start or stream.time_base is None or origin is None:
        raise NotSelective("the trim has no start or the stream no times")
    if container.format.name.split(",")[0] not in SEEKABLE:
        raise NotSelective("the container has no index of times")
    first, last = first + origin, last + origin
    sought = int(first - MARGIN / stream.time_base)
    container.seek(sought, stream=stream)
    table = read_table(container, stream, before=last)
    if not table.regular or table.times[0] > first:
        raise NotSelective("the packets are irregular or begin after the trim's start")
    numbers = np.argsort(np.argsort(table.stamps)) - int((table.times < first).sum())
    return PacketRange(table, numbers, int(((table.times >= first) & (table.times < last)).sum()), sought)


def seek_clip(container: InputContainer, stream: av.VideoStream, choose: ChooseFrames) -> PacketRange:
    """Seek the key frame before the first wanted frame by the container's index, and read packets up to the last one.

    Only MP4 and AVI have an index of all frames. It is trusted for the number of frames and for which packet is which,
    if the first packet lies where the index says. Without such an index it is `NotSelective`.
    """
    index = stream.index_entries
    count = len(index)
    if count == 0 or count != stream.frames:
        raise NotSelective("the container has no index of all frames")
    wanted = choose(count)
    entries = index[: int(wanted.min()) + 1]
    if any(entry.is_discard for entry in entries):
        raise NotSelective("the index has frames that are not shown")
    key = max((number for number, entry in enumerate(entries) if entry.is_keyframe), default=0)
    delay = (stream.start_time or 0) - entries[0].timestamp  # the index holds decoding times, seeking takes shown ones
    sought = entries[key].timestamp + delay
    container.seek(sought, stream=stream)
    table = read_table(container, stream, count=int(wanted.max()) + 1 - key + REORDER)
    if not table.regular or table.first_position is None:
        raise NotSelective("the packets are irregular or have no position")
    if table.first_position - entries[key].pos not in (0, CHUNK_HEADER):
        raise NotSelective("the first packet is not where the index says")
    return PacketRange(table, key + np.argsort(np.argsort(table.stamps)), count, sought)


def decode_selectively(
    source: Source, stream: av.VideoStream, packets: PacketRange, buffer: FrameBuffer, check: bool
) -> np.ndarray:
    """Decode the frames that a buffer wants, to (N, 3, height, width) uint8; the decoder must not have been used yet.

    `check` also parses what is not decoded. If the frames may not be those of a full decode, raises `NotSelective`.
    """
    table, codec = packets.table, stream.codec_context.name
    if not table.regular:
        raise NotSelective("the packets are irregular")
    if codec not in CODECS:
        raise NotSelective(f"groups of pictures of {codec} are not recognized")
    needed = np.isin(packets.numbers, buffer.wanted)
    if check:
        progressive = int(stream.codec_context.field_order) in (0, 1)  # or unknown; a lone field may give no frame
        needed |= _must_be_seen(table) if codec in SKIPPABLE and progressive else True
    send = _to_send(needed, table.gop_starts)
    columns = (table.stamps, packets.numbers, send, needed)
    plan: Plan = list(zip(*(column.tolist() for column in columns), strict=True))
    decoded = _decode(packets_again(source, table, packets.sought), plan, stream, table, buffer)
    if check and len(decoded) < len(plan):
        _inspect_skipped(packets_again(source, table, packets.sought), plan, stream, decoded)
    return buffer.array()


def _decode(
    packets: Iterable[VideoPacket], plan: Plan, stream: av.VideoStream, table: PacketTable, buffer: FrameBuffer
) -> set[int]:
    """Send packets to the decoder as planned and fill the buffer; returns the numbers of all frames that came out."""
    decoder, codec = Decoder(stream), stream.codec_context
    number_of: dict[int | None, int] = {stamp: number for stamp, number, _, _ in plan}
    starts_gop = dict(zip(table.stamps.tolist(), table.gop_starts.tolist(), strict=True))
    decoded: list[int] = []

    def take(frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            number = number_of.get(frame.pts)
            if number is None or frame.is_corrupt:
                raise NotSelective("a frame is corrupt or has another time stamp than its packet")
            if starts_gop[frame.pts] and not frame.key_frame:
                raise NotSelective("a group of pictures does not begin with a key frame")
            decoded.append(number)
            buffer.put(number, frame)

    skippable, mode = codec.name in SKIPPABLE, None
    try:
        for packet, (stamp, _, send, needed) in zip(packets, plan, strict=False):
            if packet.pts != stamp:
                raise NotSelective("the packets are others when read again")
            if send:
                if skippable and needed != mode:
                    codec.skip_frame, mode = "DEFAULT" if needed else "NONREF", needed
                take(decoder.decode(packet))
        take(decoder.decode(None))
    except av.FFmpegError as error:
        raise NotSelective(f"a packet does not decode: {error}") from None
    if not buffer.complete or any(a >= b for a, b in pairwise(decoded)):
        raise NotSelective("a frame is missing or out of order")
    return set(decoded)


def _inspect_skipped(packets: Iterable[VideoPacket], plan: Plan, stream: av.VideoStream, decoded: set[int]) -> None:
    """Parse the packets of which no frame came out: each has to be intact and one that was left out on purpose."""
    inspect = inspector(stream)
    for packet, (_, number, send, needed) in zip(packets, plan, strict=False):
        if number not in decoded:
            referred_to = inspect(packet)
            if needed or referred_to is None or (send and referred_to):
                raise NotSelective("a packet that was not decoded is damaged or was needed")


def _must_be_seen(table: PacketTable) -> np.ndarray:
    """Packets that show how many frames there are if something is unusual, (n,) bool.

    Small ones; and those that come later than any before them in relation to their place in presentation order. From
    these a decoder learns how long it has to hold pictures back, if the stream does not say, and drops one or two.
    """
    late = np.arange(len(table.stamps)) - np.argsort(np.argsort(table.stamps))
    latest_before = np.concatenate([[0], np.maximum.accumulate(late)[:-1]])
    suspects: np.ndarray = (table.sizes < SMALL) | (late > np.maximum(latest_before, 0))
    return suspects


def _to_send(needed: np.ndarray, gop_starts: np.ndarray) -> np.ndarray:
    """Which packets to send to the decoder, (n,) bool: those up to the last needed one of each closed group."""
    group = np.cumsum(gop_starts) - 1
    last = np.full(group[-1] + 1, -1)
    last[group[needed]] = np.flatnonzero(needed)  # of several assignments to a place the last one stays
    decoded: np.ndarray = np.arange(len(needed)) <= last[group]
    return decoded
