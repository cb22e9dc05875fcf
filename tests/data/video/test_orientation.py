"""Display matrices: frames are turned and mirrored as players show them."""

import gc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.video.test_damaged_files import resident_bytes
from tests.helpers.mp4_boxes import set_matrix
from tests.helpers.pictures import first_frame, gradient, shown, write_picture
from vidsemi.data.manifest import Row
from vidsemi.data.verify import describe
from vidsemi.data.video.backends import read_with_backend
from vidsemi.data.video.container import Source
from vidsemi.data.video.decode import read_video
from vidsemi.data.video.orientation import UPRIGHT, nearest

ONE, LAST = 1 << 16, 1 << 30  # of the first two columns of a display matrix, and of its corner
EIGHT = [turn for x in (1, -1) for y in (1, -1) for turn in ((x, 0, 0, y), (0, x, y, 0))]


@pytest.mark.parametrize("turn", EIGHT)
def test_the_eight_orientations(tmp_path: Path, turn: tuple[int, int, int, int]):
    a, b, c, d = turn
    plain = write_picture(tmp_path / "plain.mp4", gradient())
    stored = first_frame(plain)
    file = set_matrix(
        write_picture(tmp_path / "a.mp4", gradient()), [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, LAST]
    )
    expected = shown(stored, *turn)
    assert np.array_equal(first_frame(file), expected)
    assert first_frame(file, 48).shape == (3, expected.shape[1] // 2, expected.shape[2] // 2)
    info = describe(Row(0, str(file)))
    assert (info.height, info.width) == expected.shape[1:]
    rotations = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 270, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 90}
    assert info.rotation == rotations.get(turn, 0)
    if turn != (1, 0, 0, 1):
        assert read_with_backend("decord", Source(str(file)), lambda n: np.array([0]), (24, 32)) is None


@pytest.mark.parametrize(
    "matrix",
    [
        [0] * 9,  # as mp4box.js and mp4ff wrote it for years
        [ONE, 0, 0, 0, 0, 0, 0, 0, LAST],
        [2 * ONE, 0, 0, 0, 2 * ONE, 0, 0, 0, LAST],
        [56756, 32768, 0, -32768, 56756, 0, 0, 0, LAST],  # 30°
        [ONE, 0, 77, 0, ONE, -5, 1 << 20, 1 << 21, 3],
        [2**31 - 1, -(2**31), 0, 0, 2**31 - 1, 0, 0, 0, 0],
    ],
    ids=["zeros", "one", "scaled", "30 degrees", "shifted", "extreme"],
)
def test_other_matrices_stand_for_the_nearest_orientation(tmp_path: Path, matrix: list[int]):
    stored = first_frame(write_picture(tmp_path / "plain.mp4", gradient()))
    file = set_matrix(write_picture(tmp_path / "a.mp4", gradient()), matrix)
    assert np.array_equal(first_frame(file), stored)
    assert describe(Row(0, str(file))).rotation == 0


NUMBER = st.integers(-(2**31), 2**31 - 1)


@given(NUMBER, NUMBER, NUMBER, NUMBER)
def test_any_matrix_has_a_nearest_orientation(a: int, b: int, c: int, d: int):
    plane = np.arange(6).reshape(2, 3)
    result = nearest(a, b, c, d)
    assert sorted(result.apply(plane).ravel()) == list(range(6))
    assert result.apply(plane).shape == result.size(2, 3)
    distances = {turn: np.square(np.subtract(turn, np.divide([a, b, c, d], 2**31))).sum() for turn in EIGHT}
    exact = {turn: nearest(*turn) for turn in EIGHT}
    if min(abs(x) for x in (a, b, c, d)) > 0 and abs(abs(a) + abs(d) - abs(b) - abs(c)) > 4:
        assert result == exact[min(distances, key=distances.__getitem__)]


def test_shear_is_ignored_but_for_the_lengths_of_the_axes(tmp_path: Path):
    file = set_matrix(write_picture(tmp_path / "a.mp4", gradient()), [ONE, ONE // 4, 0, -ONE // 3, ONE, 0, 0, 0, LAST])
    assert nearest(ONE, ONE // 4, -ONE // 3, ONE) == UPRIGHT
    assert first_frame(file).shape == (3, 96, round(128 * np.hypot(1, 1 / 3) / np.hypot(1, 1 / 4)))


def test_a_scale_that_differs_by_axis_is_the_shape_of_pixels(tmp_path: Path):
    file = set_matrix(write_picture(tmp_path / "a.mp4", gradient()), [2 * ONE, 0, 0, 0, ONE, 0, 0, 0, LAST])
    assert first_frame(file).shape == (3, 96, 256)


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True])
def test_frames_are_not_kept_for_their_matrix(tmp_path: Path, turned: bool):
    """PyAV's side data and their frame keep each other alive until the garbage collector runs."""
    file = write_picture(tmp_path / "a.mp4", gradient(720, 1280), frames=80, options={"preset": "ultrafast"})
    if turned:
        set_matrix(file, [-ONE, 0, 0, 0, ONE, 0, 0, 0, LAST])
    gc.disable()
    try:
        read_video(Source(str(file)), np.arange, size=(24, 32))
        describe(Row(0, str(file)))
        before = resident_bytes()
        read_video(Source(str(file)), np.arange, size=(24, 32))
        describe(Row(0, str(file)))
        assert resident_bytes() - before < 40 << 20  # 220 MB of frames
    finally:
        gc.enable()


def test_upright_frames_are_not_touched():
    plane = np.arange(6).reshape(2, 3)
    assert np.shares_memory(UPRIGHT.apply(plane), plane)
