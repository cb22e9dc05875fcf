"""What only a real GPU can show: kernels, memory, streams. `tools/gpu_check.py` measures how fast they are."""

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import REPOSITORY
from tests.helpers.reference_training import SPEC, assert_close, batch, make_data, small
from vidsemi.config import Recipe, Runtime
from vidsemi.data.loader import Loader
from vidsemi.data.manifest import load_manifest
from vidsemi.data.samplers import EpochSampler, MicroBatchSampler
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips
from vidsemi.inference.model import Inference, fastest_precision
from vidsemi.io.errors import UserError
from vidsemi.models.convolution_trial import wrong_convolutions
from vidsemi.models.registry import create_model
from vidsemi.runtime.device import Fetched, _copy_stream, pick_device, upload
from vidsemi.training.train_step import TrainStep
from vidsemi.training.trainer import Trainer

pytestmark = pytest.mark.gpu
GPU, CPU = torch.device("cuda:0"), torch.device("cpu")
CYCLES = 200_000_000  # of `torch.cuda._sleep`, about 0.1 s


@pytest.fixture(autouse=True)
def exact_float32() -> None:
    torch.backends.cudnn.allow_tf32 = False


@pytest.fixture
def data() -> list:
    return make_data()


def steps(device: torch.device, data: list, micro_batches: int = 1, **settings: object) -> TrainStep:
    channels_last = settings.pop("channels_last", None)
    recipe = Recipe(**{"examples": 24, "batch_size": 8, "learning_rate": 0.1, **settings})
    runtime = Runtime(device=str(device), channels_last=channels_last)
    train_step = TrainStep(small(), recipe, SPEC, micro_batches, device, runtime)
    for clips, targets in data:
        pieces = zip(np.split(clips, micro_batches), targets.chunk(micro_batches), strict=True)
        own = [batch(*piece).pin_memory() if device.type == "cuda" else batch(*piece) for piece in pieces]
        train_step.run(own, [7] * micro_batches, 8, 0.1)
    return train_step


@pytest.mark.parametrize("channels_last", [False, True])
def test_training_steps_equal_those_of_a_cpu(data: list, channels_last: bool):
    ours, wanted = steps(GPU, data, channels_last=channels_last), steps(CPU, data)
    ours.finish()
    wanted.finish()
    assert_close(ours.network.cpu(), wanted.network, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"micro_batches": 4}], ids=str)
def test_a_warm_step_waits_for_nothing(data: list, settings: dict):
    micro_batches = settings.get("micro_batches", 1)
    train_step = steps(GPU, data, **settings)
    clips, targets = data[0]
    pieces = zip(np.split(clips, micro_batches), targets.chunk(micro_batches), strict=True)
    own = [batch(*piece).pin_memory() for piece in pieces]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step.run(own, [7] * micro_batches, 8, 0.1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_fetched_numbers_are_right_behind_a_long_kernel():
    numbers = torch.arange(1000.0, device=GPU)
    torch.cuda._sleep(CYCLES)
    assert Fetched(numbers * 2).tensor().tolist() == [2.0 * number for number in range(1000)]


def test_fetching_a_pass_does_not_wait_for_the_next():
    fetched = Fetched(torch.ones(4, device=GPU))
    torch.cuda._sleep(10 * CYCLES)
    later = torch.cuda.Event()
    later.record()
    fetched.tensor()
    assert not later.query()


def test_a_batch_is_copied_while_the_gpu_computes():
    pixels = torch.randint(0, 256, (8, 4, 3, 16, 16), dtype=torch.uint8).pin_memory()
    torch.cuda._sleep(10 * CYCLES)
    computed = torch.cuda.Event()
    computed.record()
    copy = upload(pixels, GPU)
    _copy_stream(GPU).synchronize()
    assert not computed.query()
    assert torch.equal(copy.cpu(), pixels)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.02), ("float16", 0.01)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_scores_are_those_of_a_cpu(data: list, precision: str, tolerance: float, channels_last: bool):
    if precision == "bfloat16" and fastest_precision(GPU) != "bfloat16":
        pytest.skip("this GPU has no bfloat16")
    clips, _ = data[0]
    network = small().eval()
    found = Inference(network, SPEC, GPU, precision, channels_last=channels_last)([clips[:3], clips[3:]])
    torch.testing.assert_close(found.cpu(), Inference(network, SPEC, CPU)([clips]), atol=tolerance, rtol=0)


def test_two_passes_give_the_same_bytes(data: list):
    infer = Inference(small().eval(), SPEC, GPU, fastest_precision(GPU))
    first, second = (infer([data[0][0]]).cpu() for _ in range(2))
    assert torch.equal(first, second)


@pytest.fixture
def dataset(shapes: Path) -> TrainClips:
    manifest = load_manifest(shapes / "labeled.csv")
    targets = Targets.single(manifest.label_indices(manifest.class_names(), "D"), 8)
    return TrainClips(manifest, np.arange(len(manifest)), targets, SPEC, hflip_prob=0.5, seed=3)


