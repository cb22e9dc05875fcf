"""The training loop: one for every stage, for any number of processes, stopped and gone on with anywhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vidsemi.config import Log, Recipe, Runtime
from vidsemi.data.batch import collate
from vidsemi.data.datasets import TrainDataset
from vidsemi.data.loader import Feed, make_loader
from vidsemi.data.samplers import EpochSampler, MicroBatchSampler, micro_batch_start
from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.models import weights_file
from vidsemi.runtime.device import pick_device
from vidsemi.runtime.distributed import Processes, any_of, from_first, gather, processes
from vidsemi.runtime.library_errors import is_out_of_memory
from vidsemi.training.checkpoint import Checkpoints
from vidsemi.training.log import TrainingLog
from vidsemi.training.metrics import Meter, NotFiniteError, Step
from vidsemi.training.preemption import StopSignals
from vidsemi.training.schedule import learning_rate
from vidsemi.training.train_step import Learner

LOGGED = 200  # times that a training tells how it goes; more of them if it is long, since
LOGGED_EXAMPLES = 50_000  # it tells after so many clips at the latest


def train(
    network: nn.Module,
    clips: TrainDataset,
    recipe: Recipe,
    *,
    folder: Path,
    runtime: Runtime,
    title: str,
    copies: np.ndarray | None = None,
    log: Log | None = None,
) -> dict[str, Any]:
    """Train a network in place, going on from the checkpoint in `folder` if there is one.

    The order of the examples and their augmentation depend on (seed, pass, example) only, and what is drawn at random
    on the device on (seed, examples so far). So a training that was stopped and goes on ends with the weights of one
    that was not, whatever the number of workers; and, to rounding, whatever the number of processes.

    Args:
        network: what to train.
        clips: what to train it on.
        recipe: how.
        folder: for checkpoints and the log.
        runtime: what to run on.
        title: for the progress bar.
        copies: (N,) int64, how many times each of the clips' examples stands in a pass; once if None.
        log: what is logged beside train.jsonl.

    Returns:
        Figures: examples, steps, loss of the last of them, seconds of this process, share of them that waited for data,
        unreadable files, processes, parts.

    Raises:
        UserError: the loss is not finite, memory or disk are too small, labels are not those of the network, or the
            corpus cannot be read.
    """
    group, device, each = processes(), pick_device(runtime), clips.clips_per_video
    _check_labels(clips, title)
    checkpoints = Checkpoints(folder)
    newest, state = (checkpoints.newest() if group.first else None) or (None, {})
    name = from_first(newest.name if newest else None)
    if name and not group.first:
        newest = folder / name
        state = weights_file.load(newest)
    parts = _parts(recipe, state, group, folder)
    own = range(parts // group.size * group.rank, parts // group.size * (group.rank + 1))
    learner = Learner(network, recipe, clips.spec, parts, device, runtime)
    done, unreadable, losses = _take_over(learner, state, newest)
    del state
    copies = np.ones(len(clips), np.int64) if copies is None else copies

    def feed_of(start: int, stop: int, own: range) -> Feed:
        """The parts of the steps from one number of clips to another."""
        order = EpochSampler(copies, seed=clips.seed, start=start // each, stop=stop // each)
        batches = MicroBatchSampler(order, step_size=recipe.batch_size // each, micro_batches=parts, own=own)
        return Feed(make_loader(clips, batches, runtime, pin_memory=device.type == "cuda", collate=collate))

    def save() -> Path | None:
        """A checkpoint of where the training is, by the first process; all take part."""
        meter.settle()
        _refuse_not_finite(learner, title, done)
        unreadable.update(*gather(sorted(feed.unreadable)))
        content = {"parts": parts, "unreadable": sorted(unreadable), "losses": list(meter.losses)}
        return checkpoints.save(done, {**learner.state(), **content}) if group.first else None

    meter = Meter(losses)
    every = max(min(recipe.examples // LOGGED, LOGGED_EXAMPLES), 1)
    begin = last_save = time.monotonic()
    with (
        StopSignals() as stop,
        feed_of(done, recipe.examples, own) as feed,
        progress_bar(recipe.examples, "clip", title, done) as bar,
        _telling(TrainingLog(folder, title, log or Log(), examples=done) if group.first else None) as tell,
    ):
        tell("begin", examples=done, processes=group.size, parts=parts, device=str(device), precision=recipe.precision)
        while done < recipe.examples:
            size, rate = min(recipe.batch_size, recipe.examples - done), learning_rate(recipe, done)
            seeds = [_seed(clips.seed, done + each * micro_batch_start(size // each, part, parts)) for part in own]
            with _enough_memory(f"a step of {size} clips in {parts} parts", device, title):
                outcome = learner.step(feed.take(len(own)), seeds, size, rate)
            done += size
            number = -(-done // recipe.batch_size)
            meter.add(Step(number, done - size, size, rate, feed.example_ids, outcome))
            bar.update(size)
            share = feed.waited / max(time.monotonic() - begin, 1e-9)
            bar.set_postfix_str(f"loss {meter.loss:.3f}, lr {rate:.2g}, waits for data {share:.0%}", refresh=False)
            if done // every > (done - size) // every or done == recipe.examples:
                tell("step", examples=done, step=number, learning_rate=rate, **meter.window(feed.waited))
            due = group.first and time.monotonic() - last_save > runtime.checkpoint_seconds
            steps = runtime.checkpoint_steps
            if any_of(due or stop.caught is not None) or (steps and number % steps == 0):
                if file := save():
                    tell("checkpoint", examples=done, file=file.name)
                last_save = time.monotonic()
                if any_of(stop.caught is not None):
                    stop.obey()
        if recipe.precise_batch_norm:  # which may take long
            save()
        tell("end", examples=done)
    more = recipe.precise_batch_norm  # by every process with all parts, so that they need not tell one another
    extra = feed_of(recipe.examples, recipe.examples + more * recipe.batch_size, range(parts))
    with extra if more else nullcontext(), _enough_memory(f"precise_batch_norm in {parts} parts", device, title):
        inputs = (batch.clips(device, clips.spec, learner.layout) for batch in extra.take(more * parts))
        torch.manual_seed(_seed(clips.seed, recipe.examples))
        learner.finish(inputs, more * parts)
    _refuse_not_finite(learner, title, done)
    seconds = time.monotonic() - begin
    return {
        "examples": done,
        "steps": -(-recipe.examples // recipe.batch_size),
        "loss": meter.loss,
        "seconds": seconds,
        "waited": feed.waited / max(seconds, 1e-9),
        "unreadable": sorted(unreadable.union(extra.unreadable, *gather(sorted(feed.unreadable)))),
        "processes": group.size,
        "parts": parts,
    }


def _parts(recipe: Recipe, state: dict[str, Any], group: Processes, folder: Path) -> int:
    """Parts of each step: as many as the training was begun with."""
    begun = state.get("parts")
    if begun and begun % group.size:
        raise UserError(
            f"the training in {folder} was begun with {begun} parts a step, so the number of processes has to divide "
            f"{begun}, which {group.size} does not; or delete that folder to begin it anew"
        )
    try:
        return begun or recipe.micro_batches_for(group.size)
    except ValueError as error:
        raise UserError(f"{folder}: {error}") from None


def _take_over(learner: Learner, state: dict[str, Any], file: Path | None) -> tuple[int, set[int], list[float]]:
    """Load the state of a training that was stopped: how many clips it has seen, what it could not read, losses."""
    if file is None:
        return 0, set(), []
    try:
        learner.load(state)
        return state["examples"], set(state["unreadable"]), list(state["losses"])
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError):
        raise UserError(f"{file} is not of this training; delete it to begin anew") from None


def _check_labels(clips: TrainDataset, title: str) -> None:
    labels, classes = clips.targets.labels, clips.targets.classes
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise UserError(f"{title}: labels go from {labels.min()} to {labels.max()}, but there are {classes} classes")


def _refuse_not_finite(learner: Learner, title: str, done: int) -> None:
    """Let nothing be saved that is no number, wherever it has come from."""
    if name := learner.not_finite():
        raise UserError(
            f"{title}: {name} is not finite after {done} examples; lower the learning rate, in another output or after "
            "deleting this stage's folder, whose last checkpoint is from before it"
        )


def _seed(seed: int, examples: int) -> int:
    """Of what is drawn at random on the device, as dropout does; the same however often the training was stopped."""
    return int(np.random.SeedSequence([seed, examples]).generate_state(1, np.uint64)[0])


@contextmanager
def _telling(log: TrainingLog | None) -> Iterator[Callable[..., None]]:
    """What tells the log of an event; where there is none, nobody is told. A step that was not finite is one."""
    with log or nullcontext():
        tell = log.write if log else lambda event, **values: None
        try:
            yield tell
        except NotFiniteError as error:
            step, ids = error.step, [one for own in gather(error.step.example_ids) for one in own]
            with suppress(OSError):  # a full disk is the smaller trouble
                tell("not_finite", examples=step.begin + step.clips, step=step.number, example_ids=ids)
            raise


@contextmanager
def _enough_memory(what: str, device: torch.device, title: str) -> Iterator[None]:
    """Say which key to change where memory does not suffice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is one; CPUs and libraries raise plain ones
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"{title}: {what} needs more memory than {device} has; lower batch_size in its recipe, or raise parts, of "
            "which one is in memory at a time, in another output or after deleting this stage's folder"
        ) from None
