"""Reading in worker processes that may hang or die: that costs the one file, not the job.

Why not a library's pool: one that ends tasks that hang (pebble) has all its workers share a pipe and its lock. A worker
that is killed from outside in the midst of sending its frames leaves both unusable: in our tests the job then stood
still for minutes. Here each worker has a pipe of its own.
"""

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any, Generic, TypeVar

import numpy as np

from vidsemi.corpus.manifest import Row
from vidsemi.errors import DecodeError

Read = TypeVar("Read")

AHEAD = 4  # files a worker that are being read or wait to be taken; it bounds the memory, whatever the corpus
FILES_A_WORKER = 1000  # then it is replaced, so that what native libraries lose never adds up
ATTEMPTS = 3  # of a file whose worker is killed from outside, by the kernel for want of memory, say

# Decoders yield the cores to the network's threads and take what those leave; when the network waits for data they have
# them all. Training on 2 cores from small files: 308 clips/s at 0, 353 at 10, 403 at 19.
NICENESS = 19


def read_all(
    read: Callable[[Row], Read], rows: Iterable[Row], *, workers: int, seconds: float
) -> Generator[Read | DecodeError, None, None]:
    """Read examples, in their order; close the iterator to end the workers before it is through.

    Args:
        read: row → whatever; both can be pickled.
        rows: the examples.
        workers: processes that read; 0 reads in this one, where a hang or a crash is not survived.
        seconds: limit for a file.

    Yields:
        For every row what `read` gives, or why there is none: it does not decode, takes longer than `seconds`, or
        ends its process.
    """
    if workers == 0:
        for row in rows:
            yield _attempt(read, row)
        return
    todo = iter(rows)
    waiting: deque[Future[Read | DecodeError]] = deque()
    pool = _Pool(read, workers, seconds)
    try:
        while True:
            waiting.extend(pool.submit(row) for row in islice(todo, AHEAD * workers - len(waiting)))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.close()


def _attempt(read: Callable[[Row], Read], row: Row) -> Read | DecodeError:
    try:
        return read(row)
    except DecodeError as error:
        return error
    except Exception as error:  # of a library, with a file that nobody foresaw: a failure to report, not the job's end
        return DecodeError(row.path, f"{type(error).__name__}: {error}")


@dataclass
class _Task(Generic[Read]):
    row: Row
    future: "Future[Read | DecodeError]"
    attempts: int = 0


class _Worker(Generic[Read]):
    """A process that reads one file at a time."""

    def __init__(self, read: Callable[[Row], Read], seconds: float):
        # Not fork: this process has threads (torch's, ours), and a forked child may wait for ever for a lock of theirs.
        # The server that workers are forked from instead has everything imported and no threads.
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        context.set_forkserver_preload(["vidsemi.media.views"])
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, read, seconds), daemon=True)
        self.process.start()
        theirs.close()
        self.task: _Task[Read] | None = None
        self.files = 0

    def end(self) -> str:
        """Kill the process; how it had ended if it had."""
        self.connection.close()
        self.process.join(0.1)
        self.process.kill()
        self.process.join()
        code = self.process.exitcode
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


class _Pool(Generic[Read]):
    """Workers, and a thread that gives them files and takes what they read."""

    def __init__(self, read: Callable[[Row], Read], workers: int, seconds: float):
        self._read, self._seconds = read, seconds
        self._workers = [_Worker(read, seconds) for _ in range(workers)]
        self._todo: deque[_Task[Read]] = deque()
        self._closed = False
        self._bell, self._ring = multiprocessing.Pipe(duplex=False)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, row: Row) -> "Future[Read | DecodeError]":
        """Have a file read."""
        future: Future[Read | DecodeError] = Future()
        self._todo.append(_Task(row, future))
        self._ring.send_bytes(b"!")
        return future

    def close(self) -> None:
        """End all workers, whatever they do."""
        self._closed = True
        self._ring.send_bytes(b"!")
        self._thread.join()
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.end()
        self._bell.close()
        self._ring.close()

    def _run(self) -> None:
        while not self._closed:
            self._give()
            busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
            for ready in wait([self._bell, *busy]):
                if ready is self._bell:
                    self._bell.recv_bytes()
                else:
                    self._take(busy[ready])

    def _give(self) -> None:
        """Files for the idle workers."""
        for place, worker in enumerate(self._workers):
            if worker.task is None and self._todo:
                if worker.files >= FILES_A_WORKER or not worker.process.is_alive():
                    worker.end()
                    worker = self._workers[place] = _Worker(self._read, self._seconds)
                worker.task = self._todo.popleft()
                worker.files += 1
                with suppress(OSError):  # it dies at this very moment: `_take` will see that
                    worker.connection.send(worker.task.row)

    def _take(self, worker: _Worker[Read]) -> None:
        """What a worker has read, or its end."""
        assert worker.task is not None
        try:
            result = _receive(worker.connection)
        except (EOFError, OSError):
            self._bury(worker)
        else:
            worker.task.future.set_result(result)
            worker.task = None

    def _bury(self, worker: _Worker[Read]) -> None:
        """Put a new worker in the place of one that is dead; the file it read is a failure, or tried again."""
        self._workers[self._workers.index(worker)] = _Worker(self._read, self._seconds)
        cause = worker.end()
        task = worker.task
        assert task is not None
        task.attempts += 1
        if cause == "SIGKILL" and task.attempts < ATTEMPTS:
            self._todo.appendleft(task)
            return
        late = cause == "SIGALRM"
        reason = (
            f"takes longer than {self._seconds:g} s to read" if late else f"ends the process that reads it ({cause})"
        )
        task.future.set_result(DecodeError(task.row.path, reason))


def _work(connection: Connection, read: Callable[[Row], Any], seconds: float) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the job, which then kills its workers
    os.nice(NICENESS)
    os.environ["TQDM_DISABLE"] = "1"  # iopath shows a bar for every download
    Thread(target=_end_with_the_job, daemon=True).start()
    while True:
        try:
            row = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds)  # the kernel then ends this process, whatever hangs
        result = _attempt(read, row)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(connection, result)


def _send(connection: Connection, result: Any) -> None:
    """Hand a result over; arrays as they are in memory, which for 12 MB takes 2 ms where pickling takes 10."""
    if isinstance(result, np.ndarray) and result.flags.c_contiguous:
        connection.send((result.shape, result.dtype.str))
        connection.send_bytes(result.data.cast("B"))
    else:
        connection.send(pickle.dumps(result))


def _receive(connection: Connection) -> Any:
    header = connection.recv()
    if isinstance(header, bytes):
        return pickle.loads(header)  # from a process of ours
    result = np.empty(*header)
    connection.recv_bytes_into(result.data.cast("B"))
    return result


def _end_with_the_job() -> None:
    """End this process when the one that started it is gone, even if a file hangs."""
    job = multiprocessing.parent_process()
    assert job is not None
    job.join()
    os.kill(os.getpid(), signal.SIGKILL)
