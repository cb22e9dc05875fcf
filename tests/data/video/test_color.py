"""Color matrices that FFmpeg's swscale refuses are converted by the standards' formulas, or refused by name."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.helpers.pictures import edit_stream, gradient, write_picture
from vidsemi.data.manifest import Row
from vidsemi.data.verify import describe
from vidsemi.data.video.backends import read_with_backend
from vidsemi.data.video.container import Source
from vidsemi.data.video.decode import read_video
from vidsemi.io.errors import DecodeError

BT709, YCGCO, BT2020_CL, ST2085, DERIVED, DERIVED_CL, ICTCP, IPT = 1, 8, 10, 11, 12, 13, 14, 15
PQ, HLG = 16, 18  # transfer characteristics
LIMITED, FULL = 1, 2  # ranges


def write(
    file: Path, yuv: np.ndarray, *, matrix: int, trc: int = 1, primaries: int = 1, color_range: int = LIMITED
) -> Path:
    """Write Y in [0, 1] and two chroma planes in [-0.5, 0.5], (3, H, W), without loss in 10 bits."""
    black, white, span = (0, 1023, 1023) if color_range == FULL else (64, 940, 896)
    levels = [black + yuv[0] * (white - black), 512 + yuv[1] * span, 512 + yuv[2] * span]
    with av.open(str(file), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *yuv.shape[1:], "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_trc, context.color_primaries = matrix, trc, primaries
        context.color_range = color_range
        frame = av.VideoFrame(yuv.shape[2], yuv.shape[1], "yuv444p10le")
        for plane, level in zip(frame.planes, levels, strict=True):
            lines = np.zeros((plane.height, plane.line_size // 2), "<u2")
            lines[:, : plane.width] = np.rint(np.clip(level, 0, 1023))
            plane.update(lines.tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        frame.colorspace, frame.color_trc, frame.color_primaries = matrix, trc, primaries
        frame.color_range = color_range
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(file)) as container:
        assert next(container.decode(video=0)).colorspace == matrix
    return file


@pytest.fixture
def rgb() -> np.ndarray:
    """Random colors in blocks, (3, 48, 64) in [0, 1]."""
    return np.random.default_rng(0).uniform(0.02, 0.98, (3, 6, 8)).repeat(8, 1).repeat(8, 2)


def read(file: Path) -> np.ndarray:
    return read_video(Source(str(file)), lambda n: np.array([0]))[0] / 255


def with_luma(luma: np.ndarray, rgb: np.ndarray, scale_b: np.ndarray, scale_r: np.ndarray) -> np.ndarray:
    return np.stack([luma, (rgb[2] - luma) / scale_b, (rgb[0] - luma) / scale_r])


def ycgco(rgb: np.ndarray) -> np.ndarray:
    """ITU-T H.273, equations 44 to 46."""
    r, g, b = rgb
    return np.stack([g / 2 + (r + b) / 4, g / 2 - (r + b) / 4, (r - b) / 2])


def bt709(rgb: np.ndarray) -> np.ndarray:
    luma = np.tensordot([0.2126, 0.7152, 0.0722], rgb, 1)
    return with_luma(luma, rgb, np.array(1.8556), np.array(1.5748))


def constant_luminance(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.2020, tables 4 and 5."""
    a, b = 1.0993, 0.0181
    light = np.where(rgb < 4.5 * b, rgb / 4.5, ((rgb + a - 1) / a) ** (1 / 0.45))
    luminance = np.tensordot([0.2627, 0.6780, 0.0593], light, 1)
    luma = np.where(luminance < b, 4.5 * luminance, a * luminance**0.45 - (a - 1))
    blue, red = rgb[2] - luma, rgb[0] - luma
    return with_luma(luma, rgb, np.where(blue <= 0, 1.9404, 1.5816), np.where(red <= 0, 1.7184, 0.9936))


LMS = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096


