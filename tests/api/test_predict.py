"""`predict`: files and frames in memory, one or several."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import vidsemi
from tests.helpers.errors import refused

RANDOM = np.random.default_rng(0)


def write_clip(file: Path, size: tuple[int, int], pixels: str, codec: str, frames: int = 9) -> Path:
    """A video of colored noise, smooth enough to survive coding."""
    small = RANDOM.integers(0, 256, (frames, 5, 6, 3), np.uint8)
    height, width = size
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = height, width, pixels
        for frame in small:
            image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return file


def decoded(file: Path) -> list[av.VideoFrame]:
    """The frames of a video, by PyAV alone."""
    with av.open(str(file)) as container:
        return list(container.decode(video=0))


def same(one: object, other: object) -> None:
    """Two predictions with the same scores to the bit."""
    assert isinstance(one, vidsemi.Prediction) and isinstance(other, vidsemi.Prediction)
    assert one.error is None and one.classes == other.classes
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.views, other.views)


@pytest.fixture(scope="module")
def model(weights: Path) -> vidsemi.Model:
    return vidsemi.load_model(weights)


@pytest.mark.parametrize(
    ("size", "pixels", "codec"),
    [((20, 20), "yuv420p", "libx264"), ((48, 64), "bgr0", "ffv1"), ((41, 64), "rgb24", "png")],
    ids=["no resizing", "FFV1 in RGB", "PNG"],
)
def test_decoded_frames_score_as_their_file(
    tmp_path: Path, model: vidsemi.Model, size: tuple[int, int], pixels: str, codec: str
):
    file = write_clip(tmp_path / ("a.mov" if codec == "png" else "a.mkv"), size, pixels, codec)
    by_file = model.predict(file, views=3, workers=0)
    frames = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded(file)])
    same(by_file, model.predict(frames, views=3))
    same(by_file, model.predict([*frames], views=3))
    same(by_file, model.predict(torch.from_numpy(frames), views=3))
    several = model.predict([frames, frames[:5]], views=3)
    same(by_file, several[0])


def test_frames_of_pyav_score_as_their_file_whatever_its_colors(tmp_path: Path, model: vidsemi.Model):
    file = write_clip(tmp_path / "a.mp4", (48, 64), "yuv420p", "libx264")
    by_file, frames = model.predict(file, views=3, workers=0), decoded(file)
    same(by_file, model.predict(frames, views=3))
    arrays = model.predict([frame.to_ndarray(format="rgb24") for frame in frames], views=3, top=None)
    reference = dict(zip(by_file.classes, by_file.scores, strict=True))
    for name, score in zip(arrays.classes, arrays.scores, strict=True):
        assert score == pytest.approx(reference.get(name, score), abs=0.02)


def test_an_image_scores_as_its_file(tmp_path: Path, weights: Path):
    model = vidsemi.create_model("resnet18", 3, size=32, resize=40)
    image = Image.fromarray(RANDOM.integers(0, 256, (50, 70, 3), np.uint8))
    image.save(tmp_path / "a.png")
    by_file = model.predict(tmp_path / "a.png", workers=0)
    same(by_file, model.predict(np.asarray(image)))
    assert model.training  # as before


def test_one_or_several(tmp_path: Path, model: vidsemi.Model):
    files = [write_clip(tmp_path / f"{name}.mp4", (20, 20), "yuv420p", "libx264") for name in "ab"]
    options = {"views": 2, "workers": 0}
    one = vidsemi.predict(model, str(files[0]), **options)
    assert one.label == one.classes[0] and len(one.classes) == 5 and one.path == str(files[0])
    assert np.all(np.diff(one.scores) <= 0)
    for several in (files, tmp_path, tuple(map(str, files))):
        got = vidsemi.predict(model, several, **options)
        assert [prediction.path for prediction in got] == list(map(str, files))
        same(got[0], one)
    assert [len(got) for got in [vidsemi.predict(model, files[:1], **options)]] == [1]
    assert vidsemi.predict(model, [], **options) == []
    every = vidsemi.predict(model, files[0], top=None, **options)
    assert sorted(every.classes) == sorted(model.classes)
    assert every.scores.sum() == pytest.approx(1, abs=1e-5)


def test_a_file_that_cannot_be_read_has_an_error(tmp_path: Path, model: vidsemi.Model):
    good = write_clip(tmp_path / "a.mp4", (20, 20), "yuv420p", "libx264")
    (tmp_path / "b.mp4").write_bytes(b"no video")
    found = model.predict([good, tmp_path / "b.mp4"], views=2, workers=0)
    assert found[0].error is None and found[1].error and found[1].label is None
    with refused("predict.nothing_readable", "b.mp4"):
        model.predict(tmp_path / "b.mp4", views=2, workers=0)


def test_the_model_is_left_as_it_was(model: vidsemi.Model):
    network = vidsemi.create_model("r2plus1d_10", 3, frames=4, size=16, resize=(20, 20), args={"width": 0.0625})
    modules = dict(network.named_modules())
    next(module for name, module in modules.items() if isinstance(module, torch.nn.BatchNorm3d)).eval()
    before = {name: module.training for name, module in modules.items()}
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = network.predict(np.zeros((4, 20, 20, 3), np.uint8))
    assert {name: module.training for name, module in modules.items()} == before
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    with torch.no_grad():  # no prediction is left over from before a change
        for parameter in network.parameters():
            parameter.data.mul_(1.5)
    assert not np.array_equal(first.scores, network.predict(np.zeros((4, 20, 20, 3), np.uint8)).scores)
