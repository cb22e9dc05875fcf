"""How much of a file is decoded for a training clip, and several clips of a file at once."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.helpers.videos import read_barcode, write_video
from vidsemi.config import Recipe, Runtime
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import load_manifest
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips
from vidsemi.data.video import decode as video
from vidsemi.data.video import selective
from vidsemi.data.video.container import Source, Trim
from vidsemi.data.video.decode import read_video
from vidsemi.data.video.packets import REORDER
from vidsemi.models.registry import create_model
from vidsemi.training.trainer import Trainer

SPEC = InputSpec(frames=4, stride=1, resize=(20, 20), crop=16, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
GOP = 20


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """For each read: packets that were looked at, and those that the decoder got."""
    counts: list[tuple[int, int]] = []
    to_send = selective._to_send

    def spy(needed: np.ndarray, gop_starts: np.ndarray) -> np.ndarray:
        send = to_send(needed, gop_starts)
        counts.append((len(send), int(send.sum())))
        return send

    monkeypatch.setattr(selective, "_to_send", spy)
    monkeypatch.setattr(video, "decode_sequentially", None)
    return counts


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "no-b.avi"])
def test_a_clip_costs_no_more_than_decoding_from_the_key_frame_before_it(
    tmp_path: Path, sent: list[tuple[int, int]], name: str
):
    """Also not more than that to be looked at: nothing of a long file is read but its index."""
    settings = {"codec": "mpeg4", "bf": 0} if name == "no-b.avi" else {"options": {"x264-params": "scenecut=0"}}
    file = write_video(tmp_path / name, [number % 256 for number in range(600)], gop=GOP, **settings)
    with av.open(str(file)) as container:
        keys = [number for number, entry in enumerate(container.streams.video[0].index_entries) if entry.is_keyframe]
    for start in (0, 5, 123, 199, 200, 430, 596):
        frames = read_video(Source(str(file)), lambda n, s=start: np.arange(s, s + 4), size=(24, 32), exact=False)
        assert [read_barcode(frame) for frame in frames] == [number % 256 for number in range(start, start + 4)]
        looked_at, decoded = sent[-1]
        from_key_frame = start - max(key for key in keys if key <= start) + 4
        assert looked_at <= from_key_frame + REORDER
        assert decoded <= from_key_frame + 3  # B-frames are decoded after the frame that is shown after them


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_without_an_index_packets_are_read_but_not_decoded(tmp_path: Path, sent: list[tuple[int, int]], name: str):
    file = write_video(tmp_path / name, 200, gop=GOP, options={"x264-params": "scenecut=0"})
    read_video(Source(str(file)), lambda n: np.arange(150, 154), size=(24, 32), exact=False)
    assert sent[-1][0] == 200
    assert sent[-1][1] <= 150 % GOP + 4 + 3


@pytest.mark.parametrize("exact", [True, False])
def test_a_late_trim_does_not_read_the_file_before_it(tmp_path: Path, sent: list[tuple[int, int]], exact: bool):
    file = write_video(tmp_path / "a.mp4", [number % 256 for number in range(900)], gop=GOP)
    trim = Trim(70.0, 72.0)
    frames = read_video(Source(str(file)), lambda n: np.arange(n), size=(24, 32), trim=trim, exact=exact)
    assert [read_barcode(frame) for frame in frames] == [number % 256 for number in range(700, 720)]
    assert sent[-1][0] < 100


def clips_of(shapes: Path, each: int) -> TrainClips:
    manifest = load_manifest(shapes / "labeled.csv")
    labels = manifest.label_indices(manifest.class_names(), "D")
    targets = Targets.single(labels, 8)
    return TrainClips(manifest, np.arange(len(manifest)), targets, SPEC, hflip_prob=0.5, seed=3, clips_per_video=each)


def test_several_clips_come_from_one_read(shapes: Path, monkeypatch: pytest.MonkeyPatch):
    one, three = clips_of(shapes, 1), clips_of(shapes, 3)
    reads = []
    read = video._decode_after_seeking
    monkeypatch.setattr(video, "_decode_after_seeking", lambda *a: reads.append(a) or read(*a))
    alone, together = one[(2, 5, 0)], three[(2, 5, 0)]
    assert len(reads) == 2
    assert alone.frames.shape == (1, 4, 3, 20, 20)
    assert together.frames.shape == (3, 4, 3, 20, 20)
    assert torch.equal(together.frames[0], alone.frames[0])  # one draw after another from the same generator
    assert together.windows[0] == alone.windows[0]
    assert not torch.equal(together.frames[0], together.frames[1])
    assert len(set(together.windows)) > 1


def train_three_a_video(shapes: Path, folder: Path, checkpoint_seconds: float = 300) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    network = create_model("r2plus1d_10", num_classes=8, frames=4, args={"width": 0.0625})
    recipe = Recipe(examples=48, batch_size=12, learning_rate=0.05, clips_per_video=3)
    runtime = Runtime(device="cpu", workers=0, checkpoint_seconds=checkpoint_seconds)
    metrics = Trainer(network, clips_of(shapes, 3), recipe, folder=folder, runtime=runtime, title="test").run()
    assert (metrics["examples"], metrics["steps"]) == (48, 4)
    return network.state_dict()


@pytest.mark.slow
def test_training_with_several_clips_a_video_resumes_exactly(
    shapes: Path, tmp_path: Path, die_in_steps: Callable[..., list[int]]
):
    straight = train_three_a_video(shapes, tmp_path / "a")
    die_in_steps(3)
    with pytest.raises(KeyboardInterrupt):
        train_three_a_video(shapes, tmp_path / "b", checkpoint_seconds=1e-9)
    resumed = train_three_a_video(shapes, tmp_path / "b")
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


@pytest.mark.parametrize(("key", "value"), [("batch_size", 8), ("examples", 50)])
def test_steps_must_hold_whole_videos(key: str, value: int):
    settings = {"examples": 60, "batch_size": 12, "learning_rate": 0.1, "clips_per_video": 3, key: value}
    with pytest.raises(ValidationError, match=f"{key} {value} is not a multiple of clips_per_video 3"):
        Recipe(**settings)
