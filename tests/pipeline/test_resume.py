"""Trainings that are killed, interrupted, terminated, or find a damaged checkpoint or a full disk."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.helpers import warm
from vidsemi.cli import main as cli
from vidsemi.models import weights_file
from vidsemi.training.checkpoint import Checkpoints
from vidsemi.training.log import read_log
from vidsemi.training.preemption import GracefulShutdown

STAGE = "seed0/teacher/train"
DIES = """
import os, signal, sys
from vidsemi.cli import main as cli
from vidsemi.training.train_step import TrainStep
number, at, *arguments = sys.argv[1:]
step, calls = TrainStep.run, []
def dies(*given):
    calls.append(1)
    if len(calls) == int(at):
        (os.kill if int(number) == signal.SIGKILL else os.killpg)(os.getpid(), int(number))
    return step(*given)
TrainStep.run = dies
sys.exit(cli.main(arguments))
"""


@pytest.fixture(autouse=True)
def default_sigint() -> Iterator[None]:
    """As in a terminal; a shell starts what it runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def straight(train_arguments: Callable[..., list[str]], tmp_path: Path) -> bytes:
    """The weights of an undisturbed training run."""
    assert cli.main(train_arguments(f"output={tmp_path / 'straight'}")) == 0
    return (tmp_path / "straight" / STAGE / "weights.pt").read_bytes()


def weights(tmp_path: Path) -> bytes:
    return (tmp_path / "run" / STAGE / "weights.pt").read_bytes()


def steps_of_log(tmp_path: Path) -> list[int]:
    return [event["step"] for event in read_log(tmp_path / "run" / STAGE / "train.jsonl") if event["event"] == "step"]


@pytest.mark.parametrize(
    ("number", "status", "checkpoint_name"),
    [
        (signal.SIGKILL, -signal.SIGKILL, "checkpoint-000000000032.pt"),  # died in the fifth step, the fourth was kept
        (signal.SIGTERM, 143, "checkpoint-000000000040.pt"),  # ended the fifth step
        (signal.SIGINT, 130, "checkpoint-000000000040.pt"),
    ],
)
@pytest.mark.slow
def test_a_stopped_training_resumes(
    train_arguments: Callable[..., list[str]],
    straight: bytes,
    tmp_path: Path,
    number: int,
    status: int,
    checkpoint_name: str,
):
    """A process of its own gets the signal in the midst of its fifth step, and dies or ends as it should.

    Ctrl-C and schedulers reach those that read for it, too.
    """
    (tmp_path / "dies.py").write_text(DIES)
    threads = str(torch.get_num_threads())
    words = [tmp_path / "dies.py", int(number), 5, *train_arguments()]
    done = warm.run(*words, session=True, OMP_NUM_THREADS=threads)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if number != signal.SIGKILL:
        assert "resume with" in done.stderr
    assert Checkpoints(tmp_path / "run" / STAGE).files()[0].name == checkpoint_name
    assert cli.main(train_arguments("runtime.workers=2")) == 0
    assert weights(tmp_path) == straight
    assert Checkpoints(tmp_path / "run" / STAGE).files() == []
    assert steps_of_log(tmp_path) == [1, 2, 3, 4, 5, 6]


def stop(arguments: list[str], die_in_steps: Callable[..., list[int]]) -> None:
    """Let the training die in its sixth step, with checkpoints after the second and the fourth."""
    die_in_steps(6)
    assert cli.main(arguments) == 130


def damage(file: Path, kind: str) -> None:
    content = file.read_bytes()
    if kind == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        file.write_bytes(b"")
    else:  # as pages that a crash has left empty
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "empty", "overwritten"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_is_used(
    train_arguments: Callable[..., list[str]],
    straight: bytes,
    tmp_path: Path,
    die_in_steps: Callable[..., list[int]],
    caplog: pytest.LogCaptureFixture,
    kind: str,
):
    stop(train_arguments(), die_in_steps)
    newest = Checkpoints(tmp_path / "run" / STAGE).files()[0]
    damage(newest, kind)
    started = die_in_steps()
    assert cli.main(train_arguments()) == 0
    assert f"{newest}" in caplog.text
    assert "resuming from" in caplog.text
    assert len(started) == 4  # steps 3 to 6
    assert weights(tmp_path) == straight
    assert steps_of_log(tmp_path) == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_two_damaged_checkpoints_are_left_to_the_user(
    train_arguments: Callable[..., list[str]],
    tmp_path: Path,
    die_in_steps: Callable[..., list[int]],
    capsys: pytest.CaptureFixture[str],
):
    stop(train_arguments(), die_in_steps)
    for file in Checkpoints(tmp_path / "run" / STAGE).files():
        damage(file, "cut")
    capsys.readouterr()
    assert cli.main(train_arguments()) == 2
    assert "[checkpoint.damaged]" in capsys.readouterr().err.splitlines()[-1]
    assert len(Checkpoints(tmp_path / "run" / STAGE).files()) == 2  # nothing is taken from the user


@pytest.mark.slow
def test_a_full_disk_costs_no_checkpoint(
    train_arguments: Callable[..., list[str]],
    straight: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    save = weights_file.save

    def full(path: Path, content: dict) -> None:
        if content.get("examples") == 32:
            path.with_name(f".{path.name}.0.tmp").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(weights_file, "save", full)
        assert cli.main(train_arguments()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in last
    assert "checkpoint-000000000016.pt" in last
    assert "[checkpoint.not_written]" in last
    assert cli.main(train_arguments()) == 0
    assert weights(tmp_path) == straight
    assert not list((tmp_path / "run" / STAGE).glob(".*.tmp"))


def test_the_last_two_checkpoints_are_kept(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    for examples in (8, 16, 1000):
        checkpoints.save(examples, {"n": torch.ones(examples)})
    assert [file.name for file in checkpoints.files()] == ["checkpoint-000000001000.pt", "checkpoint-000000000016.pt"]
    assert torch.load(checkpoints.files()[0], weights_only=True)["examples"] == 1000
    newest = checkpoints.newest()
    assert newest and newest[0] == checkpoints.files()[0]
    assert torch.equal(newest[1]["n"], torch.ones(1000))
    checkpoints.clear()
    assert checkpoints.newest() is None


@pytest.mark.slow
def test_checkpoints_by_time(
    train_arguments: Callable[..., list[str]], tmp_path: Path, die_in_steps: Callable[..., list[int]]
):
    die_in_steps(2)
    assert cli.main(train_arguments("runtime.checkpoint_steps=null", "runtime.checkpoint_seconds=0.000001")) == 130
    assert len(Checkpoints(tmp_path / "run" / STAGE).files()) == 1


def test_a_second_signal_acts_at_once():
    with GracefulShutdown() as shutdown:
        signal.raise_signal(signal.SIGINT)
        assert shutdown.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        shutdown.signal = None


def test_an_unhandled_signal_acts_in_the_end():
    with pytest.raises(KeyboardInterrupt), GracefulShutdown():
        signal.raise_signal(signal.SIGINT)


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with GracefulShutdown() as shutdown:
            signal.raise_signal(signal.SIGINT)
            assert shutdown.signal is None
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
