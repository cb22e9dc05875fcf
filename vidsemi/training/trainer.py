"""The training loop: restore, step, save, finish. A resumed run ends with the weights of an uninterrupted one."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vidsemi.config import Log, Recipe, Runtime
from vidsemi.data.loader import Loader
from vidsemi.data.samplers import EpochSampler, MicroBatchSampler, micro_batch_start
from vidsemi.data.train_clips import TrainClips
from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.runtime.device import pick_device
from vidsemi.runtime.distributed import any_of, from_first, gather, processes
from vidsemi.runtime.library_errors import first_line, is_device_error, is_out_of_memory
from vidsemi.training.checkpoint import Checkpoints
from vidsemi.training.log import TrainingLog
from vidsemi.training.metrics import Metrics, NotFiniteError, Step
from vidsemi.training.preemption import GracefulShutdown
from vidsemi.training.reading_limit import ReadingLimit
from vidsemi.training.schedule import learning_rate
from vidsemi.training.train_step import TrainStep
from vidsemi.training.validation import Validation

STEP_EVENTS = 200  # in the log of a training run; more if it is long, since
EXAMPLES_PER_STEP_EVENT = 50_000  # is the most that passes between two of them


class Trainer:
    """Trains a network in place. With several processes, each has a trainer of its own.

    The order of the examples and their augmentation depend only on (seed, epoch, example), and random numbers drawn on
    the device (dropout, mixup) only on (seed, examples so far). A run that was killed and resumed therefore ends with
    the same weights to the bit, whatever the number of loader workers; and with the same up to rounding, whatever the
    number of processes. `repeats`, (N,) integers, is how often each example occurs in an epoch; once if None.
    `run` identifies the training run in its checkpoints.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: TrainClips,
        recipe: Recipe,
        *,
        folder: Path,
        runtime: Runtime,
        title: str,
        repeats: np.ndarray | None = None,
        log: Log | None = None,
        validation: Validation | None = None,
        run: str = "",
    ):
        dataset.targets.check(title)
        self.network, self.dataset, self.recipe, self.runtime = network, dataset, recipe, runtime
        self.folder, self.title, self.log, self.validation = folder, title, log or Log(), validation
        self.repeats = np.ones(len(dataset), np.int32) if repeats is None else repeats
        self.group, self.device = processes(), pick_device(runtime)
        self.checkpoints = Checkpoints(folder, run)
        self.unreadable: set[int] = set()
        self.examples = 0  # so far

    def run(self) -> dict[str, Any]:
        """Train to the end, from the newest checkpoint in the folder if there is one.

        Returns:
            Metrics: examples, steps, loss (mean of the last 50 steps), seconds of this process, `waited` (share of them
            spent waiting for data), unreadable (example ids), processes, micro_batches, in_float32 (names of the
            convolutions that the device gets wrong in 16 bits); and of a validation, if any.

        Raises:
            UserError: the loss is not finite, memory or disk are too small, the labels are not those of the network, a
                checkpoint does not fit, or too many files cannot be read.
        """
        self.restore()
        self.started = self.last_save = time.monotonic()
        self.reading_limit = ReadingLimit(self.dataset, self.runtime, self.title)
        with (
            GracefulShutdown() as self.shutdown,
            self._loader(self.examples, self.recipe.examples, self.own) as self.loader,
            progress_bar(self.recipe.examples, "clip", self.title, self.examples) as self.bar,
            self._open_log() as self.write_log,
        ):
            counts = {"processes": self.group.size, "micro_batches": self.micro_batches}
            device = {"device": str(self.device), "precision": self.recipe.precision}
            self.write_log("begin", examples=self.examples, **counts, **device)
            while self.examples < self.recipe.examples:
                self.step()
                self._validate()
                if self._is_checkpoint_due():
                    self.save()
                    if any_of(self.shutdown.requested):
                        self.shutdown.exit()
            if self.recipe.precise_batch_norm:  # which may take long
                self.save()
            self.write_log("end", examples=self.examples)
        self.finish()
        return self._summary()

    def restore(self) -> None:
        """Load the newest checkpoint in the folder; without one, start from the network as it is."""
        newest, state = (self.checkpoints.newest() if self.group.first else None) or (None, {})
        name = from_first(newest.name if newest else None)
        if name and not self.group.first:
            newest = self.folder / name
            state = self.checkpoints.load(newest)
        self.micro_batches = self._micro_batches(state.get("micro_batches"))
        each = self.micro_batches // self.group.size
        self.own = range(each * self.group.rank, each * (self.group.rank + 1))
        self.metrics = Metrics()
        with self._memory_errors("the network and its optimizer"):
            spec = self.dataset.spec
            self.train_step = TrainStep(self.network, self.recipe, spec, self.micro_batches, self.device, self.runtime)
            if newest is not None:
                self._load(newest, state)

    def _load(self, newest: Path, state: dict[str, Any]) -> None:
        try:
            self.train_step.load(state)
            self.metrics = Metrics(state["losses"])
            self.examples, self.unreadable = state["examples"], set(state["unreadable"])
            if self.validation:
                self.validation.load(state["validation"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            if is_device_error(error) or is_out_of_memory(error):  # the checkpoint is good
                raise
            raise UserError("checkpoint.mismatch", f"{newest} does not fit this run; delete it to start over") from None

    def step(self) -> None:
        """One optimizer step: the next `batch_size` examples, or what is left of them."""
        start, size = self.examples, min(self.recipe.batch_size, self.recipe.examples - self.examples)
        rate, each = learning_rate(self.recipe, start), self.dataset.clips_per_video
        ahead = [each * micro_batch_start(size // each, number, self.micro_batches) for number in self.own]
        with self._memory_errors(f"{size} clips"):
            result = self.train_step.run(self.loader.take(len(self.own)), list(map(self._seed, ahead)), size, rate)
        self.examples += size
        self.metrics.add(Step(self.steps, start, size, rate, self.loader.example_ids, result))
        self._log_step(size, rate)

    def _validate(self) -> None:
        if self.validation and self.validation.is_due(self.examples):
            self.metrics.flush()
            self.write_log("validation", **self.validation.measure(self.examples, self.train_step.weights()))

    def save(self) -> None:
        """Write a checkpoint, on the first process; all have to call this."""
        self.metrics.flush()
        self._check_weights()
        self.unreadable.update(*gather(sorted(self.loader.unreadable)))
        state = {
            **self.train_step.state(),
            "micro_batches": self.micro_batches,
            "unreadable": sorted(self.unreadable),
            "losses": list(self.metrics.losses),
            **({"validation": self.validation.state()} if self.validation else {}),
        }
        if self.group.first:
            file = self.checkpoints.save(self.examples, state)
            self.write_log("checkpoint", examples=self.examples, file=file.name)
        self.last_save = time.monotonic()

    def finish(self) -> None:
        """Put the best weights or the moving average into the network, recalibrate batch norm, as the recipe says."""
        start, batches = self.recipe.examples, self.recipe.precise_batch_norm * self.micro_batches
        weights = self.validation.best_weights if self.validation else None
        if batches:
            # Every process goes through all micro-batches, so that they need not exchange statistics.
            stop = start + self.recipe.precise_batch_norm * self.recipe.batch_size
            with (
                self._loader(start, stop, range(self.micro_batches)) as loader,
                self._memory_errors("precise_batch_norm"),
            ):
                spec, layout = self.dataset.spec, self.train_step.layout
                clips = (batch.clips(self.device, spec, layout) for batch in loader.take(batches))
                torch.manual_seed(self._seed())
                self.train_step.finish(clips, batches, weights=weights)
            self.unreadable |= loader.unreadable
        else:
            self.train_step.finish(weights=weights)
        self._check_weights()

    @property
    def steps(self) -> int:
        """Steps so far."""
        return math.ceil(self.examples / self.recipe.batch_size)

    def _micro_batches(self, before: int | None) -> int:
        if before and before % self.group.size:
            raise UserError(
                "checkpoint.micro_batches_mismatch",
                f"{self.folder} was started with {before} micro-batches a step, which {self.group.size} processes "
                "cannot share evenly; resume with another number of processes, or delete that folder to start over",
            )
        try:
            return before or self.recipe.micro_batches_for(self.group.size)
        except ValueError as error:
            raise UserError("config.invalid_value", f"{self.folder}: {error}") from None

    def _loader(self, start: int, stop: int, own: range) -> Loader:
        """Some micro-batches of each step, from one number of examples to another."""
        each = self.dataset.clips_per_video
        keys = EpochSampler(self.repeats, seed=self.dataset.seed, start=start // each, stop=stop // each)
        step_size = self.recipe.batch_size // each
        batches = MicroBatchSampler(keys, step_size=step_size, micro_batches=self.micro_batches, own=own)
        return Loader(self.dataset, batches, self.runtime, pin_memory=self.device.type == "cuda")

    def _seed(self, ahead: int = 0) -> int:
        """Seed of the device's random numbers, some examples ahead; the same however often the run was resumed."""
        sequence = np.random.SeedSequence([self.dataset.seed, self.examples + ahead])
        return int(sequence.generate_state(1, np.uint64)[0])

    def _is_checkpoint_due(self) -> bool:
        late = self.group.first and time.monotonic() - self.last_save > self.runtime.checkpoint_seconds
        every = self.runtime.checkpoint_steps
        return any_of(late or self.shutdown.requested) or (every is not None and self.steps % every == 0)

    def _check_weights(self) -> None:
        if name := self.train_step.not_finite():
            raise UserError(
                "training.not_finite",
                f"{self.title}: NaN or infinity in {name} after {self.examples} examples; lower the learning rate, "
                f"then use a new output directory or delete {self.folder} (its last checkpoint is from before)",
            )

    def _log_step(self, size: int, rate: float) -> None:
        share = self.loader.waited / max(time.monotonic() - self.started, 1e-9)
        self.bar.update(size)
        shown = [f"loss {self.metrics.loss:.3f}"] if self.metrics.losses else []  # none is known yet
        shown += [f"lr {rate:.2g}", f"waits for data {share:.0%}"]
        if self.validation and self.validation.results:
            shown.append(f"validation {self.validation.results[-1]['top1']:.1f}%")
        self.bar.set_postfix_str(", ".join(shown), refresh=False)
        every = max(min(self.recipe.examples // STEP_EVENTS, EXAMPLES_PER_STEP_EVENT), 1)
        if self.examples // every > (self.examples - size) // every or self.examples == self.recipe.examples:
            means = self.metrics.window(self.loader.waited)
            self.write_log("step", examples=self.examples, step=self.steps, learning_rate=rate, **means)
            log = partial(self.write_log, examples=self.examples)
            self.reading_limit.check(time.monotonic() - self.started, self.loader.waited, log)

    def _summary(self) -> dict[str, Any]:
        seconds = time.monotonic() - self.started
        return {
            "examples": self.examples,
            "steps": self.steps,
            "loss": self.metrics.loss,
            "seconds": seconds,
            "waited": self.loader.waited / max(seconds, 1e-9),
            "unreadable": sorted(self.unreadable.union(*gather(sorted(self.loader.unreadable)))),
            "processes": self.group.size,
            "micro_batches": self.micro_batches,
            "in_float32": self.train_step.in_float32 or [],
            **({"validation": self.validation.summary()} if self.validation else {}),
        }

    @contextmanager
    def _open_log(self) -> Iterator[Callable[..., None]]:
        """A function that logs an event, which only the first process does; a loss that is not finite is logged too."""
        log = TrainingLog(self.folder, self.title, self.log, examples=self.examples) if self.group.first else None
        with log or nullcontext():
            write = log.write if log else lambda event, **values: None
            try:
                yield write
            except NotFiniteError as error:
                step, ids = error.step, [one for own in gather(error.step.example_ids) for one in own]
                with suppress(OSError):  # a full disk is the smaller trouble
                    write("not_finite", examples=step.start + step.clips, step=step.number, example_ids=ids)
                raise UserError(
                    "training.not_finite",
                    f"{self.title}: NaN or infinite loss: {error}; lower the learning rate or set max_grad_norm, then "
                    f"use a new output directory or delete {self.folder} (its last checkpoint is from before)",
                ) from None

    @contextmanager
    def _memory_errors(self, what: str) -> Iterator[None]:
        """Report an out-of-memory error with the config keys to change, other errors of the device as such."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                resume = f"then use a new output directory or delete {self.folder}"
                raise UserError(
                    "device.out_of_memory",
                    f"out of memory on {self.device} ({what}, {self.micro_batches} micro-batches): end other programs "
                    f"on it and resume, or increase micro_batches or reduce batch_size; {resume}",
                ) from None
            if not is_device_error(error):
                raise
            raise UserError(
                "device.failed",
                f"{self.device} failed ({what}): {first_line(error)}; the same command resumes from the last "
                "checkpoint",
            ) from error
