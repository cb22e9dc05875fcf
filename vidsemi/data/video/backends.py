"""Decode with decord or torchcodec, for the files that these decode correctly.

Both find frames by the container's index and time stamps. On clips with the frame number drawn into each frame they
silently returned wrong frames: in AVI with B-frames (most frames), in MPEG-TS (all, or an error), for MPEG-4 in MP4
(decord, a fifth), and for open groups of pictures (decord, most frames after the first group; x265 makes these by
default). They count frames without decoding them, and conceal damage in ways of their own. So they get a file only if
its packets show that it is none of these; `read_video` decodes every other with PyAV.
"""

from typing import Any

import numpy as np
from av.codec.context import Flags

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.input_spec import Decoder, Size
from vidsemi.data.video.color import is_usual
from vidsemi.data.video.container import Source, open_video, read_bytes
from vidsemi.data.video.cropping import Crop
from vidsemi.data.video.orientation import UPRIGHT
from vidsemi.data.video.packets import inspector, read_table
from vidsemi.data.video.picture import Picture
from vidsemi.data.video.sequential import decoded_frames
from vidsemi.io.errors import UserError
from vidsemi.runtime.library_errors import first_line

CONTAINERS = ("mov", "matroska", "flv")  # first of FFmpeg's names of the format
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")
CODECS = {"decord": ("h264", "hevc", "vp9"), "torchcodec": ("h264", "hevc", "vp9", "libdav1d")}


def check_decoder(decoder: Decoder) -> None:
    """Refuse a decoder that cannot be imported, with a `UserError`."""
    try:
        if decoder == "decord":
            _decord()
        elif decoder == "torchcodec":
            import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            "decoder.not_installed",
            f"{decoder} cannot be imported ({first_line(error)}); see docs/guides/decoding.md "
            "or set input.decoder to pyav",
        ) from None


def read_with_backend(decoder: Decoder, source: Source, choose: ChooseFrames, size: Size) -> np.ndarray | None:
    """The chosen frames by decord or torchcodec, (N, 3, height, width) uint8; None for a file that needs PyAV."""
    supported = _supported_frames(decoder, source, size)
    if supported is None:
        return None
    count, scaled = supported
    numbers, rows = np.unique(choose(count), return_inverse=True)
    read = _read_decord if decoder == "decord" else _read_torchcodec
    try:
        frames = read(source, numbers, count, scaled)
    except (RuntimeError, ValueError, IndexError, OSError):  # DECORDError is a RuntimeError
        return None
    return None if frames is None else frames[rows]


def _supported_frames(decoder: Decoder, source: Source, size: Size) -> tuple[int, tuple[int, int]] | None:
    """Number of frames and their scaled (height, width) of a file that the decoder decodes correctly; else None."""
    begin = read_bytes(source, 8)
    if begin[4:] not in MP4_BOXES and not begin.startswith((b"\x1a\x45\xdf\xa3", b"FLV")):
        return None  # a playlist may be an MP4 further on
    with open_video(source) as (container, stream):
        codec = stream.codec_context.name
        if container.format.name.split(",")[0] not in CONTAINERS or codec not in CODECS[decoder]:
            return None
        table = read_table(container, stream)
        inspect = inspector(stream)
        if not table.regular or table.kept is None or any(inspect(packet) is None for packet in table.kept):
            return None
        if decoder == "decord" and not table.all_closed:
            return None
    with open_video(source) as (container, stream):
        picture = Picture(source, stream)
        stream.codec_context.flags &= ~Flags.unaligned  # as the libraries decode
        first = next(decoded_frames(source, container, stream), None)
        if first is None or (first.width, first.height) != (stream.codec_context.width, stream.codec_context.height):
            return None
        # the libraries rotate differently, ignore crop boxes, and take a color matrix that they do not know for another
        if picture.orientations.of(first) != UPRIGHT or picture.crop != Crop() or not is_usual(first):
            return None
        return len(table.stamps), picture.size(size, first, UPRIGHT)


def _read_decord(source: Source, numbers: np.ndarray, count: int, size: tuple[int, int]) -> np.ndarray | None:
    reader = _decord().VideoReader(source.url, width=size[1], height=size[0], num_threads=1)
    if len(reader) != count:
        return None
    frames: np.ndarray = reader.get_batch(numbers.tolist()).asnumpy()
    return frames.transpose(0, 3, 1, 2)


def _read_torchcodec(source: Source, numbers: np.ndarray, count: int, size: tuple[int, int]) -> np.ndarray | None:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    reader = VideoDecoder(source.url, num_ffmpeg_threads=1, transforms=[Resize(size)])
    if reader.metadata.num_frames != count:
        return None
    return reader.get_frames_at(numbers.tolist()).data.numpy()


def _decord() -> Any:
    import decord
    import torch  # noqa: F401  (decord before torch can hang or crash)

    decord.logging.set_level(decord.logging.QUIET)
    return decord