def ictcp_pq(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, tables 4 and 7."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = rgb ** (1 / m2)
    light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    lms = np.tensordot(LMS, light, 1) ** m1
    signal = ((c1 + c2 * lms) / (1 + c3 * lms)) ** m2
    return np.tensordot(np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096, signal, 1)


def ictcp_hlg(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, tables 5 and 7."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    light = np.where(rgb <= 0.5, rgb**2 / 3, (np.exp((rgb - c) / a) + b) / 12)
    lms = np.tensordot(LMS, light, 1)
    signal = np.where(lms <= 1 / 12, np.sqrt(3 * lms), a * np.log(np.maximum(12 * lms - b, 1e-9)) + c)
    return np.tensordot(np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096, signal, 1)


@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize(
    ("matrix", "forward", "tags"),
    [
        (BT709, bt709, {}),  # swscale's own, to compare
        (YCGCO, ycgco, {}),
        (BT2020_CL, constant_luminance, {"primaries": 9, "trc": 14}),
        (DERIVED_CL, constant_luminance, {"primaries": 9, "trc": 14}),
        (ICTCP, ictcp_pq, {"primaries": 9, "trc": PQ}),
        (ICTCP, ictcp_hlg, {"primaries": 9, "trc": HLG}),
        (DERIVED, bt709, {"primaries": 1}),
        (DERIVED, bt709, {"primaries": 2}),
    ],
)
def test_colors_survive(
    tmp_path: Path, rgb: np.ndarray, matrix: int, forward: Any, tags: dict[str, int], color_range: int
):
    if matrix == ICTCP:
        rgb = 0.4 + 0.3 * rgb  # beside a light of 0.9, rounding to 10 bits hides one of 0.1: PQ makes that 1 to 5000
    file = write(tmp_path / "a.mkv", forward(rgb), matrix=matrix, color_range=color_range, **tags)
    assert abs(read(file) - rgb).max() * 255 < 3
    assert describe(Row(0, str(file))).frames == 1


def test_scaled_frames_of_these_matrices_are_those_of_others(tmp_path: Path, rgb: np.ndarray):
    files = [
        write(tmp_path / "a.mkv", ycgco(rgb), matrix=YCGCO),
        write(tmp_path / "b.mkv", bt709(rgb), matrix=BT709),
    ]
    ours, usual = (read_video(Source(str(f)), lambda n: np.array([0]), size=(30, 45))[0].astype(int) for f in files)
    assert abs(ours - usual).mean() < 1.5


@pytest.mark.parametrize(
    ("matrix", "primaries", "name"),
    [
        (ST2085, 9, "SMPTE ST 2085"),
        (IPT, 9, "IPT-PQ-C2"),
        (16, 1, "YCgCo-Re"),
        (17, 1, "YCgCo-Ro"),
        (DERIVED, 5, "primaries 5"),
        (DERIVED_CL, 1, "primaries 1"),
    ],
)
def test_other_matrices_are_refused_by_name(tmp_path: Path, rgb: np.ndarray, matrix: int, primaries: int, name: str):
    file = write(tmp_path / "a.mkv", ycgco(rgb), matrix=matrix, primaries=primaries)
    for use in (read, lambda file: describe(Row(0, str(file)))):
        with pytest.raises(DecodeError, match=name) as caught:
            use(file)
        assert caught.value.code == "video.unreadable"


@pytest.mark.parametrize("matrix", [YCGCO, ICTCP])
def test_decoders_that_take_a_matrix_for_another_do_not_get_it(tmp_path: Path, matrix: int):
    plain = write_picture(tmp_path / "a.mp4", gradient())
    file = edit_stream(plain, tmp_path / "a.mkv", f"h264_metadata=matrix_coefficients={matrix}")
    assert read_with_backend("decord", Source(str(file)), lambda n: np.array([0]), (24, 32)) is None
    assert read(file).shape == (3, 96, 128)
