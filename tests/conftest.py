"""Videos and datasets that the tests create, and the real files if there are any."""

import csv
import ctypes
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from tests.helpers.videos import write_video

if TYPE_CHECKING:
    from tests.helpers.s3_server import S3Server

REPOSITORY = Path(__file__).resolve().parent.parent

# no test depends on the speed of the machine
settings.register_profile("vidsemi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vidsemi")


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from ordinary tests, whose results are promised to the bit on CPUs; `make test-gpu` shows them.

    Test processes that share the cores take one thread each: OpenMP's threads spin while they wait, and several of two
    threads on two cores took four times the processor time (`test_it_learns` 40 s, not 10 s).
    """
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch reads both when it is imported


def pytest_collection_finish() -> None:
    """Spare the garbage collector what the tests have imported, which it would look through again and again."""
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # else some libraries report all of it as leaks


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device and `make test-gpu`")


MAX_GROWTH = 64 << 20  # bytes of this process since memory was last given back
_resident = {"after the last time": 0}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Give memory back after tests that took much: inference has glibc keep what is freed (`runtime.device`)."""
    result = yield
    process = psutil.Process()
    if process.memory_info().rss - _resident["after the last time"] > MAX_GROWTH:
        gc.collect()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)
        _resident["after the last time"] = process.memory_info().rss
    return result


@pytest.fixture(autouse=True, scope="session")
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder, removed in the end, for what killed processes of the tests leave behind, and torchrun always."""
    tmp_path_factory.getbasetemp()  # which stays where it is
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="vs-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"], tempfile.tempdir = folder, None
        yield
    tempfile.tempdir = None
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before


@pytest.fixture(scope="module")
def running() -> "Iterator[S3Server]":
    """An S3 server on this machine."""
    from tests.helpers.s3_server import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def server(running: "S3Server", monkeypatch: pytest.MonkeyPatch) -> "Iterator[S3Server]":
    """The S3 server, without faults, and clients that ask again at once."""
    from vidsemi.io import store_patience

    monkeypatch.setattr(store_patience, "LONGEST_DELAY", 0.01)
    yield running
    running.fault = lambda method, path: None


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Make a video of barcodes: make_video("a.mp4", frames=20, codec="libx264"); more in `helpers/videos.py`."""
    return lambda name, **options: write_video(tmp_path / name, **options)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small moving_shapes dataset: 3 labeled, 6 unlabeled and 2 test clips a class, 4 of no class."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    script = REPOSITORY / "datasets" / "moving_shapes" / "prepare.py"
    sizes = ["--labeled", "3", "--unlabeled", "6", "--no-class", "4", "--test", "2"]
    subprocess.run([sys.executable, script, "--output", folder, *sizes], check=True, capture_output=True)
    return folder


def write_tiny_config(file: Path, shapes: Path, text: str = "") -> Path:
    """Write a config that runs in seconds; its output is the folder `run` beside it."""
    file.write_text(
        f"""
output: {file.parent / "run"}
data: {{labeled: {shapes}/labeled.csv, unlabeled: {shapes}/unlabeled.csv, test: {shapes}/test.csv}}
input: {{resize: [20, 20], crop: 16, hflip_prob: 0}}
teacher: {{model: r2plus1d_10, frames: 4, args: {{width: 0.0625}}}}
students:
  - {{name: small, model: r2plus1d_10, frames: 4, args: {{width: 0.0625}}}}
train:
  supervised: {{examples: 24, batch_size: 8, learning_rate: 0.01}}
  pretrain: {{examples: 24, batch_size: 8, learning_rate: 0.01}}
  finetune: {{examples: 16, batch_size: 8, learning_rate: 0.001}}
score: {{views: 2, shard_size: 20, precision: float32}}
select: {{per_class: 3, per_example: 2}}
evaluate: {{views: 2}}
runtime: {{device: cpu, workers: 0}}
{text}
""",
        encoding="utf-8",
    )
    return file


