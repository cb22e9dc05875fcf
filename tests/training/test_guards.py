"""What stops a training in a line: memory, readers, labels, parts, and what is no number."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.data.datasets import TrainDataset
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.pipeline import run as pipeline
from vidsemi.training.checkpoint import Checkpoints
from vidsemi.training.train_step import Learner

STAGE = "seed0/teacher/train"


def test_weights_that_are_not_finite_are_not_saved(
    train_arguments: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    """Though every loss and gradient was: here the running statistics overflow after the third step."""
    step, calls = Learner.step, []

    def overflows(self: Learner, *given: object) -> torch.Tensor:
        calls.append(1)
        outcome = step(self, *given)
        if len(calls) == 3:
            self.network.stem[1].running_var.fill_(torch.inf)
        return outcome

    monkeypatch.setattr(Learner, "step", overflows)
    assert cli.main(train_arguments()) == 2
    assert f"{STAGE}: stem.1.running_var is not finite after 32 examples" in capsys.readouterr().err.splitlines()[-1]
    assert [file.name for file in Checkpoints(tmp_path / "run" / STAGE).files()] == ["checkpoint-000000000016.pt"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_too_little_memory_names_the_keys(
    train_arguments: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
):
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Learner, "step", fails)
    assert cli.main(train_arguments()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{STAGE}: a step of 8 clips in 1 parts needs more memory than cpu has; lower batch_size" in last
    assert "raise parts" in last


def test_other_errors_of_torch_are_not_taken_for_want_of_memory(
    train_arguments: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Learner, "step", fails)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        cli.main(train_arguments())


def test_a_reader_that_is_killed_is_a_line(
    train_arguments: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Of three; the others are ended with the training."""
    before = multiprocessing.active_children()
    monkeypatch.setattr(TrainDataset, "_read", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert cli.main(train_arguments("runtime.workers=3")) == 2
    assert "a process that reads was killed" in capsys.readouterr().err.splitlines()[-1]
    assert multiprocessing.active_children() == before


def test_a_fault_in_a_reader_is_not_taken_for_its_end(
    train_arguments: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(TrainDataset, "_read", fails)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli.main(train_arguments())


@pytest.mark.parametrize(
    ("settings", "mentioned"),
    [
        (["micro_batches=5"], ["batch_size 8", "5 micro-batches", "2 videos"]),
        (["micro_batches=4", "examples=50"], ["examples 50", "last step of 2", "4 micro-batches", "2 videos"]),
    ],
)
def test_micro_batches_that_are_too_small_are_refused_at_once(
    train_arguments: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    settings: list[str],
    mentioned: list[str],
):
    assert cli.main(train_arguments(*[f"train.supervised.{setting}" for setting in settings])) == 2
    err = capsys.readouterr().err
    assert all(words in err for words in mentioned)


def test_labels_outside_the_head(train_arguments: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch):
    config = load_config(train_arguments()[2])
    labels = Manifest.label_indices
    monkeypatch.setattr(Manifest, "label_indices", lambda *a: labels(*a) + 1)
    with pytest.raises(UserError, match="labels go from 1 to 8, but there are 8 classes"):
        pipeline.run(config, until="teacher")
