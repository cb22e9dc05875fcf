"""Ways to train a network on clips in memory.

`python -m tools.bench.train_contenders TREATMENT PRECISION SETTING SECONDS` times one, after a few warm-up steps.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from tools.bench.usage import PeakMemory
from vidsemi.config import Input, Log, Recipe, Runtime
from vidsemi.data.input_spec import InputSpec, Size
from vidsemi.data.manifest import Row
from vidsemi.data.normalize import normalize
from vidsemi.data.reachable import Rows
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainItem
from vidsemi.data.transforms import Window
from vidsemi.models.registry import create_model
from vidsemi.runtime.device import keep_freed_memory
from vidsemi.training.trainer import Trainer

Precision = Literal["float32", "bfloat16"]

CLASSES = 400
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 1e-4
WARM_UP = 3  # steps that are not timed: the first may compile, and memory is allocated
MIN_STEPS = 3  # to time
NO_END = 1_000_000  # steps, which no run reaches


@dataclass(frozen=True)
class Setting:
    """Network, input and device that all contenders of a table have in common."""

    model: str
    args: dict[str, Any]
    frames: int
    size: int
    batch: int
    device: str

    def network(self) -> nn.Module:
        """The network, with the same initial weights each time."""
        torch.manual_seed(0)
        return create_model(self.model, num_classes=CLASSES, frames=self.frames, args=self.args)

    def spec(self, resize: Size) -> InputSpec:
        """Input of the network, cropped from frames of a size."""
        default = Input()
        return InputSpec(self.frames, default.stride, resize, self.size, default.mean, default.std)

    def recipe(self, precision: Precision, *, clips: int, each: int = 1) -> Recipe:
        """The recipe of the plain loop, for a number of clips, `each` of them from a file at a time."""
        return Recipe(
            examples=clips,
            batch_size=self.batch,
            learning_rate=LEARNING_RATE,
            lr_steps=0,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
            precision=precision,
            clips_per_video=each,
        )

    def to_json(self) -> str:
        """As one argument of a command line."""
        return json.dumps(asdict(self))


class Enough(BaseException):
    """Raised by the clock when enough steps have been timed; stops training as Ctrl-C would."""


class Clock:
    """Times steps. It synchronizes with the device only at the beginning and end, so that steps overlap as usual.

    Args:
        device: of the steps.
        min_seconds: to time.

    Attributes:
        first: seconds of the first step.
        steps: number of timed steps.
        seconds: that they took.
    """

    def __init__(self, device: torch.device, min_seconds: float):
        self._device, self._min_seconds = device, min_seconds
        self._begun = 0
        self.first, self.steps, self.seconds = 0.0, 0, 0.0

    def __call__(self) -> None:
        """To be called when a step begins.

        Raises:
            Enough: enough steps have been timed.
        """
        if self._begun == 0:
            self._begin = self._now()
        elif self._begun == 1:
            self.first = self._now() - self._begin
        elif self._begun == WARM_UP:
            self._begin = self._now()
        elif self._begun >= WARM_UP + MIN_STEPS and time.perf_counter() - self._begin >= self._min_seconds:
            self.steps, self.seconds = self._begun - WARM_UP, self._now() - self._begin
            raise Enough
        self._begun += 1

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class MemoryClips(Dataset):
    """A replacement for `TrainClips`: one batch of random clips, in another order each epoch.

    Args:
        spec: input of the network; frames have the size of its crop.
        batch: number of clips.
        clock: called as each step begins.
    """

    seed, clips_per_video = 0, 1

    def __init__(self, spec: InputSpec, batch: int, clock: Callable[[], None] = lambda: None):
        rng = np.random.default_rng(0)
        shape = (batch, spec.frames, 3, spec.crop, spec.crop)
        self.spec, self._clock, self._taken = spec, clock, 0
        self.manifest = Rows([Row(number, "memory") for number in range(batch)])
        self.frames = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
        self.targets = Targets.single(rng.integers(0, CLASSES, batch), CLASSES)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: tuple[int, int, int]) -> TrainItem:
        if self._taken % len(self) == 0:
            self._clock()
        self._taken += 1
        _, index, _ = key
        window = Window(0, 0, self.spec.crop, False)
        target = torch.from_numpy(self.targets.dense(index))
        return TrainItem(self.frames[index : index + 1], [window], target, index, [])


def plain_loop(
    network: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], device: torch.device, precision: Precision
) -> int:
    """The training loop of torchvision's reference for video classification, with the metrics of each step.

    Args:
        network: trained in place.
        batches: normalized clips (N, 3, T, H, W) float32 and their labels (N,).
        device: to train on.
        precision: bfloat16 by autocast.

    Returns:
        The number of clips.
    """
    torch.backends.cudnn.benchmark = True  # affects only GPUs
    network.to(device).train()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [NO_END])
    seen, sums = 0, np.zeros(3)
    for clips, labels in batches:
        clips, labels = clips.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = network(clips)
            loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.inference_mode():
            hits = logits.topk(5, dim=1).indices == labels[:, None]
            top1, top5 = hits[:, :1].sum() / len(labels), hits.sum() / len(labels)
        sums += np.array([loss.item(), top1.item(), top5.item()]) * len(labels)  # its meters
        seen += len(labels)
        scheduler.step()
    return seen


def plain(setting: Setting, precision: Precision, clock: Clock, keep_memory: bool = False) -> nn.Module:
    """The plain loop on clips that are already normalized; no loader could be faster."""
    device = torch.device(setting.device)
    if keep_memory:
        keep_freed_memory()
    same = MemoryClips(setting.spec((setting.size, setting.size)), setting.batch)
    clips, labels = normalize(same.frames, same.spec).contiguous(), torch.from_numpy(same.targets.labels)
    if device.type == "cuda":
        clips, labels = clips.pin_memory(), labels.pin_memory()

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            clock()
            yield clips, labels

    network = setting.network()
    with suppress(Enough):
        plain_loop(network, batches(), device, precision)
    return network


def vidsemi(setting: Setting, precision: Precision, clock: Clock, **runtime: bool) -> nn.Module:
    """Vidsemi's training loop on uint8 clips like those of its loader."""
    network = setting.network()
    clips = MemoryClips(setting.spec((setting.size, setting.size)), setting.batch, clock)
    with suppress(Enough):
        learn(network, clips, setting.recipe(precision, clips=NO_END * setting.batch), setting.device, 0, **runtime)
    return network


