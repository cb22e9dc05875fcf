"""What a file really is, by decoding all of it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from vidsemi.data.image import loaded, orientation, upright
from vidsemi.data.manifest import Row
from vidsemi.data.read import is_image, locate
from vidsemi.data.video.container import Source, Trim, decode_errors, open_video, read_bytes
from vidsemi.data.video.sequential import decoded_frames
from vidsemi.io.errors import DecodeError


@dataclass(frozen=True)
class FileInfo:
    """A video, or an image as a video of one frame.

    Attributes:
        frames: that really decode, in the trim.
        damaged: packets that the decoder refused and frames that it calls corrupt, in the whole file.
        seconds: from the first frame that counts to the end of the last; 0 where frames have no time stamps.
        rate: frames a second over that time; None for a single frame, or without time stamps.
        width: of the upright picture.
        height: of the upright picture.
        rotation: degrees by which the container, or an image's EXIF, has the frames turned, counterclockwise.
        codec: FFmpeg's name of the coding, or Pillow's of the image format, and of its pixels if they are not RGB.
        container: FFmpeg's name of the container, or image.
        announced: frames that the container's header speaks of, 0 if it does not; images in an image's file.
    """

    frames: int
    damaged: int
    seconds: float
    rate: float | None
    width: int
    height: int
    rotation: int
    codec: str
    container: str
    announced: int


def describe(row: Row) -> FileInfo:
    """What the file of a row is.

    Raises:
        DecodeError: it cannot be read.
    """
    source = locate(row)
    return _describe_image(source) if is_image(row) else describe_video(source, Trim(row.start, row.end))


def describe_video(source: Source, trim: Trim) -> FileInfo:
    """Decode a video from beginning to end.

    Raises:
        DecodeError: not a single frame can be had, or the file cannot be opened.
    """
    damage: Counter[str] = Counter()
    frames = 0
    first = last = None
    with decode_errors(source.path), open_video(source) as (container, stream):
        for last in decoded_frames(container, stream, trim, damage):
            first = first or last
            frames += 1
        if first is None or last is None:
            raise DecodeError(source.path, f"no frame lies in the trim {trim}" if trim else "no frame decodes")
        seconds = 0.0
        if first.pts is not None and last.pts is not None and stream.time_base is not None:
            seconds = float((last.pts + (last.duration or 0) - first.pts) * stream.time_base)
        turned = round(first.rotation / 90) % 2
        return FileInfo(
            frames=frames,
            damaged=damage.total(),
            seconds=seconds,
            rate=frames / seconds if frames > 1 and seconds > 0 else None,
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            rotation=first.rotation % 360,
            codec=stream.codec_context.name,
            container=container.format.name,
            announced=stream.frames,
        )


def _describe_image(source: Source) -> FileInfo:
    data = read_bytes(source)
    with loaded(source.path, data) as image:
        width, height = upright(source.path, image).size
        name = image.format.lower() if image.mode == "RGB" else f"{image.format} {image.mode}".lower()
        rotation = {3: 180, 6: 270, 8: 90}.get(orientation(image), 0)
        announced = _images_in(image)
    return FileInfo(1, 0, 0.0, None, width, height, rotation, name, "image", announced)


def _images_in(image: Any) -> int:
    """How many images an image's file has; the first is read, so it is no matter if a later one is damaged."""
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # Pillow walks through all of them, and raises as many kinds as files can be damaged
        return 1
