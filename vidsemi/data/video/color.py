"""Frames to RGB, also those whose color matrix FFmpeg's swscale refuses."""

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

YCGCO, BT2020_CL, DERIVED, DERIVED_CL, ICTCP = 8, 10, 12, 13, 14  # numbers of ITU-T H.273, as in `frame.colorspace`
REFUSED = {11: "SMPTE ST 2085", 15: "IPT-PQ-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro"}
BT2020_PRIMARIES = 9
DERIVED_FROM = {1: Colorspace.ITU709, 2: Colorspace.ITU709, BT2020_PRIMARIES: Colorspace.BT2020}  # 2: not known
HLG = 18  # transfer characteristics
SUBSAMPLED = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuva420p")

# ITU-R BT.2100, tables 5 to 9
RGB_OF_LMS = np.linalg.inv(np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096)
LMS_OF_ICTCP = np.linalg.inv(np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096)
LMS_OF_ICTCP_HLG = np.linalg.inv(np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096)


def is_usual(frame: av.VideoFrame) -> bool:
    """Whether swscale, so also decord and torchcodec, know the color matrix of a frame."""
    return int(frame.colorspace) < YCGCO or int(frame.colorspace) == 9


def check_colors(frame: av.VideoFrame) -> None:
    """Raise a `ValueError` that names the color matrix of a frame if it cannot be converted to RGB."""
    matrix, primaries = int(frame.colorspace), int(frame.color_primaries)
    name = REFUSED.get(matrix)
    derived = {DERIVED: tuple(DERIVED_FROM), DERIVED_CL: (BT2020_PRIMARIES,)}
    if primaries not in derived.get(matrix, (primaries,)):
        name = f"chroma-derived, from color primaries {primaries}"
    if name:
        raise ValueError(f"its color matrix is not supported ({name}); convert the file, for example to BT.709")


def to_rgb(scaler: VideoReformatter, frame: av.VideoFrame, height: int, width: int) -> list[np.ndarray]:
    """Scale a frame bilinearly; returns its planes R, G and B, (height, width) uint8 each.

    swscale scales into planes: 80 µs for a frame of 340×256 → 171×128, where packed `rgb24` takes 175 µs for the same
    values; and networks take planes. Of the matrices that it refuses, BT.2020 with constant luminance, ICtCp and YCgCo
    are computed here; the others are a `ValueError`.
    """
    known = None
    if not is_usual(frame):
        check_colors(frame)
        if int(frame.colorspace) != DERIVED:
            return _computed(scaler, frame, height, width)
        known = DERIVED_FROM[int(frame.color_primaries)]
    # FFmpeg 8 leaves up to eight columns on the right as they were in memory if it does not have to scale
    unscaled = (height, width) == (frame.height, frame.width) and frame.format.name in SUBSAMPLED
    packed = unscaled and width % 16 != 0 and height % 2 == 0
    scaled = scaler.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24" if packed else "gbrp",
        src_colorspace=known,
        dst_colorspace=known,
        interpolation=Interpolation.BILINEAR,
        threads=1,
    )
    if packed:
        return list(_plane(scaled.planes[0], np.uint8)[:, : 3 * width].reshape(height, width, 3).transpose(2, 0, 1))
    green, blue, red = (_plane(plane, np.uint8)[:height, :width] for plane in scaled.planes)
    return [red, green, blue]


def _plane(plane: VideoPlane, kind: type[np.unsignedinteger]) -> np.ndarray:
    """The lines of a plane, with their padding."""
    pixels = np.frombuffer(memoryview(plane), kind)
    return pixels.reshape(-1, plane.line_size // pixels.itemsize)


def _computed(scaler: VideoReformatter, frame: av.VideoFrame, height: int, width: int) -> list[np.ndarray]:
    """As `to_rgb`: scaled as they are, in 16 bits, then converted in floating point."""
    same = Colorspace.ITU709  # on both sides, so that swscale converts nothing
    scaled = scaler.reformat(
        frame,
        width=width,
        height=height,
        format="yuv444p16le",
        src_colorspace=same,
        dst_colorspace=same,
        interpolation=Interpolation.BILINEAR,
        threads=1,
    )
    planes = [_plane(plane, np.uint16)[:height, :width] / 256 for plane in scaled.planes]
    full = int(frame.color_range) == ColorRange.JPEG
    luma = planes[0] / 255 if full else (planes[0] - 16) / 219
    first, second = ((plane - 128) / (255 if full else 224) for plane in planes[1:])
    if int(frame.colorspace) == YCGCO:
        rgb = _ycgco(luma, first, second)
    elif int(frame.colorspace) == ICTCP:
        rgb = (_ictcp_hlg if int(frame.color_trc) == HLG else _ictcp)(luma, first, second)
    else:
        rgb = _bt2020_cl(luma, first, second)
    return [np.rint(np.clip(channel, 0, 1) * 255).astype(np.uint8) for channel in rgb]


def _ycgco(y: np.ndarray, cg: np.ndarray, co: np.ndarray) -> np.ndarray:
    return np.stack([y - cg + co, y + cg, y - cg - co])


def _bt2020_cl(y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> np.ndarray:
    """ITU-R BT.2020, table 4: luma is made from linear light, so green is what is missing from it there."""
    blue = y + cb * np.where(cb <= 0, 1.9404, 1.5816)
    red = y + cr * np.where(cr <= 0, 1.7184, 0.9936)
    green = (_linear(y) - 0.2627 * _linear(red) - 0.0593 * _linear(blue)) / 0.6780
    return np.stack([red, _nonlinear(green), blue])


ALPHA, BETA = 1.09929682680944, 0.018053968510807


def _nonlinear(light: np.ndarray) -> np.ndarray:
    return np.where(light < BETA, 4.5 * light, ALPHA * np.clip(light, BETA, None) ** 0.45 - (ALPHA - 1))


def _linear(signal: np.ndarray) -> np.ndarray:
    return np.where(signal < 4.5 * BETA, signal / 4.5, ((np.clip(signal, 0, None) + ALPHA - 1) / ALPHA) ** (1 / 0.45))


def _ictcp(i: np.ndarray, ct: np.ndarray, cp: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100 with the PQ curve; R, G and B keep it, as those of other PQ frames do."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    signal = np.clip(np.tensordot(LMS_OF_ICTCP, np.stack([i, ct, cp]), 1), 0, 1) ** (1 / m2)
    light = (np.clip(signal - c1, 0, None) / (c2 - c3 * signal)) ** (1 / m1)
    power = np.clip(np.tensordot(RGB_OF_LMS, light, 1), 0, None) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def _ictcp_hlg(i: np.ndarray, ct: np.ndarray, cp: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100 with the HLG curve, which R, G and B keep."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.clip(np.tensordot(LMS_OF_ICTCP_HLG, np.stack([i, ct, cp]), 1), 0, 1)
    light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    light = np.clip(np.tensordot(RGB_OF_LMS, light, 1), 0, 1)
    return np.where(light <= 1 / 12, np.sqrt(3 * light), a * np.log(np.clip(12 * light - b, 1e-9, None)) + c)
