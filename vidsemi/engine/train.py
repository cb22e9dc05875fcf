"""The training loop: one for every stage."""

import json
import math
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vidsemi.config import Machine, Recipe
from vidsemi.engine import checkpoint
from vidsemi.engine.machine import make_loader, pick_device
from vidsemi.engine.normalize import normalize
from vidsemi.engine.schedule import learning_rate
from vidsemi.errors import UserError
from vidsemi.media.datasets import MAX_SUBSTITUTES, ExampleOrder, TrainClips, TrainItem
from vidsemi.progress import progress_bar

CHECKPOINT = "checkpoint.pt"
LOG = "train.jsonl"
LOG_SECONDS = 2.0


@dataclass(frozen=True)
class Batch:
    """Clips (N, T, 3, crop, crop) uint8, targets (N, classes), and example ids that did not decode.

    `error` is set, and there are no clips, where too many of them did not.
    """

    clips: torch.Tensor
    targets: torch.Tensor
    example_ids: list[int]
    unreadable: list[int]
    error: str | None


def collate(items: list[TrainItem]) -> Batch:
    """Items as a batch."""
    error = next((item.error for item in items if item.error is not None), None)
    clips = [item.clips for item in items if item.clips is not None]
    each = len(clips[0]) if clips else 1
    return Batch(
        clips=torch.cat(clips) if error is None else torch.empty(0),
        targets=torch.stack([item.target for item in items]).repeat_interleave(each, dim=0),
        example_ids=[item.example_id for item in items for _ in range(each)],
        unreadable=[example_id for item in items for example_id in item.unreadable],
        error=error,
    )


@dataclass
class Progress:
    """How far a training is. `examples` and `unreadable` go on over restarts."""

    examples: int = 0
    unreadable: set[int] = field(default_factory=set)
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=50))

    @property
    def loss(self) -> float:
        """Mean loss of the last steps."""
        return sum(self.losses) / len(self.losses) if self.losses else float("nan")


def train(
    network: nn.Module,
    clips: TrainClips,
    recipe: Recipe,
    *,
    folder: Path,
    machine: Machine,
    title: str,
    copies: np.ndarray | None = None,
) -> dict[str, Any]:
    """Train a network in place, going on from the checkpoint in `folder` if there is one.

    The order of the examples and their augmentation depend on (seed, pass, example) only, and what a network itself
    draws at random on (seed, examples so far). So a training that was stopped and goes on ends with the weights of one
    that was not, whatever the number of workers.

    Args:
        network: what to train.
        clips: what to train it on.
        recipe: how.
        folder: for the checkpoint and the log.
        machine: what to run on.
        title: for the progress bar.
        copies: (N,) int64, how many times each of the clips' examples stands in a pass; once if None.

    Returns:
        Figures: examples, steps, loss, seconds of this process, share of them that waited for data, unreadable files.

    Raises:
        UserError: the loss is not finite, or the corpus cannot be read.
    """
    device = pick_device(machine)
    network.to(device).train()
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    progress = _resume(folder, network, optimizer)
    each = clips.clips_per_video
    copies = np.ones(len(clips), np.int64) if copies is None else copies
    order = ExampleOrder(copies, seed=clips.seed, start=progress.examples // each, stop=recipe.examples // each)
    loader = make_loader(clips, order, machine, batch_size=recipe.batch_size // each, collate=collate)
    begin = last_log = last_save = time.monotonic()
    waited = 0.0
    with progress_bar(recipe.examples, "clip", title, progress.examples) as bar, open(folder / LOG, "a") as log:
        batches = iter(loader)
        while progress.examples < recipe.examples:
            before = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - before
            if batch.error is not None:
                raise UserError(
                    f"training stopped: {MAX_SUBSTITUTES} files in a row cannot be read; the last is {batch.error}"
                )
            torch.manual_seed(_seed_of_step(clips.seed, progress.examples))
            rate = learning_rate(recipe, progress.examples)
            progress.losses.append(_step(network, optimizer, batch, clips, rate, device, progress.examples))
            progress.examples += len(batch.example_ids)
            progress.unreadable.update(batch.unreadable)
            bar.update(len(batch.example_ids))
            now = time.monotonic()
            if now - last_log > LOG_SECONDS or progress.examples >= recipe.examples:
                share = waited / max(now - begin, 1e-9)
                event = {"examples": progress.examples, "loss": progress.loss, "rate": rate, "waited": share}
                log.write(json.dumps(event) + "\n")
                log.flush()
                bar.set_postfix_str(f"loss {progress.loss:.3f}, waits for data {share:.0%}", refresh=False)
                last_log = now
            if now - last_save > machine.checkpoint_seconds:
                _save(folder, network, optimizer, progress)
                last_save = now
    seconds = time.monotonic() - begin
    return {
        "examples": progress.examples,
        "steps": -(-recipe.examples // recipe.batch_size),
        "loss": progress.loss,
        "seconds": seconds,
        "waited": waited / max(seconds, 1e-9),
        "unreadable": sorted(progress.unreadable),
    }


def _seed_of_step(seed: int, examples: int) -> int:
    """Of what a network draws at random in a step, as dropout does; the same however often the training was stopped."""
    return int(np.random.SeedSequence([seed, examples]).generate_state(1, np.uint64)[0])


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    clips: TrainClips,
    rate: float,
    device: torch.device,
    examples: int,
) -> float:
    """One step of SGD; returns the loss."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    logits = network(normalize(batch.clips.to(device, non_blocking=True), clips.spec))
    loss = nn.functional.cross_entropy(logits, batch.targets.to(device))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    value = loss.item()
    slope = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None]).item()
    if not (math.isfinite(value) and math.isfinite(slope)):  # before the step, so that no checkpoint holds its result
        raise UserError(
            f"training stopped: loss {value}, gradient norm {slope} after {examples} examples, at a learning rate of "
            f"{rate:g} (example ids {batch.example_ids}); lower the learning rate, in another output or "
            "after deleting this stage's folder"
        )
    optimizer.step()
    return value


def _save(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    checkpoint.save(
        folder / CHECKPOINT,
        {
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "examples": progress.examples,
            "unreadable": sorted(progress.unreadable),
            "losses": list(progress.losses),
        },
    )


def _resume(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Load the checkpoint of a training that was stopped; a fresh start where there is none."""
    if not (folder / CHECKPOINT).exists():
        return Progress()
    state = checkpoint.load(folder / CHECKPOINT)
    try:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return Progress(state["examples"], set(state["unreadable"]), deque(state["losses"], maxlen=50))
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError):
        raise UserError(f"{folder / CHECKPOINT} is not of this training; delete it to begin anew") from None
