"""Videos whose frames carry their number as black and white columns, and a reference decoder."""

import os
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8  # of the barcode


def barcode_frame(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A frame (H, W, 3) that carries its number as black and white columns."""
    columns = np.array([(number >> bit) & 1 for bit in range(BITS)], np.uint8) * 255
    return np.broadcast_to(columns[np.arange(width) * BITS // width][None, :, None], (height, width, 3)).copy()


def read_barcode(image: np.ndarray) -> int:
    """The number in a frame (3, H, W), whatever its size."""
    width = image.shape[-1]
    centers = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(int(image[..., center].mean() > 127) << bit for bit, center in enumerate(centers))


def write_video(
    file: Path,
    frames: int | Sequence[int] = 20,
    *,
    rate: int = 10,
    codec: str = "libx264",
    bf: int = 2,
    gop: int = 7,
    size: tuple[int, int] = (48, 64),
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    stamps: Sequence[int] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video of barcodes.

    Args:
        file: to write; its suffix names the container.
        frames: number of frames, or the numbers that they carry.
        rate: frames per second.
        codec: the encoder.
        bf: maximum B-frames in a row.
        gop: frames between key frames.
        size: (height, width).
        pix_fmt: pixel format to encode.
        options: of the encoder.
        stamps: time stamps of the frames in units of 1 / rate; even and from 0 by default.
        container_options: of the container.
    """
    numbers = range(frames) if isinstance(frames, int) else frames
    height, width = size
    with av.open(str(file), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = bf
        stream.codec_context.time_base = Fraction(1, rate)
        for position, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(barcode_frame(number, height, width), format="rgb24")
            frame.pts, frame.time_base = (stamps[position] if stamps else position), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if codec == "libsvtav1" and hasattr(os, "sched_setscheduler"):
        # For root, this encoder makes the calling thread a real-time one. It and its children would then starve the
        # threads that they wait for: in a later test, training for 3 steps stalled for minutes.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return file


def rotate_mp4(file: Path, degrees: int) -> Path:
    """Set the display matrix of an MP4 to a rotation by quarter turns."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = np.array([cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 14]) << 16
    content = bytearray(file.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # the fields before the matrix take 40 bytes
    content[place : place + 36] = matrix.astype(">i4").tobytes()
    file.write_bytes(content)
    return file


def cut_by_edit_list(file: Path, ticks: int) -> Path:
    """Let the edit list of an MP4 start `ticks` units of media time later."""
    content = bytearray(file.read_bytes())
    place = content.index(b"elst") + 4 + 4 + 4 + 4  # version, count, duration
    begin = int.from_bytes(content[place : place + 4], "big") + ticks
    content[place : place + 4] = begin.to_bytes(4, "big")
    file.write_bytes(content)
    return file


def full_decode(file: Path, size: tuple[int, int]) -> np.ndarray:
    """All frames of the default stream by a plain PyAV loop, scaled and upright, (n, 3, H, W)."""
    with av.open(str(file), metadata_errors="replace") as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1  # how damage is concealed depends on it
        frames = []
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                packet = packet if packet and packet.size else None
            except IndexError:  # of PyAV, if a file has more streams than its header names; the flush is lost
                packet = None
            with suppress(av.InvalidDataError):
                frames += [upright(frame, size) for frame in stream.codec_context.decode(packet)]
            if packet is None:
                break
    return np.stack(frames)


def upright(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """Scale and rotate one frame, (3, H, W)."""
    turns = round(frame.rotation / 90) % 4
    height, width = size[::-1] if turns % 2 else size
    scaled = frame.reformat(width=width, height=height, format="gbrp", interpolation="BILINEAR")
    return np.rot90(scaled.to_ndarray(), turns).transpose(2, 0, 1)


def link_ffmpeg(folder: Path) -> str:
    """Link PyAV's FFmpeg libraries under the names that torchcodec needs; returns a value for LD_LIBRARY_PATH."""
    libraries = Path(av.__file__).parent.parent / "av.libs"
    for name in ("avcodec", "avdevice", "avfilter", "avformat", "avutil", "swresample", "swscale"):
        (library,) = libraries.glob(f"lib{name}-*.so.*")
        major = library.name.split(".so.")[1].split(".")[0]
        (folder / f"lib{name}.so.{major}").symlink_to(library)
    return f"{folder}:{libraries}"
