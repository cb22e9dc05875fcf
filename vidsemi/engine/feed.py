"""Batches from processes that read, which end with the training and not before it."""

import multiprocessing
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType

from vidsemi.engine.batch import Batch
from vidsemi.errors import UserError
from vidsemi.media.datasets import MAX_SUBSTITUTES

SECONDS = 5.0  # that killed readers may take to be gone
ENDED = re.compile(r"DataLoader worker \(pid|Pin memory thread exited|shared memory\(shm\)|DefaultCPUAllocator")


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
                if not (self._readers and (isinstance(error, MemoryError) or ENDED.search(str(error)))):
                    raise
                raise UserError(
                    "training stopped: a process that reads was killed, or has too little memory or shared memory "
                    "(/dev/shm); lower machine.workers; the same command goes on from the last checkpoint"
                ) from None
            self.waited += time.monotonic() - before
            if batch.error is not None:
                raise UserError(
                    f"training stopped: {MAX_SUBSTITUTES} files in a row cannot be read; the last is {batch.error}"
                )
            self.unreadable.update(batch.unreadable)
            self.example_ids += batch.example_ids
            yield batch
