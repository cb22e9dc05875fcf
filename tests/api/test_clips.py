"""`read_clips`: the test clips of the package, against a plain PyAV loop."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.videos import full_decode, read_barcode
from vidsemi import DecodeError, InputSpec, data, read_clips
from vidsemi.data.manifest import Row
from vidsemi.data.normalize import normalize
from vidsemi.data.views import ViewReader

MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # of the paper's networks


def reference(file: Path, frames: int = 8, clips: int = 10, stride: int = 1) -> np.ndarray:
    """(clips, 3, T, 112, 112) uint8 from all frames of a video."""
    decoded = full_decode(file, (128, 171))
    room = max(len(decoded) - (frames - 1) * stride - 1, 0)
    starts = [i * room // (clips - 1) for i in range(clips)] if clips > 1 else [room // 2]
    chosen = [[min(start + stride * t, len(decoded) - 1) for t in range(frames)] for start in starts]
    return decoded[np.array(chosen)][..., 8:120, 29:141].transpose(0, 2, 1, 3, 4)


def normalized(clips: np.ndarray) -> np.ndarray:
    values = clips.astype(np.float64) / 255 - np.reshape(MEAN, (3, 1, 1, 1))
    return values / np.reshape(STD, (3, 1, 1, 1))


@pytest.mark.parametrize(
    ("length", "asked"), [(60, {}), (60, {"frames": 16, "clips": 3, "stride": 2}), (60, {"clips": 1}), (5, {})]
)
def test_clips_are_those_of_a_plain_decoder(make_video: Callable[..., Path], length: int, asked: dict):
    file = make_video("a.mp4", frames=length)
    expected = reference(file, **asked)
    raw = read_clips(file, normalize=False, **asked)
    assert raw.dtype == torch.uint8 and raw.is_contiguous()
    assert np.array_equal(raw.numpy(), expected)
    clips = read_clips(str(file), **asked)
    assert clips.dtype == torch.float32 and clips.is_contiguous()
    np.testing.assert_allclose(clips.numpy(), normalized(expected), atol=1e-5)


@pytest.mark.slow
def test_clips_of_a_real_video_are_those_of_a_plain_decoder(real_data: Path):
    file = real_data / "clips" / "mmaction2_demo.mp4"
    assert np.array_equal(read_clips(file, normalize=False).numpy(), reference(file))


def test_clips_are_those_of_scoring(make_video: Callable[..., Path]):
    """Whatever the input; also if the clips take several passes over the file."""
    file = make_video("a.mp4", frames=200)
    spec = InputSpec(frames=4, stride=2, resize=40, crop=36, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    reader = ViewReader(spec, 70)
    (first, second) = reader.requests(Row(0, str(file)))
    views = torch.from_numpy(np.concatenate([reader(first), reader(second)]))
    clips = data.read_clips(file, clips=70, input=spec)
    assert clips.shape == (70, 3, 4, 36, 36)
    assert torch.equal(clips, normalize(views, spec))
    assert read_clips(file, 2, 3, stride=5, resize=(30, 30), size=20, input=spec).shape == (3, 3, 2, 20, 20)


def test_a_trim_is_read_alone(make_video: Callable[..., Path]):
    file = make_video("a.mp4", frames=60, rate=10)
    clips = read_clips(file, frames=2, clips=2, resize=(64, 64), size=64, normalize=False, start=2, end=3)
    numbers = [[read_barcode(frame) for frame in clip.transpose(0, 1).numpy()] for clip in clips]
    assert numbers == [[20, 21], [28, 29]]


def test_an_image_is_one_still_clip(tmp_path: Path):
    Image.new("RGB", (300, 200), (10, 20, 30)).save(tmp_path / "a.png")
    clips = read_clips(tmp_path / "a.png", normalize=False)
    assert clips.shape == (1, 3, 8, 112, 112)
    assert clips[0, :, 3, 5, 5].tolist() == [10, 20, 30]


def test_a_file_that_does_not_decode_is_a_decode_error(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for name in ("a.mp4", "gone.mp4", "."):
        with pytest.raises(DecodeError, match=str(tmp_path)) as error:
            read_clips(tmp_path / name)
        assert error.value.code.startswith(("video.", "file."))
