"""Crop boxes that a container keeps apart from the codec: clean aperture (MP4, QuickTime) and PixelCrop (Matroska).

Players and the ffmpeg command apply them; FFmpeg's libraries do not, nor does PyAV show them. So the few bytes are read
here: of an MP4 the headers of some 20 boxes, of a Matroska file its description of the tracks.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import BinaryIO, NamedTuple

import av

from vidsemi.data.video.container import Source

SAMPLE_ENTRY = 8 + 78  # bytes of a description of video frames, before the boxes in it
MAX_TRACKS = 1 << 20  # bytes of a Matroska file's description of its tracks
MAX_BOXES = 1000  # side by side
SEGMENT, CLUSTER, TRACKS, ENTRY, TYPE, VIDEO = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0x83, 0xE0
SIDES = {0x54CC: 0, 0x54BB: 1, 0x54DD: 2, 0x54AA: 3}  # PixelCrop elements, in the order of `Crop`


class Crop(NamedTuple):
    """Pixels to cut off a decoded frame."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


def container_crop(source: Source, stream: av.VideoStream) -> Crop:
    """The crop box that the container has for a stream; none if there is none, or if it is damaged."""
    name = stream.container.format.name
    read = _mp4_crop if name.startswith("mov") else _matroska_crop if name.startswith("matroska") else None
    if read is None:
        return Crop()
    with source.open() as file:
        begin, end = source.limits(file)
        try:
            crop = read(file, begin, end, stream)
        except (EOFError, ZeroDivisionError):
            return Crop()
    width, height = stream.codec_context.width, stream.codec_context.height
    inside = min(crop) >= 0 and crop.left + crop.right < width and crop.top + crop.bottom < height
    return crop if inside else Crop()


def _mp4_crop(file: BinaryIO, begin: int, end: int, stream: av.VideoStream) -> Crop:
    for moov in _boxes(file, begin, end, b"moov"):
        for trak in _boxes(file, *moov, b"trak"):
            for tkhd, _ in _boxes(file, *trak, b"tkhd"):
                version = _number(file, tkhd, 1)
                if _number(file, tkhd + (20 if version else 12), 4) == stream.id:
                    return _clean_aperture(file, trak, stream)
    return Crop()


def _clean_aperture(file: BinaryIO, trak: tuple[int, int], stream: av.VideoStream) -> Crop:
    places = [trak]
    for name in (b"mdia", b"minf", b"stbl", b"stsd"):
        places = [box for place in places for box in _boxes(file, *place, name)]
    for stsd, _ in places[:1]:
        entry = stsd + 8
        for clap, _ in _boxes(file, entry + SAMPLE_ENTRY, entry + _number(file, entry, 4), b"clap"):
            pairs = [(_number(file, clap + 8 * i, 4), _number(file, clap + 8 * i + 4, 4)) for i in range(4)]
            width, height = (Fraction(*pair) for pair in pairs[:2])
            across, down = (Fraction(_signed(top), bottom) for top, bottom in pairs[2:])
            spare_x, spare_y = stream.codec_context.width - width, stream.codec_context.height - height
            left, top = floor(spare_x / 2 + across), floor(spare_y / 2 + down)
            return Crop(left, top, floor(spare_x - left), floor(spare_y - top))
    return Crop()


def _boxes(file: BinaryIO, begin: int, end: int, name: bytes) -> Iterator[tuple[int, int]]:
    """The places of the contents of boxes of that name, [first byte, end)."""
    for _ in range(MAX_BOXES):
        if begin + 8 > end:
            return
        size, found, header = _number(file, begin, 4), _read(file, begin + 4, 4), 8
        if size == 1:
            size, header = _number(file, begin + 8, 8), 16
        stop = end if size == 0 else min(begin + size, end)
        if stop < begin + header:
            return
        if found == name:
            yield begin + header, stop
        begin = stop


def _matroska_crop(file: BinaryIO, begin: int, end: int, stream: av.VideoStream) -> Crop:
    number = [other.index for other in stream.container.streams.video].index(stream.index)
    for segment in _elements(file, begin, end, SEGMENT):
        for tracks, stop in _elements(file, *segment, TRACKS):
            videos = []
            for entry in _elements(file, tracks, min(stop, tracks + MAX_TRACKS), ENTRY):
                if any(_number(file, at, last - at) == 1 for at, last in _elements(file, *entry, TYPE)):
                    videos.append(entry)
            if number < len(videos):
                crop = [0, 0, 0, 0]
                for video in _elements(file, *videos[number], VIDEO):
                    for side, place in SIDES.items():
                        for at, last in _elements(file, *video, side):
                            crop[place] = _number(file, at, last - at)
                return Crop(*crop)
    return Crop()


def _elements(file: BinaryIO, begin: int, end: int, name: int) -> Iterator[tuple[int, int]]:
    """The places of the contents of EBML elements of that name, up to the first cluster, [first byte, end)."""
    for _ in range(MAX_BOXES):
        if begin >= end:
            return
        found, place = _variable(file, begin, keep_marker=True)
        size, place = _variable(file, place, keep_marker=False)
        stop = end if size is None else min(place + size, end)
        if found == name:
            yield place, stop
        if found == CLUSTER:
            return
        begin = stop


def _variable(file: BinaryIO, place: int, *, keep_marker: bool) -> tuple[int | None, int]:
    """An EBML number of variable length, None if unknown, and the place after it."""
    first = _number(file, place, 1)
    length = 9 - first.bit_length()
    if length > 8:
        raise EOFError("not an EBML number")
    value = _number(file, place, length)
    ones = (1 << 7 * length) - 1
    if not keep_marker:
        value &= ones
    return (None if value == ones and not keep_marker else value), place + length


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    content = file.read(size)
    if len(content) < size:
        raise EOFError("the file ends")
    return content


def _number(file: BinaryIO, place: int, size: int) -> int:
    if not 0 < size <= 8:
        raise EOFError("not a number")
    return int.from_bytes(_read(file, place, size), "big")


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
