"""Frames scaled to a shorter side equal those scaled to that height and width."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.functional import _compute_resized_output_size

from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.data.transforms import scaled_size
from vidsemi.data.views import ViewReader


@given(size=st.integers(1, 600), height=st.integers(1, 5000), width=st.integers(1, 5000))
def test_the_longer_side_is_that_of_torchvision(size: int, height: int, width: int):
    scaled = scaled_size(size, height, width)
    if max(height, width) <= 8 * min(height, width):
        assert list(scaled) == _compute_resized_output_size((height, width), [size])
    assert min(scaled) == size
    assert max(scaled) <= 8 * size


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize(("width", "height", "expected"), [(96, 64, (20, 30)), (64, 96, (30, 20)), (64, 64, (20, 20))])
def test_videos(make_video: Callable[..., Path], width: int, height: int, expected: tuple[int, int], decoder: str):
    row = Row(0, str(make_video("a.mp4", frames=6, size=(height, width))))
    frames = read_frames(row, lambda n: np.arange(n), size=20, decoder=decoder)  # type: ignore[arg-type]
    assert frames.shape == (6, 3, *expected)
    explicit = read_frames(row, lambda n: np.arange(n), size=expected, decoder=decoder)  # type: ignore[arg-type]
    assert np.array_equal(frames, explicit)


def test_images(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    frames = read_frames(Row(0, str(tmp_path / "a.png")), lambda n: np.arange(n), size=16)
    assert frames.shape == (1, 3, 16, 24)


def test_views_are_center_crops(make_video: Callable[..., Path]):
    row = Row(0, str(make_video("a.mp4", frames=9, size=(64, 96))))
    colors = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    reader = ViewReader(InputSpec(4, 1, 20, 16, *colors), 2)
    views = np.concatenate([reader(request) for request in reader.requests(row)])
    whole = read_frames(row, lambda n: np.arange(n), size=(20, 30))
    assert views.shape == (2, 4, 3, 16, 16)
    assert np.array_equal(views[0], whole[:4, :, 2:18, 7:23])
    assert np.array_equal(views[1], whole[5:9, :, 2:18, 7:23])
