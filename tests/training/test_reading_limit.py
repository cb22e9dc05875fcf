"""A training run that waits for its readers says so once: in the log, in train.jsonl, in the report."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vidsemi.config import Recipe, Runtime
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.data.reachable import Rows
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips
from vidsemi.models.registry import create_model
from vidsemi.training import reading_limit
from vidsemi.training.log import read_log
from vidsemi.training.reading_limit import LIMIT, WARM_UP, WINDOW, ReadingLimit
from vidsemi.training.trainer import Trainer


class Clips:
    """As much of a training dataset as the advice looks at."""

    def __init__(self, path: str = "a.mp4", clips_per_video: int = 1):
        self.manifest, self.clips_per_video = Rows([Row(0, path)]), clips_per_video


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., list[dict[str, Any]]]:
    """Checks at some seconds, at which each process has waited for a share of the time; returns the logged events."""

    def check(shares: list[float], seconds: list[float], clips: Any = None, workers: int = 2) -> list[dict[str, Any]]:
        caplog.set_level(logging.WARNING)
        events: list[dict[str, Any]] = []
        limit = ReadingLimit(clips or Clips(), Runtime(workers=workers), "student")
        for now in seconds:
            monkeypatch.setattr(reading_limit, "gather", lambda _, now=now: [[now, share * now] for share in shares])
            limit.check(now, shares[0] * now, lambda event, **values: events.append({"event": event, **values}))
        assert len(caplog.records) == len(events)
        return events

    return check


STEPS = [WARM_UP / 2, WARM_UP, WARM_UP + WINDOW / 2, WARM_UP + WINDOW, WARM_UP + 3 * WINDOW]


def test_a_run_that_waits_for_clips_says_so_once(checked: Callable[..., list], caplog: pytest.LogCaptureFixture):
    (event,) = checked([0.62], STEPS)
    assert event["event"] == "reading_limit"
    assert (event["waited"], event["seconds"]) == (pytest.approx(0.62), WINDOW)
    assert "student" in caplog.text and "62%" in caplog.text and event["advice"] in caplog.text


def test_short_waits_and_short_runs_say_nothing(checked: Callable[..., list]):
    assert checked([0.9 * LIMIT], STEPS) == []
    assert checked([0.9], STEPS[:3]) == []


def test_the_process_that_waits_most_decides(checked: Callable[..., list]):
    """The others wait for it, but not for clips."""
    (event,) = checked([0.02, 0.5, 0.01], STEPS)
    assert event["waited"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("clips", "workers", "mentioned"),
    [
        (Clips(), 1024, ["vidsemi shrink", "clips_per_video: 4"]),
        (Clips(clips_per_video=4), 1024, ["vidsemi shrink"]),
        (Clips(), 0, ["runtime.workers (now 0", "vidsemi shrink", "clips_per_video: 4"]),
        (Clips("a.jpg"), 1024, ["images"]),
    ],
)
def test_the_advice_names_what_is_left_to_do(
    checked: Callable[..., list], clips: Clips, workers: int, mentioned: list[str]
):
    advice = checked([0.5], STEPS, clips, workers)[0]["advice"]
    parts = advice.split(", or ")
    assert len(parts) == len(mentioned)
    assert all(words in part for part, words in zip(parts, mentioned, strict=True))


def test_a_training_run_writes_the_event_to_its_log(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for name in ("WARM_UP", "WINDOW", "LIMIT"):
        monkeypatch.setattr(reading_limit, name, 0.0)
    manifest = load_manifest(shapes / "labeled.csv")
    targets = Targets.single(manifest.label_indices(manifest.class_names(), "D"), 8)
    spec = InputSpec(4, 1, (20, 20), 16, (0.4, 0.4, 0.4), (0.2, 0.2, 0.2))
    clips = TrainClips(manifest, np.arange(len(manifest)), targets, spec, hflip_prob=0.5, seed=3)
    torch.manual_seed(0)
    network = create_model("r2plus1d_10", num_classes=8, frames=4, args={"width": 0.0625})
    recipe, runtime = Recipe(examples=32, batch_size=8, learning_rate=0.05), Runtime(device="cpu", workers=0)
    Trainer(network, clips, recipe, folder=tmp_path, runtime=runtime, title="test").run()
    events = [event for event in read_log(tmp_path / "train.jsonl") if event["event"] == "reading_limit"]
    assert [event["examples"] for event in events] == [16]  # the first step is the beginning
    assert 0 < events[0]["waited"] < 1
    assert [record.levelname for record in caplog.records if "reading limits" in record.message] == ["WARNING"]
