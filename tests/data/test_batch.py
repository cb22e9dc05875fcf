"""From frames as they were read to clips as the network takes them."""

from collections import Counter

import numpy as np
import pytest
import torch

from vidsemi.data.batch import collate
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.data.train_clips import TrainItem
from vidsemi.data.transforms import center_crop, random_window


def test_crops_and_normalisation_by_hand():
    frames = np.arange(2 * 3 * 6 * 8, dtype=np.uint8).reshape(2, 3, 6, 8)
    assert np.array_equal(center_crop(frames, 4), frames[:, :, 1:5, 2:6])
    plain = random_window(6, 8, 4, 0.0, np.random.default_rng(0))
    flipped = random_window(6, 8, 4, 1.0, np.random.default_rng(0))
    assert (plain.flipped, flipped.flipped) == (False, True)
    assert (plain.top, plain.left) == (flipped.top, flipped.left)
    spec = InputSpec(2, 1, (6, 8), 4, (0.5, 0.25, 0.0), (0.5, 0.5, 1.0))
    x = normalize(torch.from_numpy(frames[None].copy()), spec)
    assert x.shape == (1, 3, 2, 6, 8)
    assert x[0, 1, 1, 2, 3].item() == pytest.approx((frames[1, 1, 2, 3] / 255 - 0.25) / 0.5, abs=1e-6)


def test_windows_are_uniform_over_all_places_that_there_are():
    rng = np.random.default_rng(0)
    windows = [random_window(6, 7, 4, 0.25, rng) for _ in range(6000)]
    places = Counter((window.top, window.left) for window in windows)
    assert len(places) == 3 * 4
    assert all(abs(count - 500) < 100 for count in places.values())  # 4.7 standard deviations
    assert abs(sum(window.flipped for window in windows) - 1500) < 150


def test_frames_of_several_sizes_are_cropped_to_one():
    rng = np.random.default_rng(0)
    spec = InputSpec(2, 1, 6, 4, (0.5, 0.25, 0.0), (0.5, 0.5, 1.0))
    items, expected = [], []
    for number, (height, width) in enumerate([(6, 8), (9, 6), (6, 6)]):
        frames = rng.integers(0, 256, (1, 2, 3, height, width), dtype=np.uint8)
        window = random_window(height, width, 4, number % 2, rng)
        items.append(TrainItem(torch.from_numpy(frames), [window], torch.zeros(8), number, []))
        cut = frames[0, :, :, window.top : window.top + 4, window.left : window.left + 4]
        expected.append(cut[..., ::-1] if number % 2 else cut)
    batch = collate(items)
    for layout in (torch.preserve_format, torch.channels_last_3d):
        x = batch.clips(torch.device("cpu"), spec, layout)
        assert torch.equal(x, normalize(torch.from_numpy(np.stack(expected)), spec))
    assert x.is_contiguous(memory_format=torch.channels_last_3d)
