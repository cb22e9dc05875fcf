"""Frames of a video, exactly: one forward pass of PyAV.

Containers lie about their frame counts (one too many, 0, twice what is there), so the frames to read are given as a
function of the count, and the count that is announced is only a first guess that the pass itself confirms.
"""

import io
from collections.abc import Callable, Iterator

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from vidsemi.errors import DecodeError

# Containers that are read. Playlists and lists of files (hls, concat, dash, …) are not: they name other files.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,rm,mxf,gif,apng,h264,hevc,av1,ivf,yuv4mpegpipe,nut,dv,wtv"
)

ChooseFrames = Callable[[int], np.ndarray]  # the video's frame count → frame numbers in [0, count), any order


def read_video(
    path: str,
    choose: ChooseFrames,
    *,
    size: tuple[int, int] | None = None,
    start: float | None = None,
    end: float | None = None,
    to_the_end: bool = True,
    data: bytes | None = None,
) -> np.ndarray:
    """Read the frames that `choose` names.

    Args:
        path: the file; only a name for messages where `data` is given.
        choose: called with the number of frames that really decode, it returns the frames wanted. It may be called
            twice, first with a count that turns out wrong, so it has to be a pure function.
        size: (height, width) to scale to; None keeps the file's own.
        start: trim: seconds from the beginning of the video; only frames from there on count.
        end: trim: frames from this second on do not count.
        to_the_end: confirm the count by decoding everything. Without it the pass stops at the last frame wanted and
            believes an announced count that is not contradicted; for training, where clips are random anyway.
        data: the file's content, for files inside archives.

    Returns:
        (len(choose(n)), height, width, 3) uint8, RGB, the container's rotation applied.

    Raises:
        DecodeError: not a single frame can be had, or the file cannot be opened.
    """
    trim = (start, end)
    try:
        container, stream = _open(path, data)
        with container:
            count = stream.frames if stream.frames > 0 and trim == (None, None) else _count_packets(path, data, trim)
            wanted = choose(max(count, 1))
            frames, decoded = _decode(container, stream, trim, size, set(wanted.tolist()), to_the_end)
        if decoded == 0:
            raise DecodeError(path, "no frame decodes" if trim == (None, None) else f"no frame lies in the trim {trim}")
        if decoded is None or decoded == count:
            return _gather(frames, wanted)
        wanted = choose(decoded)
        if not frames.keys() >= set(wanted.tolist()):
            container, stream = _open(path, data)
            with container:
                frames, _ = _decode(container, stream, trim, size, set(wanted.tolist()), to_the_end)
        return _gather(frames, wanted)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DecodeError(path, reason) from None


def _gather(frames: dict[int, np.ndarray], wanted: np.ndarray) -> np.ndarray:
    return np.stack([frames[number] for number in wanted.tolist()])


def _open(path: str, data: bytes | None) -> tuple[InputContainer, av.VideoStream]:
    """Open a file and its default video stream, one decoding thread. Nothing but that file is ever opened."""
    source = path if data is None else io.BytesIO(data)
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    container = av.open(source, "r", metadata_errors="replace", options=options)
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
        container.close()
        raise DecodeError(path, "has no video stream" if stream is None else "has a codec that is not known")
    stream.codec_context.thread_count = 1
    return container, stream


def _seconds(stamp: int | None, stream: av.VideoStream) -> float:
    """A presentation time stamp as seconds from the beginning of the stream."""
    if stamp is None or stream.time_base is None:
        raise ValueError("has no time stamps, so it cannot be trimmed")
    return float((stamp - (stream.start_time or 0)) * stream.time_base)


def _in_trim(stamp: int | None, stream: av.VideoStream, trim: tuple[float | None, float | None]) -> bool:
    start, end = trim
    if start is None and end is None:
        return True
    seconds = _seconds(stamp, stream)
    return (start is None or seconds >= start) and (end is None or seconds < end)


def _count_packets(path: str, data: bytes | None, trim: tuple[float | None, float | None]) -> int:
    """Packets of the video that lie in the trim: as good a guess as there is without decoding."""
    container, stream = _open(path, data)
    with container:
        packets = (packet for packet in container.demux(stream) if packet.size)
        return sum(1 for packet in packets if _in_trim(packet.pts, stream, trim))


def _frames(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Decoded frames in presentation order. Packets that do not decode are passed over, as players do."""
    for packet in container.demux(stream):
        try:
            yield from stream.codec_context.decode(packet if packet.size else None)
        except av.InvalidDataError:
            continue


def _decode(
    container: InputContainer,
    stream: av.VideoStream,
    trim: tuple[float | None, float | None],
    size: tuple[int, int] | None,
    wanted: set[int],
    to_the_end: bool,
) -> tuple[dict[int, np.ndarray], int | None]:
    """One forward pass: the wanted frames by number, and how many there were (None if it stopped before the end)."""
    last = max(wanted)
    scaler = VideoReformatter()  # one a pass: a new one a frame would cost more than decoding small frames does
    found: dict[int, np.ndarray] = {}
    number = 0
    for frame in _frames(container, stream):
        if not _in_trim(frame.pts, stream, trim):
            continue
        if number in wanted:
            found[number] = _pixels(frame, size, scaler)
        if number == last and not to_the_end:
            return found, None
        number += 1
    return found, number


def _pixels(frame: av.VideoFrame, size: tuple[int, int] | None, scaler: VideoReformatter) -> np.ndarray:
    """(height, width, 3) uint8 RGB of one frame, scaled bilinearly and turned upright."""
    quarter_turns = round(frame.rotation / 90) % 4
    height, width = size or (None, None)
    if quarter_turns % 2:
        height, width = width, height
    image = scaler.reformat(frame, width=width, height=height, format="rgb24", interpolation="BILINEAR").to_ndarray()
    return np.rot90(image, quarter_turns)
