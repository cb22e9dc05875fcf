"""Random resized crops of training clips, against torchvision."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torchvision.transforms import functional
from torchvision.transforms.v2 import RandomResizedCrop

from tests.helpers.videos import write_video
from vidsemi.config import Input
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import load_manifest
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips
from vidsemi.data.transforms import Box, crop_and_resize, random_box

SPEC = InputSpec(frames=4, stride=1, resize=(20, 30), crop=16, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
NOISE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)


@given(st.integers(1, 400), st.integers(1, 400), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 2**32))
def test_boxes_lie_in_the_frame_and_have_the_requested_area_and_shape(
    height: int, width: int, one: float, other: float, seed: int
):
    area = (min(one, other), max(one, other))
    box = random_box(height, width, area, np.random.default_rng(seed))
    assert 0 <= box.top <= height - box.height
    assert 0 <= box.left <= width - box.width
    assert box.height > 0 and box.width > 0
    # Sides are rounded to pixels; if no box fits into the frame, it is the largest part.
    low = (box.height - 0.5) * (box.width - 0.5)
    high = (box.height + 0.5) * (box.width + 0.5)
    fits = low <= area[1] * height * width and area[0] * height * width <= high
    assert fits or box.height == height or box.width == width
    assert (box.width - 0.5) / (box.height + 0.5) <= 4 / 3 and (box.width + 0.5) / (box.height - 0.5) >= 3 / 4


def test_boxes_are_distributed_as_in_torchvision():
    """Mean and deviation of area, shape and place of 4,000 draws lie within five standard errors of each other."""
    draws, area, image = 4000, (0.08, 1.0), torch.zeros(3, 120, 160)
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    theirs = RandomResizedCrop(16, scale=area)
    ours = [random_box(120, 160, area, rng) for _ in range(draws)]
    ours_drawn = [(box.top, box.left, box.height, box.width) for box in ours]
    drawn = [theirs.make_params([image]) for _ in range(draws)]
    theirs_drawn = [(each["top"], each["left"], each["height"], each["width"]) for each in drawn]
    for figure in (
        lambda top, left, height, width: height * width / 19200,
        lambda top, left, height, width: math.log(width / height),
        lambda top, left, height, width: top + height / 2,
        lambda top, left, height, width: left + width / 2,
    ):
        first, second = (np.array([figure(*each) for each in group]) for group in (ours_drawn, theirs_drawn))
        error = math.sqrt((first.var() + second.var()) / draws)
        assert abs(first.mean() - second.mean()) < 5 * error
        assert first.std() == pytest.approx(second.std(), rel=0.08)


@pytest.mark.parametrize("box", [Box(0, 0, 60, 90), Box(7, 11, 30, 23), Box(59, 89, 1, 1), Box(3, 5, 8, 9)])
def test_crops_are_scaled_as_in_torchvision(box: Box):
    wanted = functional.resized_crop(Image.fromarray(NOISE), box.top, box.left, box.height, box.width, [16, 16])
    assert np.array_equal(crop_and_resize(NOISE.transpose(2, 0, 1)[None], box, 16)[0].transpose(1, 2, 0), wanted)


def clips_of(folder: Path, *files: str, each: int = 1, seed: int = 0) -> TrainClips:
    (folder / "m.csv").write_text("path\n" + "".join(f"{file}\n" for file in files))
    targets = Targets.single(np.zeros(len(files), int), 2)
    return TrainClips(
        load_manifest(folder / "m.csv"),
        np.arange(len(files)),
        targets,
        SPEC,
        hflip_prob=0.5,
        seed=seed,
        random_resized_crop_scale=(0.1, 0.5),
        clips_per_video=each,
    )


def test_images_are_cropped_at_full_resolution_and_repeated(tmp_path: Path):
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    item = clips_of(tmp_path, "a.png", each=3)[0, 0, 0]
    assert item.frames.shape == (3, 4, 3, 16, 16)
    assert (item.frames == item.frames[:, :1]).all()
    rng = np.random.default_rng((0, 0, 0, 1))
    for clip in item.frames.numpy():
        box = random_box(60, 90, (0.1, 0.5), rng)
        wanted = functional.resized_crop(Image.fromarray(NOISE), box.top, box.left, box.height, box.width, [16, 16])
        assert np.array_equal(clip[0].transpose(1, 2, 0), wanted)
    assert all((window.top, window.left, window.size) == (0, 0, 16) for window in item.windows)
    assert {window.flipped for key in range(9) for window in clips_of(tmp_path, "a.png")[key, 0, 0].windows} == {
        True,
        False,
    }


def test_a_clip_has_one_box_that_depends_on_epoch_example_and_repeat_only(tmp_path: Path):
    write_video(tmp_path / "a.mp4", [7] * 12)  # all frames are alike
    Image.fromarray(NOISE).save(tmp_path / "b.png")
    clips = clips_of(tmp_path, "a.mp4", "b.png", each=2)
    item = clips[3, 0, 0]
    assert item.frames.shape == (2, 4, 3, 16, 16)
    spread = item.frames.float().amax(1) - item.frames.float().amin(1)
    assert spread.max() <= 12  # noise of the codec; another box would be far off
    assert not torch.equal(item.frames[0], item.frames[1])
    assert torch.equal(clips_of(tmp_path, "a.mp4", "b.png", each=2)[3, 0, 0].frames, item.frames)
    for other in (clips[4, 0, 0], clips[3, 0, 1], clips_of(tmp_path, "a.mp4", "b.png", each=2, seed=1)[3, 0, 0]):
        assert not torch.equal(other.frames, item.frames)


@pytest.mark.parametrize("shares", [[0, 1], [0.5, 0.2], [0.5, 1.5], [0.5], "all"])
def test_invalid_scales_are_refused(shares: object):
    with pytest.raises(ValidationError, match="random_resized_crop_scale"):
        Input(random_resized_crop_scale=shares)
