"""Clip sampling against its definition in exact fractions, and by properties."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.data.clip_sampling import clip_indices, random_clip_indices, span, view_indices, view_starts


@pytest.mark.parametrize(
    ("n", "length", "views", "starts"),
    [
        (100, 8, 10, [0, 10, 20, 30, 40, 51, 61, 71, 81, 92]),
        (280, 32, 10, [0, 27, 55, 82, 110, 137, 165, 192, 220, 248]),
        (16, 8, 10, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (8, 8, 10, [0] * 10),
        (5, 8, 10, [0] * 10),
        (1, 8, 3, [0, 0, 0]),
        (100, 8, 1, [46]),
        (9, 8, 1, [0]),
        (10, 8, 2, [0, 2]),
    ],
)
def test_view_starts_by_hand(n: int, length: int, views: int, starts: list[int]):
    assert view_starts(n, length, views) == starts


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(1, 8), st.integers(2, 30))
def test_views_are_floor_of_even_steps(n: int, frames: int, stride: int, views: int):
    length = (frames - 1) * stride + 1
    starts = view_starts(n, length, views)
    step = Fraction(max(n - length, 0), views - 1)
    assert starts == [floor(i * step) for i in range(views)]
    indices = view_indices(n, frames, stride, views)
    assert indices.shape == (views, frames)
    assert indices.min() >= 0
    assert indices.max() <= n - 1
    if n >= length:
        assert indices[0, 0] == 0
        assert indices[-1, -1] == n - 1
        assert (np.diff(indices, axis=1) == stride).all()


@given(st.integers(1, 40), st.integers(1, 32), st.integers(1, 4))
def test_short_videos_repeat_their_last_frame(n: int, frames: int, stride: int):
    indices = clip_indices(0, frames, stride, n)
    assert indices.tolist() == [min(t * stride, n - 1) for t in range(frames)]


def test_span():
    assert [span(1, 1), span(8, 1), span(4, 2), span(32, 2)] == [1, 8, 7, 63]


def test_random_starts_cover_the_whole_range_evenly():
    n, frames, stride = 12, 4, 2  # L = 7, starts 0 … 5
    rng = np.random.default_rng(0)
    starts = [random_clip_indices(n, frames, stride, rng)[0] for _ in range(6000)]
    counts = np.bincount(starts, minlength=6)
    assert len(counts) == 6
    assert (abs(counts - 1000) < 150).all()  # 5 standard deviations of a binomial(6000, 1/6)
