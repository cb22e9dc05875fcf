"""Limits of what the frames of a video may take: pixels, before they are decoded, and the memory of the decoder."""

import gc
from typing import TYPE_CHECKING

import av
import psutil

MAX_PIXELS = 1 << 26  # of a frame: 8192 × 8192
MAX_BYTES = 300 << 20  # of a decoded frame; decoders of GIF and APNG, with 4 or 8 bytes a pixel, hold three
BULKY = 1 << 21  # pixels, those of 1080p; smaller frames may wait for the garbage collector
LARGE = 1 << 24  # pixels; decoders of smaller frames cannot take much, at most 16 references of 50 MB
MAX_HELD = 900 << 20  # bytes that a decoder may take; eight frames of 8K with 10 bits are 850 MB
# FFmpeg's decoders check this before they allocate a frame, also where a stream changes its size.
DECODER_OPTIONS = {"max_pixels": str(MAX_PIXELS)}


if TYPE_CHECKING:
    VideoPacket = av.Packet[av.VideoStream]
else:
    VideoPacket = av.Packet  # which takes no parameters when it runs


class FrameSizeError(ValueError):
    """Frames are larger than the limits; `decode_errors` converts it to a `DecodeError`."""


def check_pixels(codec: av.VideoCodecContext) -> None:
    """Raise a `FrameSizeError` if the frames of a stream, as far as that is known now, are over the limit."""
    if codec.width * codec.height > MAX_PIXELS:
        raise FrameSizeError(f"frames of {codec.width} × {codec.height} pixels; the limit is {MAX_PIXELS}")
    bits = codec.format.bits_per_pixel if codec.format else 0
    if codec.width * codec.height * bits > 8 * MAX_BYTES:
        size = f"{codec.width} × {codec.height} pixels of {bits} bits"
        raise FrameSizeError(f"frames of {size}; the limit is {MAX_BYTES} bytes")


class Leftovers:
    """Frees the frames of the last video that was open, if they are large.

    In PyAV, a frame whose side data were looked at is freed by the garbage collector only, which counts objects, not
    their bytes: readers of huge frames took 2 GB.
    """

    def __init__(self) -> None:
        self._are_large = False

    def free(self) -> None:
        """Collect them; to be called before another video is opened."""
        if self._are_large:
            gc.collect()
        self._are_large = False

    def note(self, codec: av.VideoCodecContext) -> None:
        """Remember whether the frames of a video that was decoded are large."""
        self._are_large |= codec.width * codec.height > BULKY


LEFTOVERS = Leftovers()


class Decoder:
    """The decoder of a stream; where frames are large, it may take only so much memory."""

    def __init__(self, stream: av.VideoStream):
        self._codec = stream.codec_context
        self._held = 0

    def decode(self, packet: VideoPacket | None) -> list[av.VideoFrame]:
        """Decode a packet, None for the last frames.

        Raises:
            FrameSizeError: the decoder keeps too many large frames, as a small file may ask for.
            av.FFmpegError: the packet does not decode.
        """
        if self._codec.width * self._codec.height <= LARGE:
            return self._codec.decode(packet)
        check_pixels(self._codec)
        before = resident_bytes()
        frames = self._codec.decode(packet)
        self._held += resident_bytes() - before
        if self._held > MAX_HELD:
            size = f"{self._codec.width} × {self._codec.height} pixels"
            raise FrameSizeError(f"frames of {size} of which the decoder keeps more than {MAX_HELD} bytes")
        return frames


def resident_bytes() -> int:
    """Memory that this process takes."""
    return psutil.Process().memory_info().rss
