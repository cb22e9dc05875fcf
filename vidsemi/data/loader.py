"""Batches from processes that read, which end with the training and not before it."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from vidsemi.config import Runtime
from vidsemi.data.batch import Batch
from vidsemi.data.datasets import MAX_SUBSTITUTES
from vidsemi.data.worker_pool import NICENESS
from vidsemi.io.errors import UserError
from vidsemi.runtime.device import worker_count
from vidsemi.runtime.library_errors import is_dead_loader_worker

PREFETCH = 4  # batches that a worker has ready
SECONDS = 5.0  # that killed readers may take to be gone


def make_loader(
    dataset: Dataset, batches: Sampler, runtime: Runtime, *, pin_memory: bool, collate: Callable[[Any], Any]
) -> DataLoader:
    """A DataLoader over a sampler's lists of keys, in their order."""
    workers = worker_count(runtime)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        prefetch_factor=PREFETCH if workers else None,
        pin_memory=pin_memory,
        worker_init_fn=start_loader_worker,
    )


def start_loader_worker(worker: int) -> None:
    """Let a worker yield the cores to the network, leave signals to it, and be silent about a reader that goes away."""
    os.nice(NICENESS)
    for number in (signal.SIGTERM, signal.SIGINT):  # may reach all processes; the training still has to end its step
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What a worker's thread says of an error.

    Tensors reach the training through a thread of the worker that hands over file descriptors. Ctrl-C in the midst of
    that cuts the thread's connection, which is no error to print a traceback for.
    """
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


class Feed:
    """A context that reads batches and counts what that takes.

    Args:
        loader: gives them.

    Attributes:
        waited: seconds that were spent waiting for them.
        unreadable: example ids that did not decode.
        example_ids: of the batches that were taken last.
    """

    def __init__(self, loader: Iterable[Batch]):
        self._loader = loader
        self.waited = 0.0
        self.unreadable: set[int] = set()
        self.example_ids: list[int] = []

    def __enter__(self) -> "Feed":
        before = set(multiprocessing.active_children())
        self._batches = iter(self._loader)
        self._readers = set(multiprocessing.active_children()) - before
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            # torch would raise an error for a reader that died wherever the training is, in the midst of a step too. It
            # also notices that when it waits for a batch, where nothing is half done.
            self._handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._batches  # torch tells the readers to end
        for reader in self._readers:
            reader.kill()  # one that hangs in a file, or that an error has kept torch from ending
        end = time.monotonic() + SECONDS
        for reader in self._readers:
            reader.join(max(end - time.monotonic(), 0))  # or torch's handler would meet its death
        if self._main:
            signal.signal(signal.SIGCHLD, self._handler)

    def take(self, count: int) -> Iterator[Batch]:
        """The next batches.

        Raises:
            UserError: the corpus cannot be read, or a process that reads was killed.
        """
        self.example_ids = []
        for _ in range(count):
            before = time.monotonic()
            try:
                batch = next(self._batches)
            except (RuntimeError, MemoryError) as error:
                if not (self._readers and is_dead_loader_worker(error)):
                    raise
                raise UserError(
                    "training stopped: a process that reads was killed, or has too little memory or shared memory "
                    "(/dev/shm); lower runtime.workers; the same command goes on from the last checkpoint"
                ) from None
            self.waited += time.monotonic() - before
            if batch.error is not None:
                raise UserError(
                    f"training stopped: {MAX_SUBSTITUTES} files in a row cannot be read; the last is {batch.error}"
                )
            self.unreadable.update(batch.unreadable)
            self.example_ids += batch.example_ids
            yield batch
