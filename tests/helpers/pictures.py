"""Write and read videos of one picture."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from vidsemi.data.video.container import Source
from vidsemi.data.video.decode import read_video


def gradient(height: int = 96, width: int = 128) -> np.ndarray:
    """A picture (H, W, 3) in which every place has a color of its own."""
    y, x = np.mgrid[:height, :width]
    return np.stack([60 + 128 * x // width, 60 + 96 * y // height, np.full_like(x, 90)], -1).astype(np.uint8)


def write_picture(
    file: Path,
    picture: np.ndarray,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    frames: int = 3,
) -> Path:
    """Write a video of one picture (H, W, 3), or of ready frames."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"qp": "1"} if options is None else options)
        stream.height, stream.width, stream.pix_fmt = picture.shape[0], picture.shape[1], pix_fmt
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def edit_stream(source: Path, target: Path, description: str) -> Path:
    """Copy a video through one of FFmpeg's bitstream filters."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        change = BitStreamFilterContext(description, old.streams.video[0], stream)
        for packet in old.demux(video=0):
            for changed in change.filter(packet) if packet.dts is not None else []:
                changed.stream = stream
                new.mux(changed)
    return target


def first_frame(file: Path, size: int | tuple[int, int] | None = None) -> np.ndarray:
    """(3, H, W) int."""
    return read_video(Source(str(file)), lambda n: np.array([0]), size=size)[0].astype(int)


def shown(picture: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Move each pixel (x, y) of (3, H, W) to (a·x + c·y, b·x + d·y)."""
    _, height, width = picture.shape
    y, x = np.mgrid[:height, :width]
    right, down = a * x + c * y, b * x + d * y
    result = np.empty((3, np.ptp(down) + 1, np.ptp(right) + 1), picture.dtype)
    result[:, down - down.min(), right - right.min()] = picture
    return result