@pytest.fixture
def tiny_config(shapes: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a config that runs in seconds; further settings as `key.path=value`."""
    return lambda name="tiny.yaml", text="": write_tiny_config(tmp_path / name, shapes, text)


@pytest.fixture
def train_arguments(tiny_config: Callable[..., Path]) -> Callable[..., list[str]]:
    """The command line that trains a teacher in 6 steps, with a checkpoint after every second."""

    def write(*more: str) -> list[str]:
        settings = ["train.supervised.examples=48", "runtime.checkpoint_steps=2", "runtime.workers=1", *more]
        return ["run", "--cfg", str(tiny_config()), "--until", "teacher", *settings]

    return write


@pytest.fixture
def die_in_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """die_in_steps(3, 7): the third and the seventh training step from now on raise KeyboardInterrupt.

    Returns the numbers of the steps that were started, as they come.
    """
    from vidsemi.training.train_step import TrainStep

    def install(*numbers: int) -> list[int]:
        step, started = TrainStep.run, []

        def dies(*arguments: object) -> object:
            started.append(len(started) + 1)
            if started[-1] in numbers:
                raise KeyboardInterrupt
            return step(*arguments)

        monkeypatch.setattr(TrainStep, "run", dies)
        return started

    return install


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch use one thread of this process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as a CSV: write_csv("m.csv", ["path", "label"], [["a.mp4", "x"]])."""

    def write(name: str, header: list[str], rows: list[list[str]]) -> Path:
        file = tmp_path / name
        with open(file, "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *rows])
        return file

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files, from VIDSEMI_REAL_DATA."""
    folder = os.environ.get("VIDSEMI_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set VIDSEMI_REAL_DATA to the folder of real files")
    return Path(folder)


@pytest.fixture(scope="session")
def untrained_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network with running statistics and a head that do not leave all scores alike; not to be changed."""
    import torch

    from vidsemi.data.input_spec import InputSpec
    from vidsemi.models.weights_file import NetworkSpec, save_weights

    torch.manual_seed(0)
    directions = ["east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west"]
    names = [f"drifting {direction}" for direction in directions]
    takes = InputSpec(frames=4, stride=1, resize=(20, 24), crop=16, mean=(0.4, 0.5, 0.3), std=(0.2, 0.25, 0.3))
    spec = NetworkSpec("r2plus1d_10", {"width": 0.0625}, names, takes)
    network = spec.build()
    network(torch.randn(8, 3, 4, 16, 16))
    torch.nn.init.normal_(network.fc.weight, std=2.0)
    file = tmp_path_factory.mktemp("weights") / "weights.pt"
    save_weights(file, network, spec, {})
    torch.save(torch.get_rng_state(), file.with_name("rng.pt"))
    return file


@pytest.fixture
def weights(tmp_path: Path, untrained_weights: Path) -> Path:
    """A copy of `untrained_weights` in the test's own folder; torch's generator is as it was after they were made."""
    import torch

    torch.set_rng_state(torch.load(untrained_weights.with_name("rng.pt")))
    return Path(shutil.copy(untrained_weights, tmp_path / "weights.pt"))


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    """Red, green and blue images with noise, 6 a class to train on and 3 to test, as manifests."""
    rng = np.random.default_rng(0)
    for name, number in (("train", 6), ("test", 3)):
        rows = ["path,label"]
        for color, channel in (("blue", 2), ("green", 1), ("red", 0)):
            for index in range(number):
                pixels = rng.integers(0, 200, (24, 30, 3), dtype=np.uint8)
                pixels[..., channel] = np.minimum(pixels[..., channel].astype(int) + 150, 255)
                file = tmp_path / f"{name}_{color}{index}.png"
                Image.fromarray(pixels).save(file)
                rows.append(f"{file.name},{color}")
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.fixture
def config_of(tmp_path: Path) -> Callable[..., Path]:
    """Write the config of a transfer with a target."""

    def written(target: str, name: str = "transfer.yaml") -> Path:
        (tmp_path / name).write_text(
            f"output: {tmp_path / 'moved'}\nruntime: {{device: cpu, workers: 0}}\ntransfer:\n  - {target}\n"
        )
        return tmp_path / name

    return written


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A manifest of twelve pictures of one color each."""
    (tmp_path / "disk").mkdir()
    for number in range(12):
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(tmp_path / "disk" / f"{number:02d}.png")
    (tmp_path / "m.csv").write_text("path\n" + "".join(f"disk/{number:02d}.png\n" for number in range(12)))
    return tmp_path / "m.csv"
