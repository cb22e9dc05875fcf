"""The CUDA branches of training on a virtual GPU: the numbers of a CPU, the right devices, no unneeded wait."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.helpers.virtual_cuda import virtual_cuda
from tests.helpers.virtual_device import VirtualCuda
from vidsemi.config import Recipe, Runtime
from vidsemi.data.batch import Batch
from vidsemi.data.input_spec import InputSpec
from vidsemi.models.registry import create_model
from vidsemi.runtime.device import Fetched
from vidsemi.training.metrics import Metrics, Step
from vidsemi.training.train_step import TrainStep

SPEC = InputSpec(frames=4, stride=1, resize=(20, 24), crop=16, mean=(0.4, 0.5, 0.3), std=(0.2, 0.25, 0.3))
CLASSES, STEPS = 5, 3


def small() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv3d(3, 8, 3, 2, bias=False), nn.BatchNorm3d(8), nn.ReLU(inplace=True), nn.Dropout(0.2)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, CLASSES))


def batch(seed: int, clips: int) -> Batch:
    rng = np.random.default_rng(seed)
    pixels = torch.from_numpy(rng.integers(0, 256, (clips, 4, 3, 16, 16), dtype=np.uint8))
    targets = functional.one_hot(torch.from_numpy(rng.integers(0, CLASSES, clips)), CLASSES).float()
    return Batch(pixels, targets, list(range(clips)), [], None)


def train(
    device: str, gpu: VirtualCuda | None = None, micro_batches: int = 1, **settings: object
) -> tuple[TrainStep, list[float]]:
    recipe = Recipe(examples=8 * STEPS, batch_size=8, learning_rate=0.02, **settings)
    runtime = Runtime(device=device, channels_last=False)
    train_step = TrainStep(small(), recipe, SPEC, micro_batches, torch.device(device), runtime)
    metrics = Metrics()
    for number in range(STEPS):
        own = [batch(10 * number + part, 8 // micro_batches) for part in range(micro_batches)]
        own = [part.pin_memory() for part in own] if gpu else own
        if gpu and number == 1:
            gpu.copies.clear()
            gpu.waits.clear()  # once, the network is moved to the device, and its convolutions are tried
        result = train_step.run(own, list(range(micro_batches)), 8, 0.02)
        metrics.add(Step(number + 1, 8 * number, 8, 0.02, [], result))
    if gpu:
        assert not gpu.waits, Counter(gpu.waits)
        assert len(gpu.event_waits) == STEPS - 1  # for the result of the step before
        copying = gpu.copies[0][0]
        assert copying is not gpu.stream(device) and copying.launched == copying.copies and not copying.seen
        assert not gpu.unrecorded
    metrics.flush()
    return train_step, list(metrics.losses)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"micro_batches": 4},
        {"max_grad_norm": 0.1, "nesterov": True},
        {"mixup": 0.4, "label_smoothing": 0.1},
        {"ema": 0.9},
    ],
    ids=str,
)
def test_training_on_a_gpu_gives_the_weights_of_a_cpu_and_waits_for_nothing(settings: dict):
    plain, losses = train("cpu", **settings)
    with virtual_cuda() as gpu:
        train_step, found = train("cuda:0", gpu, **settings)
        assert {str(parameter.device) for parameter in train_step.network.parameters()} == {"cuda:0"}
        train_step.finish()
        state = train_step.network.state_dict()
    plain.finish()
    assert found == pytest.approx(losses, rel=1e-4)
    for name, tensor in plain.network.state_dict().items():
        assert torch.allclose(state[name].float(), tensor.float(), rtol=1e-2, atol=1e-4), name


def test_the_kernels_of_running_statistics_do_not_grow_with_the_layers():
    """One copy and one sum a layer would be 834 kernels a step of an R(2+1)D-34."""
    from vidsemi.training.batch_norm import RunningStatistics

    def launches(layers: int) -> int:
        network = nn.Sequential(*[nn.BatchNorm3d(4) for _ in range(layers)]).to("cuda:0")
        statistics = RunningStatistics(network)
        with statistics.of_micro_batch():
            pass
        before = gpu.launches
        with statistics.of_micro_batch():
            pass
        return gpu.launches - before

    with virtual_cuda() as gpu:
        assert launches(2) == launches(20)


def launches_of_a_step(gpu: VirtualCuda, clips: int = 8, micro_batches: int = 1, **settings: object) -> int:
    """Of the smallest network of the family, when all has been set up."""
    recipe = Recipe(examples=100, batch_size=clips, learning_rate=0.02, precision="bfloat16", **settings)
    device = torch.device("cuda:0")
    train_step = TrainStep(smallest(), recipe, SPEC, micro_batches, device, Runtime(device="cuda:0"))
    metrics, own = Metrics(), [batch(part, clips // micro_batches).pin_memory() for part in range(micro_batches)]
    for number in range(3):
        before = gpu.launches
        result = train_step.run(own, list(range(micro_batches)), clips, 0.02)
        metrics.add(Step(number + 1, 0, clips, 0.02, [], result))
    return gpu.launches - before


def launches_of_a_plain_step(gpu: VirtualCuda, micro_batches: int) -> int:
    """Autocast, cross-entropy, SGD, on normalized clips and without any metrics."""
    network, own = smallest().to("cuda:0").train(), batch(1, 8 // micro_batches)
    optimizer = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9, weight_decay=1e-4)
    clips, targets = own.clips(torch.device("cuda:0"), SPEC, torch.preserve_format), own.targets.to("cuda:0")
    for _ in range(3):
        before = gpu.launches
        optimizer.zero_grad()
        for _ in range(micro_batches):
            with torch.autocast("cuda", torch.bfloat16):
                loss = functional.cross_entropy(network(clips), targets)
            loss.backward()
        optimizer.step()
    return gpu.launches - before


def smallest() -> nn.Module:
    return create_model("r2plus1d_10", num_classes=CLASSES, frames=4, args={"width": 0.0625})


@pytest.mark.parametrize(
    "settings",
    [{}, {"ema": 0.9}, {"micro_batches": 4}, {"ema": 0.9, "max_grad_norm": 0.1, "mixup": 0.4, "label_smoothing": 0.1}],
    ids=str,
)
def test_a_step_launches_few_kernels_more_than_a_plain_loop(settings: dict):
    with virtual_cuda() as gpu:
        ours = launches_of_a_step(gpu, **settings)
        plain = launches_of_a_plain_step(gpu, settings.get("micro_batches", 1))
    assert ours <= 1.3 * plain


def test_the_kernels_of_a_step_do_not_grow_with_the_clips():
    with virtual_cuda() as gpu:
        assert launches_of_a_step(gpu, clips=4) == launches_of_a_step(gpu, clips=12)


def test_a_copy_from_the_device_is_garbage_until_it_has_arrived():
    with virtual_cuda() as gpu:
        numbers = torch.arange(3.0, device="cuda") + 1
        early = numbers.to("cpu", non_blocking=True)
        assert early.isnan().all()
        assert Fetched(numbers).tensor().tolist() == [1, 2, 3]
        torch.cuda.synchronize()
        assert early.tolist() == [1, 2, 3]
    assert len(gpu.event_waits) == 1


def test_cudnn_searches_for_fast_kernels_in_training_only():
    with virtual_cuda() as gpu:
        before = torch.backends.cudnn.benchmark
        train_step, _ = train("cuda:0", gpu)
        assert torch.backends.cudnn.benchmark
        train_step.finish()
        assert torch.backends.cudnn.benchmark == before


def test_tensors_of_two_devices_do_not_meet():
    with virtual_cuda(gpus=2), pytest.raises(RuntimeError, match="same device"):
        torch.ones(2, device="cuda:0") + torch.ones(2, device="cuda:1")
    with virtual_cuda(), pytest.raises(RuntimeError, match="same device"):
        torch.ones(2, device="cuda:0") * torch.ones(2)
