"""Frames as players show them: cropped, in the shape of their pixels, interlaced ones whole."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.mp4_boxes import add_clean_aperture, set_matrix
from tests.helpers.pictures import edit_stream, first_frame, gradient, shown, write_picture
from vidsemi.data.manifest import Row
from vidsemi.data.verify import describe
from vidsemi.data.video.backends import read_with_backend
from vidsemi.data.video.container import Source
from vidsemi.data.video.decode import read_video

QUARTER_TURN = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]


@pytest.mark.parametrize("sides", [(8, 0, 0, 0), (0, 0, 0, 8), (0, 8, 0, 0), (2, 4, 6, 8), (32, 0, 2, 0)])
def test_h264_crops_to_the_pixel(tmp_path: Path, sides: tuple[int, int, int, int]):
    """FFmpeg by itself keeps columns on the left for the sake of aligned memory."""
    left, top, right, bottom = sides
    plain = write_picture(tmp_path / "plain.mp4", gradient())
    crop = f"crop_left={left}:crop_top={top}:crop_right={right}:crop_bottom={bottom}"
    file = edit_stream(plain, tmp_path / "a.mkv", f"h264_metadata={crop}")
    assert np.array_equal(first_frame(file), first_frame(plain)[:, top : 96 - bottom, left : 128 - right])
    if left:
        assert read_with_backend("decord", Source(str(file)), lambda n: np.array([0]), (24, 32)) is None


def test_hevc_crops_to_the_pixel(tmp_path: Path):
    quiet = {"x265-params": "log-level=error:qp=1"}
    plain = write_picture(tmp_path / "plain.mp4", gradient(), codec="libx265", options=quiet)
    file = write_picture(tmp_path / "a.mp4", gradient(90, 122), codec="libx265", options=quiet)  # coded as 96 × 128
    assert first_frame(plain).shape == (3, 96, 128)
    assert abs(first_frame(file) - gradient(90, 122).transpose(2, 0, 1)).mean() < 3


@pytest.mark.parametrize(
    ("box", "sides"),
    [
        ((100, 80, 0, 0), (14, 8, 14, 8)),
        ((100, 80, 4, -2), (18, 6, 10, 10)),
        ((120, 96, 4, 0), (8, 0, 0, 0)),
        ((128, 96, 0, 0), (0, 0, 0, 0)),
        ((200, 96, 0, 0), (0, 0, 0, 0)),  # larger than the picture: damage
        ((0, 0, 0, 0), (0, 0, 0, 0)),
        ((100, 96, 99, 0), (0, 0, 0, 0)),
    ],
)
def test_clean_apertures_are_shown(tmp_path: Path, box: tuple[int, int, int, int], sides: tuple[int, int, int, int]):
    left, top, right, bottom = sides
    stored = first_frame(write_picture(tmp_path / "plain.mov", gradient()))
    file = add_clean_aperture(write_picture(tmp_path / "a.mov", gradient()), *box)
    expected = stored[:, top : 96 - bottom, left : 128 - right]
    assert np.array_equal(first_frame(file), expected)
    info = describe(Row(0, str(file)))
    assert (info.height, info.width) == expected.shape[1:]
    tar = tmp_path / "a.tar"
    tar.write_bytes(bytes(512) + file.read_bytes() + bytes(100))
    member = read_video(Source(str(tar), 512, file.stat().st_size), lambda n: np.array([0]))[0]
    assert np.array_equal(member, expected)


def test_a_clean_aperture_is_cut_before_the_picture_is_turned(tmp_path: Path):
    stored = first_frame(write_picture(tmp_path / "plain.mov", gradient()))
    file = add_clean_aperture(write_picture(tmp_path / "a.mov", gradient()), 120, 96, 4, 0)
    set_matrix(file, QUARTER_TURN)
    assert np.array_equal(first_frame(file), shown(stored[:, :, 8:], 0, 1, -1, 0))
    assert read_with_backend("decord", Source(str(file)), lambda n: np.array([0]), (24, 32)) is None


SIDES = {"left": 0xCC, "top": 0xBB, "right": 0xDD, "bottom": 0xAA}


@pytest.mark.parametrize("side", SIDES)
def test_pixel_crop_of_matroska_is_cut_off(tmp_path: Path, side: str):
    file = write_picture(tmp_path / "a.mkv", gradient())
    stored = first_frame(file)
    unit = b"\x54\xb2\x81\x04"  # DisplayUnit, in whose place PixelCrop fits
    content = file.read_bytes()
    assert content.count(unit) == 1
    file.write_bytes(content.replace(unit, bytes([0x54, SIDES[side], 0x81, 8])))
    rows, columns = {"top": slice(8, None), "bottom": slice(-8)}, {"left": slice(8, None), "right": slice(-8)}
    assert np.array_equal(first_frame(file), stored[:, rows.get(side, slice(None)), columns.get(side, slice(None))])
    assert read_with_backend("decord", Source(str(file)), lambda n: np.array([0]), (24, 32)) is None


ANAMORPHIC = [
    ("a.mp4", "libx264", Fraction(2)),
    ("a.mkv", "libx264", Fraction(4, 3)),
    ("a.ts", "libx264", Fraction(16, 11)),
    ("a.mpg", "mpeg2video", Fraction(4, 3)),
    ("a.avi", "mpeg4", Fraction(12, 11)),
    ("a.mp4", "libx264", Fraction(8, 9)),
    ("a.mp4", "libx264", Fraction(1, 2)),
]


@pytest.mark.parametrize(("name", "codec", "aspect"), ANAMORPHIC)
def test_pixels_that_are_not_square_are_stretched(tmp_path: Path, name: str, codec: str, aspect: Fraction):
    options = {"qp": "1"} if codec == "libx264" else {}
    file = write_picture(tmp_path / name, gradient(), codec=codec, aspect=aspect, options=options)
    height, width = (96, round(128 * aspect)) if aspect > 1 else (round(96 / aspect), 128)
    picture = first_frame(file)
    assert picture.shape == (3, height, width)
    wide = gradient()[np.arange(height) * 96 // height][:, np.arange(width) * 128 // width].transpose(2, 0, 1)
    assert abs(picture - wide).mean() < 4
    scaled = (48, 48 * width // height) if width > height else (48 * height // width, 48)
    assert first_frame(file, 48).shape == (3, *scaled)
    with av.open(str(file)) as container:  # the same pixels as ever if the shape is given
        frame = next(container.decode(video=0)).reformat(width=40, height=30, format="gbrp", interpolation="BILINEAR")
        assert np.array_equal(first_frame(file, (30, 40)), frame.to_ndarray(format="rgb24").transpose(2, 0, 1))
    info = describe(Row(0, str(file)))
    assert (info.height, info.width) == (96, 128)


def test_the_shape_of_pixels_is_that_before_turning(tmp_path: Path):
    file = write_picture(tmp_path / "a.mp4", gradient(), aspect=Fraction(2))
    set_matrix(file, QUARTER_TURN)
    assert first_frame(file).shape == (3, 256, 96)
    assert first_frame(file, 48).shape == (3, 128, 48)


def test_an_absurd_shape_of_pixels_is_ignored(tmp_path: Path):
    assert first_frame(write_picture(tmp_path / "a.mp4", gradient(), aspect=Fraction(500))).shape == (3, 96, 128)


def test_decord_gets_the_shape_of_pixels(tmp_path: Path):
    pytest.importorskip("decord")
    file = write_picture(tmp_path / "a.mp4", gradient(), aspect=Fraction(2), options={"x264-params": "open-gop=0"})
    frames = read_with_backend("decord", Source(str(file)), lambda n: np.array([0]), 48)
    assert frames is not None and frames.shape == (1, 3, 48, 128)
    assert abs(frames[0] - first_frame(file, 48)).mean() < 2


INTERLACED = [
    ("a.mp4", "libx264", {"x264-params": "tff=1", "qp": "10"}),
    ("a.mkv", "libx264", {"x264-params": "bff=1", "qp": "10"}),
    ("a.mpg", "mpeg2video", {"flags": "+ildct+ilme", "qmin": "2", "qmax": "2"}),
]


@pytest.mark.parametrize(("name", "codec", "options"), INTERLACED)
def test_both_fields_of_an_interlaced_frame_are_scaled_as_one_picture(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
):
    """Scaled field by field, every second line of a small picture would be of another moment."""
    picture = np.zeros((288, 352, 3), np.uint8)
    picture[0::2, 80:160] = picture[1::2, 96:176] = 255  # a bar that has moved between the fields
    file = write_picture(tmp_path / name, picture, codec=codec, options=options)
    with av.open(str(file)) as container:
        frame = next(container.decode(video=0))
    assert frame.interlaced_frame
    small = first_frame(file, (72, 88))
    combed = abs(small[:, 1:-1] - (small[:, :-2] + small[:, 2:]) / 2).mean()
    assert combed < 0.5
    progressive = av.VideoFrame.from_ndarray(frame.to_ndarray(), format="yuv420p")  # the same pixels, without the flag
    expected = progressive.reformat(width=88, height=72, format="rgb24", interpolation="BILINEAR").to_ndarray()
    assert abs(small - expected.transpose(2, 0, 1)).mean() < 1
    if name == "a.mp4":
        pytest.importorskip("decord")
        frames = read_with_backend("decord", Source(str(file)), lambda n: np.array([0]), (72, 88))
        assert frames is not None and abs(frames[0] - small).mean() < 2


@pytest.mark.parametrize("width", [97, 100, 104, 120, 128, 340])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
def test_a_frame_that_is_not_scaled_is_whole(tmp_path: Path, width: int, pix_fmt: str):
    """FFmpeg 8 leaves the last columns of some widths as they were in memory."""
    width -= width % 2 if pix_fmt != "yuv444p" else 0
    file = write_picture(tmp_path / "a.mp4", gradient(96, width), pix_fmt=pix_fmt)
    expected = gradient(96, width).transpose(2, 0, 1)
    for size in (None, (96, width), 96):
        for _ in range(2):
            assert abs(first_frame(file, size) - expected).max() < 16
