"""What stops a training run with one line: NaN, out of memory, dead workers, wrong labels or micro-batches."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.data.manifest import Manifest
from vidsemi.data.train_clips import TrainClips
from vidsemi.io.errors import UserError
from vidsemi.pipeline import run as pipeline
from vidsemi.training.checkpoint import Checkpoints
from vidsemi.training.train_step import TrainStep

STAGE = "seed0/teacher/train"


@pytest.mark.slow
def test_weights_that_are_not_finite_are_not_saved(
    train_arguments: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    """Though every loss and gradient was: here the running statistics overflow after the third step."""
    run, calls = TrainStep.run, []

    def overflows(self: TrainStep, *given: object) -> torch.Tensor:
        calls.append(1)
        result = run(self, *given)
        if len(calls) == 3:
            self.network.stem[1].running_var.fill_(torch.inf)
        return result

    monkeypatch.setattr(TrainStep, "run", overflows)
    assert cli.main(train_arguments()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert all(words in last for words in (STAGE, "stem.1.running_var", "after 32 examples", "[training.not_finite]"))
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
@pytest.mark.slow
def test_out_of_memory_names_the_keys(
    train_arguments: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
):
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(TrainStep, "run", fails)
    assert cli.main(train_arguments()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    mentioned = ("out of memory on cpu", "8 clips", "1 micro-batches", "micro_batches", "batch_size", STAGE)
    assert all(words in last for words in mentioned)
    assert "[device.out_of_memory]" in last


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "device.out_of_memory"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "device.failed"),
    ],
)
@pytest.mark.slow
def test_a_device_that_fails_while_a_run_resumes_leaves_its_checkpoint(
    train_arguments: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    die_in_steps: Callable[..., list[int]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: Exception,
    code: str,
):
    """The optimizer's momentum moves to the device then."""

    def fails(*_: object) -> None:
        raise error

    die_in_steps(3)
    assert cli.main(train_arguments()) == 130
    checkpoints = Checkpoints(tmp_path / "run" / STAGE).files()
    capsys.readouterr()
    monkeypatch.setattr(torch.optim.SGD, "load_state_dict", fails)
    assert cli.main(train_arguments()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"[{code}]" in last and "start over" not in last
    assert Checkpoints(tmp_path / "run" / STAGE).files() == checkpoints


def test_other_errors_of_torch_are_not_out_of_memory(
    train_arguments: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(TrainStep, "run", fails)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        cli.main(train_arguments())


@pytest.mark.slow
def test_a_killed_worker_is_one_line(
    train_arguments: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Of three; the others are ended with the training."""
    before = multiprocessing.active_children()
    monkeypatch.setattr(TrainClips, "_read", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert cli.main(train_arguments("runtime.workers=3")) == 2
    assert "[loader.worker_died]" in capsys.readouterr().err.splitlines()[-1]
    assert multiprocessing.active_children() == before


@pytest.mark.slow
def test_an_error_of_a_worker_is_not_its_death(
    train_arguments: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(TrainClips, "_read", fails)
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
    with pytest.raises(UserError, match=r"from 1 to 8.* 8 classes") as error:
        pipeline.run(config, until="teacher")
    assert error.value.code == "labels.out_of_range"
