"""The loader of training batches: worker processes that end with the training run, and not before it."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any

import psutil
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from vidsemi.config import Runtime
from vidsemi.data.batch import Batch, collate
from vidsemi.data.look import Looker
from vidsemi.data.reachable import Reachability
from vidsemi.data.train_clips import Key, TrainClips, TrainItem
from vidsemi.data.watch import Reading, Watch, Watcher
from vidsemi.data.worker_process import take_environment
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.store_connection import is_connected
from vidsemi.runtime.device import worker_count
from vidsemi.runtime.library_errors import is_dead_loader_worker
from vidsemi.runtime.priority import Priority, Reader
from vidsemi.runtime.start_process import without_script
from vidsemi.runtime.temporary import own_temporary_folder

logger = logging.getLogger("vidsemi")

PREFETCH, PREFETCH_OF_MANY = 4, 2  # batches that a worker has ready; of more than 16 workers each has less, since a
MANY_WORKERS = 16  # batch of 64 clips of 32 frames takes 256 MB of pinned memory
KILL_SECONDS = 5.0  # that killed workers may take to be gone


class PrioritizedDataset(Dataset[TrainItem]):
    """Reads the items of a dataset at the priority of the moment, in the workers of a DataLoader."""

    def __init__(self, dataset: Dataset[TrainItem], priority: Priority):
        self._dataset, self._priority = dataset, priority
        self._reader: Reader | None = None

    def __getitem__(self, key: Any) -> TrainItem:
        if get_worker_info() is None:
            return self._dataset[key]
        self._reader = self._reader or Reader(self._priority)
        return self._reader(self._dataset.__getitem__, key)


class _Ledger(Sampler[list[Key]]):
    """Lists of keys, and those of them whose batches were not delivered yet: a second iteration begins with these."""

    def __init__(self, batches: Iterable[list[Key]]):
        self._source = iter(batches)
        self._begun: deque[list[Key]] = deque()

    def __iter__(self) -> Iterator[list[Key]]:
        yield from list(self._begun)
        for keys in self._source:
            self._begun.append(keys)
            yield keys

    def deliver(self) -> None:
        """The first batch that was not delivered is."""
        self._begun.popleft()


class Loader:
    """Batches of a training dataset, one for each list of keys that `batches` yields; to be entered as a context.

    A file that takes longer than `runtime.seconds_per_file` counts as unreadable: its worker is killed, and all are
    started again, with the batches that were not delivered. `pin_memory` is for a GPU that copies batches while it
    computes.
    """

    def __init__(self, dataset: TrainClips, batches: Iterable[list[Key]], runtime: Runtime, *, pin_memory: bool):
        workers = worker_count(runtime)
        self._dataset, self._ledger = dataset, _Ledger(batches)
        self._priority, self._watch = Priority(readers=workers), Watch(workers)
        dataset.watch, dataset.seconds_per_file = self._watch, runtime.seconds_per_file
        self._loader = DataLoader(
            PrioritizedDataset(dataset, self._priority),
            batch_sampler=self._ledger,
            num_workers=workers,
            collate_fn=collate,
            prefetch_factor=(PREFETCH if workers <= MANY_WORKERS else PREFETCH_OF_MANY) if workers else None,
            pin_memory=pin_memory,
            worker_init_fn=partial(start_loader_worker, dict(os.environ)),
            multiprocessing_context=_context() if workers else None,
        )
        self._disk = Reachability(dataset.manifest)
        self._overdue: list[Reading] = []
        self._watcher = Watcher(self._watch, self._path, runtime.seconds_per_file, self._kill)
        self.waited = 0.0  # seconds that the training run waited for batches
        self.unreadable: set[int] = set()  # example ids of files that do not decode
        self.example_ids: list[int] = []  # of the batches of the last `take`

    def __enter__(self) -> "Loader":
        self._main = threading.current_thread() is threading.main_thread()
        self._start()
        if self._main:
            # torch's handler raises an error for a dead worker at any moment, even in the middle of a step. torch also
            # notices a dead worker when it waits for a batch, where nothing is half done.
            self._handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._watcher.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._watcher.__exit__()
        self._stop()
        if self._main:
            signal.signal(signal.SIGCHLD, self._handler)

    def _start(self) -> None:
        own_temporary_folder()
        self._dataset.stopped = None, 0.0
        before = set(multiprocessing.active_children())
        with without_script():
            self._batches: Iterator[Batch] = iter(self._loader)
        self._workers = set(multiprocessing.active_children()) - before
        self._usage = [psutil.Process(worker.pid) for worker in self._workers]

    def _stop(self) -> None:
        self._batches = iter(())  # torch tells the workers to end
        for worker in self._workers:
            worker.kill()  # one that hangs in a file, or that torch could not end because of an error
        end = time.monotonic() + KILL_SECONDS
        for worker in self._workers:
            worker.join(max(end - time.monotonic(), 0))  # or torch's handler would see it die

    def take(self, count: int) -> Iterator[Batch]:
        """The next batches; a `UserError` if too many files in a row cannot be read or a worker was killed."""
        self.example_ids = []
        for _ in range(count):
            before = time.monotonic()
            batch = self._next()
            self.waited += time.monotonic() - before
            if batch.error is not None:
                raise batch.error
            self._ledger.deliver()
            self._disk.was_read(self._dataset.manifest.row(batch.example_ids[-1]))
            self.unreadable.update(batch.unreadable)
            self.example_ids += batch.example_ids
            yield batch

    def _next(self) -> Batch:
        while True:
            try:
                with self._priority.waiting(self._usage):
                    return next(self._batches)
            except (RuntimeError, MemoryError) as error:
                if not (self._workers and is_dead_loader_worker(error)):
                    raise
            if not self._overdue:
                raise UserError(
                    "loader.worker_died",
                    "a data loading worker was killed, or is out of memory or shared memory (/dev/shm); reduce "
                    "runtime.workers; the same command resumes from the last checkpoint",
                )
            self._give_up_overdue()

    def _give_up_overdue(self) -> None:
        """Start the workers anew, without the files that hang, unless it is their disk that hangs."""
        self._stop()
        with Looker(workers=1) as looker:
            self._disk.look = looker
            while self._overdue:
                row = self._dataset.manifest.row(self._overdue.pop().example_id)
                reason = f"reading takes longer than {self._dataset.seconds_per_file:g} s"
                hangs = DecodeError("worker.timeout", row.path, reason)
                if self._disk.confirm(row, hangs, lambda: None) is hangs:
                    logger.warning("%s: %s; it is replaced by the next example", row.path, reason)
                    self._dataset.too_slow.add(row.example_id)
        with torch.random.fork_rng(devices=[]):  # DataLoader draws a number
            self._start()

    def _path(self, example_id: int) -> str:
        return self._dataset.manifest.row(example_id).path

    def _kill(self, reading: Reading) -> None:
        """Kill a worker that reads a file for too long; torch then notices that it is dead."""
        for worker in self._workers:
            if worker.pid == reading.process:
                self._overdue.append(reading)
                worker.kill()


def _context() -> str | None:
    """How to start workers: as torch does, but forked from another process if this one has talked to an object store.

    Their own connections would wait forever for threads that only this process has.
    """
    if not is_connected():
        return None
    multiprocessing.set_forkserver_preload(["vidsemi.data.loader", "vidsemi.data.views"])
    return "forkserver"


def start_loader_worker(environment: Mapping[str, str], worker: int) -> None:
    """Set up a worker: signals left to the main process, no traceback when that goes away."""
    take_environment(environment)
    for number in (signal.SIGTERM, signal.SIGINT):  # may be sent to all processes; the main one ends its step first
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Tensors reach the main process through a thread of the worker that hands over file descriptors. Ctrl-C in the
    # middle of that closes the connection, which is not worth a traceback.
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
