"""The loader of training batches: worker processes that end with the training run, and not before it."""

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import psutil
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from vidsemi.config import Runtime
from vidsemi.data.batch import Batch, collate
from vidsemi.data.datasets import MAX_SUBSTITUTES
from vidsemi.io.errors import UserError
from vidsemi.runtime.device import worker_count
from vidsemi.runtime.library_errors import is_dead_loader_worker
from vidsemi.runtime.priority import Priority, Reader

PREFETCH, PREFETCH_OF_MANY = 4, 2  # batches that a worker has ready; of more than 16 workers each has less, since a
MANY_WORKERS = 16  # batch of 64 clips of 32 frames takes 256 MB of pinned memory
KILL_SECONDS = 5.0  # that killed workers may take to be gone


class PrioritizedDataset(Dataset):
    """Reads the items of a dataset at the priority of the moment, in the workers of a DataLoader."""

    def __init__(self, dataset: Dataset, priority: Priority):
        self._dataset, self._priority = dataset, priority
        self._reader: Reader | None = None

    def __getitem__(self, key: Any) -> Any:
        if get_worker_info() is None:
            return self._dataset[key]
        self._reader = self._reader or Reader(self._priority)
        return self._reader(self._dataset.__getitem__, key)


class Loader:
    """Batches of a training dataset, one for each list of keys that `batches` yields; to be entered as a context.

    `pin_memory` is for a GPU that copies batches while it computes.
    """

    def __init__(self, dataset: Dataset, batches: Sampler, runtime: Runtime, *, pin_memory: bool):
        workers = worker_count(runtime)
        self._priority = Priority()
        self._loader = DataLoader(
            PrioritizedDataset(dataset, self._priority),
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=collate,
            prefetch_factor=(PREFETCH if workers <= MANY_WORKERS else PREFETCH_OF_MANY) if workers else None,
            pin_memory=pin_memory,
            worker_init_fn=start_loader_worker,
        )
        self.waited = 0.0  # seconds that the training run waited for batches
        self.unreadable: set[int] = set()  # example ids of files that do not decode
        self.example_ids: list[int] = []  # of the batches of the last `take`

    def __enter__(self) -> "Loader":
        before = set(multiprocessing.active_children())
        self._batches = iter(self._loader)
        self._workers = set(multiprocessing.active_children()) - before
        self._usage = [psutil.Process(worker.pid) for worker in self._workers]
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            # torch's handler raises an error for a dead worker at any moment, even in the middle of a step. torch also
            # notices a dead worker when it waits for a batch, where nothing is half done.
            self._handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return self

    def __exit__(self, *error: Any) -> None:
        del self._batches  # torch tells the workers to end
        for worker in self._workers:
            worker.kill()  # one that hangs in a file, or that torch could not end because of an error
        end = time.monotonic() + KILL_SECONDS
        for worker in self._workers:
            worker.join(max(end - time.monotonic(), 0))  # or torch's handler would see it die
        if self._main:
            signal.signal(signal.SIGCHLD, self._handler)

    def take(self, count: int) -> Iterator[Batch]:
        """The next batches; a `UserError` if too many files in a row cannot be read or a worker was killed."""
        self.example_ids = []
        for _ in range(count):
            before = time.monotonic()
            try:
                with self._priority.waiting(self._usage):
                    batch = next(self._batches)
            except (RuntimeError, MemoryError) as error:
                if not (self._workers and is_dead_loader_worker(error)):
                    raise
                raise UserError(
                    "loader.worker_died",
                    "a data loading worker was killed, or is out of memory or shared memory (/dev/shm); reduce "
                    "runtime.workers; the same command resumes from the last checkpoint",
                ) from None
            self.waited += time.monotonic() - before
            if batch.error is not None:
                raise UserError(
                    "loader.unreadable_files",
                    f"training stopped: {MAX_SUBSTITUTES} files in a row cannot be read; the last is {batch.error}",
                )
            self.unreadable.update(batch.unreadable)
            self.example_ids += batch.example_ids
            yield batch


def start_loader_worker(worker: int) -> None:
    """Set up a worker: signals left to the main process, no traceback when that goes away."""
    for number in (signal.SIGTERM, signal.SIGINT):  # may be sent to all processes; the main one ends its step first
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Tensors reach the main process through a thread of the worker that hands over file descriptors. Ctrl-C in the
    # middle of that closes the connection, which is not worth a traceback.
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
