"""Workers of the training data loader."""

import ctypes
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.errors import refused
from vidsemi.config import Runtime
from vidsemi.data import reachable, train_clips, watch
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.loader import Loader
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips

CUT_OFF = """
import os, socket
from multiprocessing import resource_sharer
from vidsemi.data.loader import start_loader_worker

start_loader_worker(os.environ, 0)
shared = [resource_sharer.DupFd(os.pipe()[0]) for _ in range(20)]
for _ in shared:  # as Ctrl-C leaves a connection
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(resource_sharer._resource_sharer._address)
    caller.close()
shared[0].detach()  # is served after those
{after}
"""


@pytest.mark.slow
def test_a_worker_is_silent_about_a_closed_connection():
    done = subprocess.run([sys.executable, "-c", CUT_OFF.format(after="")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_worker_prints_other_errors():
    hook = "import sys; sys.excepthook(KeyError, KeyError('lost'), None)"
    done = subprocess.run([sys.executable, "-c", CUT_OFF.format(after=hook)], capture_output=True, text=True)
    assert done.stderr == "KeyError: 'lost'\n"


SPEC = InputSpec(frames=2, stride=1, resize=(8, 8), crop=8, mean=(0.5,) * 3, std=(0.5,) * 3)


def dataset_of(manifest: Path) -> TrainClips:
    targets = Targets.single(np.zeros(12, np.int64), 2)
    return TrainClips(load_manifest(manifest), np.arange(12), targets, SPEC, hflip_prob=0, seed=0)


KEYS = [[(0, 2 * number, 0), (0, 2 * number + 1, 0)] for number in range(6)]


def batches(dataset: TrainClips, workers: int, seconds: float = 600) -> tuple[list[list[int]], list[torch.Tensor], set]:
    """Ids and pixels of all batches, and the unreadable examples."""
    runtime = Runtime(workers=workers, seconds_per_file=seconds)
    with Loader(dataset, KEYS, runtime, pin_memory=False) as loader:
        taken = [next(loader.take(1)) for _ in KEYS]
    return [batch.example_ids for batch in taken], [batch.pixels for batch in taken], loader.unreadable


def hang_at(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have the reading of some files take forever, in native code."""
    read = train_clips.read_frames

    def read_or_hang(row: Row, *arguments: object, **options: object) -> np.ndarray:
        if Path(row.path).name in names:
            ctypes.CDLL(None).pause()
        return read(row, *arguments, **options)

    monkeypatch.setattr(train_clips, "read_frames", read_or_hang)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "pixels_of"), [(1, 0), (2, 5)])
def test_a_file_that_hangs_is_named_then_replaced_and_counted(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, workers: int, pixels_of: int
):
    """As if it did not decode; all other batches are what they were."""
    state = torch.get_rng_state()
    ids, pixels, unreadable = batches(dataset_of(pictures), 0)
    drawn = torch.get_rng_state()
    assert ids == [[2 * number, 2 * number + 1] for number in range(6)] and unreadable == set()
    hang_at(monkeypatch, "03.png", "08.png")
    monkeypatch.setattr(watch, "NAMED_AFTER", 0.2)
    monkeypatch.setattr(watch, "LOOK_EVERY", 0.05)
    torch.set_rng_state(state)
    with caplog.at_level(logging.WARNING, logger="vidsemi"):
        found = batches(dataset_of(pictures), workers, seconds=1)
    assert found[0] == [[0, 1], [2, 4], [4, 5], [6, 7], [9, 9], [10, 11]]
    assert found[2] == {3, 8}
    assert torch.equal(found[1][pixels_of], pixels[pixels_of])
    for name in ("03.png", "08.png"):
        lines = [line for line in caplog.messages if name in line]
        assert len(lines) == 2 and "seconds_per_file" in lines[0] and "replaced" in lines[1]
    assert torch.equal(torch.get_rng_state(), drawn)  # DataLoader draws a number, but no more of them


@pytest.mark.slow
def test_a_disk_that_hangs_is_no_fault_of_its_files(pictures: Path, monkeypatch: pytest.MonkeyPatch):
    hang_at(monkeypatch, "03.png")
    monkeypatch.setattr(watch, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(reachable, "WAIT_SECONDS", 0.0)
    dataset = dataset_of(pictures)
    runtime = Runtime(workers=1, seconds_per_file=1)
    with Loader(dataset, KEYS, runtime, pin_memory=False) as loader:
        next(loader.take(1))
        (pictures.parent / "disk").rename(pictures.parent / "away")
        with refused("files.unreachable", "03.png", "longer than 1 s"):
            next(loader.take(1))
    assert loader.unreadable == set()


def test_a_disk_that_goes_away_stops_training_or_is_waited_for(pictures: Path, monkeypatch: pytest.MonkeyPatch):
    there, away = pictures.parent / "disk", pictures.parent / "away"
    ids, pixels, _ = batches(dataset_of(pictures), 0)
    monkeypatch.setattr(reachable, "WAIT_SECONDS", 0.0)
    dataset = dataset_of(pictures)
    with Loader(dataset, KEYS, Runtime(workers=0), pin_memory=False) as loader:
        assert next(loader.take(1)).example_ids == ids[0]
        there.rename(away)
        with refused("files.unreachable", "02.png", "No such file"):
            next(loader.take(1))
    assert loader.unreadable == set()
    monkeypatch.setattr(reachable, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(reachable.time, "sleep", lambda seconds: away.rename(there))
    with Loader(dataset_of(pictures), KEYS, Runtime(workers=0), pin_memory=False) as loader:
        with refused("files.none_reachable", "none of 12", "00.png"):
            next(loader.take(1))
        away.rename(there)
    with Loader(dataset, KEYS, Runtime(workers=0), pin_memory=False) as loader:
        next(loader.take(1))
        there.rename(away)
        assert torch.equal(next(loader.take(1)).pixels, pixels[1])
    assert loader.unreadable == set()
