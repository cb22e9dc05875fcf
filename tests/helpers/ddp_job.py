"""Training runs for test_ddp.py. `python ddp_job.py DATA OUTPUT NAME…` does some, in one process or several."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vidsemi.config import Recipe, Runtime
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import load_manifest
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips
from vidsemi.models.registry import create_model
from vidsemi.runtime.distributed import gather, process_group, processes
from vidsemi.training.train_step import TrainStep
from vidsemi.training.trainer import Trainer

SPEC = InputSpec(frames=4, stride=1, resize=(24, 24), crop=20, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
RUNTIME = Runtime(device="cpu", workers=0, checkpoint_steps=2)
STEPS = 5


def with_batch_norm() -> nn.Module:
    return create_model("r2plus1d_10", num_classes=8, frames=4, args={"width": 0.0625})


def without_batch_norm() -> nn.Module:
    def group_norm(layer: nn.Module) -> None:
        for name, child in layer.named_children():
            if isinstance(child, nn.BatchNorm3d):
                setattr(layer, name, nn.GroupNorm(1, child.num_features))
            group_norm(child)

    network = with_batch_norm()
    group_norm(network)
    return network


RECIPE = Recipe(examples=STEPS * 8, batch_size=8, learning_rate=0.02)
JOBS: dict[str, tuple[Callable[[], nn.Module], Recipe]] = {
    "without": (without_batch_norm, RECIPE),
    "without, 4 micro-batches": (without_batch_norm, RECIPE.model_copy(update={"micro_batches": 4})),
    "own": (with_batch_norm, RECIPE),
    "own, 2 micro-batches": (with_batch_norm, RECIPE.model_copy(update={"micro_batches": 2})),
    "own, 4 micro-batches": (
        with_batch_norm,
        RECIPE.model_copy(update={"micro_batches": 4, "batch_size": 16, "examples": 64}),
    ),
    "synchronized": (with_batch_norm, RECIPE.model_copy(update={"sync_batch_norm": True})),
    "precise, synchronized": (
        with_batch_norm,
        RECIPE.model_copy(update={"precise_batch_norm": 2, "sync_batch_norm": True}),
    ),
    "precise, whole": (with_batch_norm, RECIPE.model_copy(update={"precise_batch_norm": 2})),
    "precise": (with_batch_norm, RECIPE.model_copy(update={"micro_batches": 2, "precise_batch_norm": 2})),
    "stopped": (with_batch_norm, RECIPE.model_copy(update={"micro_batches": 2})),
    "fine-tuning": (
        with_batch_norm,
        RECIPE.model_copy(
            update={"micro_batches": 2, "layer_decay": 0.7, "freeze_until": "layer1", "gradient_checkpointing": True}
        ),
    ),
    "frozen, adamw": (
        with_batch_norm,
        RECIPE.model_copy(
            update={"micro_batches": 2, "frozen_batch_norm": True, "optimizer": "adamw", "learning_rate": 1e-4}
        ),
    ),
    "ragged": (with_batch_norm, RECIPE.model_copy(update={"micro_batches": 2, "examples": 36})),
}


def main(data: Path, output: Path, names: list[str]) -> None:
    manifest = load_manifest(data)
    labels = manifest.label_indices(manifest.class_names(), "D")
    targets = Targets.single(labels, 8)
    clips = TrainClips(manifest, np.arange(len(manifest)), targets, SPEC, hflip_prob=0.5, seed=3)
    for name in names:
        build, recipe = JOBS[name]
        torch.manual_seed(0)
        network = build()
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        if name == "stopped" and not (folder / "stopped").exists():
            stop_after(3)
        try:
            metrics = Trainer(network, clips, recipe, folder=folder, runtime=RUNTIME, title=name).run()
        except KeyboardInterrupt:
            gather(None)  # so that the others are stopped, too, before this process leaves
            (folder / "stopped").touch()
            continue
        own = processes()
        torch.save(network.state_dict(), folder / f"rank{own.rank}.pt")
        gather(None)  # all have
        if own.first:
            states = [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(own.size)]
            torch.save({"states": states, "loss": metrics["loss"]}, folder / "end.pt")


def stop_after(steps: int) -> None:
    """Have every process stop after so many steps, as Ctrl-C does."""
    step, calls = TrainStep.run, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == steps and processes().rank == processes().size - 1:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    for number in (signal.SIGTERM, signal.SIGINT):  # the latter may be ignored, as a shell in the background has it
        signal.signal(number, signal.default_int_handler)
    TrainStep.run = interrupted


if __name__ == "__main__":
    with process_group():
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