def learn(
    network: nn.Module, clips: Any, recipe: Recipe, device: str, workers: int | None = None, **runtime: bool
) -> int:
    """`Trainer` without intermediate checkpoints; returns the number of clips."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            network,
            clips,
            recipe,
            folder=Path(folder),
            runtime=Runtime(device=device, workers=workers, checkpoint_seconds=1e9, **runtime),
            title="bench train",
            log=Log(tensorboard=False),
        )
        return trainer.run()["examples"]


def matrix_product(precision: Precision, clock: Clock, device: torch.device) -> int:
    """The limit: large matrix products; on a GPU float32 uses TF32, as torch's convolutions do.

    Returns:
        Floating-point operations of one product.
    """
    torch.backends.cuda.matmul.allow_tf32 = True
    side = 8192 if device.type == "cuda" else 2048
    a, b = torch.randn(2, side, side, device=device, dtype=getattr(torch, precision))
    result = torch.empty_like(a)
    with suppress(Enough):
        while True:
            clock()
            torch.mm(a, b, out=result)
    return 2 * side**3


CONTENDERS: dict[str, Callable[[Setting, Precision, Clock], nn.Module]] = {
    "plain loop": plain,
    "plain loop, freed memory kept": partial(plain, keep_memory=True),
    "vidsemi as the plain loop": partial(vidsemi, channels_last=False),
    "vidsemi": vidsemi,
    "vidsemi, channels last": partial(vidsemi, channels_last=True),
    "vidsemi, compiled": partial(vidsemi, compile=True),
}


def measure(treatment: str, precision: Precision, setting: Setting, seconds: float) -> dict[str, Any]:
    """Time a contender or the limit."""
    device = torch.device(setting.device)
    clock = Clock(device, seconds)
    if treatment == "matrix product":
        operations = matrix_product(precision, clock, device)
        return {"flops_per_second": operations * clock.steps / clock.seconds}
    with PeakMemory() as memory:
        network = CONTENDERS[treatment](setting, precision, clock)
    return {
        "clips_per_second": clock.steps * setting.batch / clock.seconds,
        "first_seconds": clock.first,
        "seconds_a_step": clock.seconds / clock.steps,
        "steps": clock.steps,
        "peak_mib": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else memory.mib,
        "weights_finite": all(bool(weights.isfinite().all()) for weights in network.parameters()),
    }


if __name__ == "__main__":
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # or the second round would not compile any more
    treatment, precision, words, seconds = sys.argv[1:]
    print(json.dumps(measure(treatment, precision, Setting(**json.loads(words)), float(seconds))))  # type: ignore[arg-type]