def test_pinned_batches_are_those_of_the_main_process_and_memory_stays_flat(dataset: TrainClips):
    def batches(workers: int) -> list[torch.Tensor]:
        order = EpochSampler(np.ones(len(dataset), np.int64), seed=0, start=0, stop=400)
        sampler = MicroBatchSampler(order, step_size=8, micro_batches=1, own=range(1))
        with Loader(dataset, sampler, Runtime(device="cuda:0", workers=workers), pin_memory=True) as loader:
            found = []
            for number, own in enumerate(loader.take(50)):
                clips = own.clips(GPU, SPEC, torch.preserve_format)
                if number % 10 == 0:
                    found.append(clips.cpu())
                if number == 10:
                    before = torch.cuda.memory_allocated()
            assert torch.cuda.memory_allocated() <= before + clips.nbytes
        return found

    assert all(torch.equal(a, b) for a, b in zip(batches(2), batches(0), strict=True))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_gives_the_same_bits_if_deterministic(
    dataset: TrainClips, tmp_path: Path, precision: str, die_in_steps: Callable[..., list[int]]
):
    def run(folder: Path) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        network = create_model("r2plus1d_10", num_classes=8, frames=4, args={"width": 0.125})
        recipe = Recipe(examples=80, batch_size=8, learning_rate=0.02, precision=precision, ema=0.9, mixup=0.2)
        runtime = Runtime(device="cuda:0", workers=0, checkpoint_steps=2, deterministic=True)
        Trainer(network, dataset, recipe, folder=folder, runtime=runtime, title="resume").run()
        return network.state_dict()

    try:
        straight = run(tmp_path / "a")
        die_in_steps(6)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "b")
        resumed = run(tmp_path / "b")
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


class Large(nn.Module):
    """Takes more memory than any GPU has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 48, device=x.device) * self.weight


def test_out_of_memory_is_one_line_and_the_next_thing_works(dataset: TrainClips, tmp_path: Path, data: list):
    recipe = Recipe(examples=16, batch_size=8, learning_rate=0.02)
    runtime = Runtime(device="cuda:0", workers=0)
    with pytest.raises(UserError) as error:
        Trainer(Large(), dataset, recipe, folder=tmp_path, runtime=runtime, title="large").run()
    assert error.value.code == "device.out_of_memory" and "micro_batches" in str(error.value)
    with pytest.raises(UserError) as error:
        Inference(Large(), SPEC, GPU)([data[0][0]])
    assert error.value.code == "device.out_of_memory"
    steps(GPU, data)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_no_convolution_of_r2plus1d_is_wrong(precision: str):
    """In channels-last, the default in 16 bits; a failure names a fault of this GPU's libraries."""
    network = create_model("r2plus1d_18", num_classes=5, frames=8).to(GPU, memory_format=torch.channels_last_3d)
    clips = torch.randn(4, 3, 8, 112, 112, device=GPU).contiguous(memory_format=torch.channels_last_3d)
    torch.backends.cudnn.allow_tf32 = True
    assert wrong_convolutions(network, clips, precision, gradients=True) == []


def test_a_wrong_convolution_is_found():
    class Halved(nn.Conv3d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = super().forward(x)
            return y if y.dtype == torch.float32 else y / 2

    network = nn.Sequential(nn.Conv3d(3, 8, 3), Halved(8, 8, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten()).to(GPU)
    assert wrong_convolutions(network, torch.randn(2, 3, 4, 16, 16, device=GPU), "bfloat16", gradients=True) == ["1"]


def test_six_compiled_training_runs_are_all_compiled(data: list, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    for _ in range(6):
        recipe = Recipe(examples=8, batch_size=8, learning_rate=0.1)
        train_step = TrainStep(small(), recipe, SPEC, 1, GPU, Runtime(device="cuda:0", compile=True))
        train_step.run([batch(*data[0]).pin_memory()], [7], 8, 0.1)
        train_step.finish()
    assert "recompile_limit" not in caplog.text


def test_two_processes_on_one_gpu_are_one_line(monkeypatch: pytest.MonkeyPatch):
    processes = torch.cuda.device_count() + 1
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, str(processes))
    with pytest.raises(UserError) as error:
        pick_device(Runtime())
    assert error.value.code == "device.shared_gpu"


def test_two_workers_score_one_directory_to_the_same_bytes(shapes: Path, weights: Path, tmp_path: Path):
    def score(folder: Path, workers: int) -> dict[str, bytes]:
        words = [sys.executable, "tools/score.py", "--weights", weights, "--manifest", shapes / "unlabeled.csv"]
        words += ["--output", folder, "--shard-size", "10", "--device", "cuda:0"]
        jobs = [subprocess.Popen(list(map(str, words)), cwd=REPOSITORY) for _ in range(workers)]
        assert [job.wait() for job in jobs] == [0] * workers
        return {file.name: file.read_bytes() for file in folder.glob("part-*.parquet")}

    assert score(tmp_path / "a", 1) == score(tmp_path / "b", 2)


def test_the_accuracy_is_that_of_a_cpu(shapes: Path, weights: Path):
    from vidsemi.inference.evaluate import evaluate_weights

    manifest = load_manifest(shapes / "test.csv")
    gpu, cpu = (
        evaluate_weights(
            weights=weights, manifest=manifest, views=4, runtime=Runtime(device=device, workers=0), title="evaluate"
        )
        for device in ("cuda:0", "cpu")
    )
    assert gpu["top1"] == pytest.approx(cpu["top1"], abs=100 / len(manifest))


def test_the_device_has_computed_once():
    assert pick_device(Runtime()).type == "cuda"
