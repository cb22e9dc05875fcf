"""Reading in worker processes that may hang or die: that costs the one file, not the job.

Why not a library's pool: one that ends tasks that hang (pebble) has all its workers share a pipe and its lock. A worker
that is killed from outside in the midst of sending its frames leaves both unusable: in our tests the job then stood
still for minutes. Here each worker has a pipe of its own.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from vidsemi.io.errors import DecodeError


class Named(Protocol):
    """What is asked of the pool: a file, or a part of one, with its `path` for messages; it can be pickled."""

    @property
    def path(self) -> str: ...  # noqa: D102


Asked = TypeVar("Asked", bound=Named)
Read = TypeVar("Read")

AHEAD = 4  # files a worker that are being read or wait to be taken; it bounds the memory, whatever the corpus
FILES_A_WORKER = 1000  # then it is replaced, so that what native libraries lose never adds up
GRACE = 30.0  # seconds beyond a file's limit in which the kernel's timer should have ended its worker
READY = "ready"  # a worker's first word
SIGNALS = {int(number): number.name for number in signal.Signals}
ATTEMPTS = 3  # of a file whose worker is killed from outside, by the kernel for want of memory, say

# Decoders yield the cores to the network's threads and take what those leave; when the network waits for data they have
# them all. Training on 2 cores from small files: 308 clips/s at 0, 353 at 10, 403 at 19.
NICENESS = 19


def read_all(
    read: Callable[[Asked], Read],
    files: Iterable[Asked],
    *,
    workers: int,
    seconds: float,
    ahead: int | None = None,
) -> Generator[Read | DecodeError, None, None]:
    """Read files, in their order; close the iterator to end the workers before it is through.

    Args:
        read: file → whatever; both can be pickled.
        files: a `Row` each, or what else has a path. The next one is asked for when there is room for it.
        workers: processes that read; 0 reads in this one, where a hang or a crash is not survived.
        seconds: limit for a file.
        ahead: files that are being read or wait to be taken; default: four a worker.

    Yields:
        For every file what `read` gives, or why there is none: it does not decode, takes longer than `seconds`, or
        ends its process.

    Raises:
        RuntimeError: no process can be started.
    """
    if workers == 0:
        for file in files:
            yield _attempt(read, file)
        return
    todo = iter(files)
    first = list(islice(todo, 1))
    if not first:
        return  # before any process is started
    todo = chain(first, todo)
    most = AHEAD * workers if ahead is None else ahead
    waiting: deque[Future[Read | DecodeError]] = deque()
    pool = _Pool(read, workers, seconds)
    try:
        while True:
            waiting.extend(pool.submit(file) for file in islice(todo, most - len(waiting)))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.close()


def _attempt(read: Callable[[Asked], Read], file: Asked) -> Read | DecodeError:
    try:
        return read(file)
    except DecodeError as error:
        return error
    except Exception as error:  # of a library, with a file that nobody foresaw: a failure to report, not the job's end
        return DecodeError(file.path, f"{type(error).__name__}: {error}")


@dataclass
class _Task(Generic[Read]):
    file: Named
    future: "Future[Read | DecodeError]"
    attempts: int = 0


class _Worker(Generic[Read]):
    """A process that reads one file at a time."""

    def __init__(self, read: Callable[[Any], Read], seconds: float):
        # Not fork: this process has threads (torch's, ours), and a forked child may wait for ever for a lock of theirs.
        # The server that workers are forked from instead has everything imported and no threads.
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        context.set_forkserver_preload(["vidsemi.data.views"])
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, read, seconds), daemon=True)
        with _without_interrupts():  # Ctrl-C is for the job, which then kills its workers
            self.process.start()
        theirs.close()
        self.ready = False
        self.task: _Task[Read] | None = None
        self.since = time.monotonic()  # it was given something to do, first to start
        self.files = 0

    def end(self) -> str:
        """Kill the process; how it had ended if it had."""
        self.connection.close()
        self.process.join(0.1)
        self.process.kill()
        self.process.join(GRACE)  # not for ever: a dead disk holds processes beyond any signal
        code = self.process.exitcode
        if code is None:
            return "it does not end"
        return SIGNALS.get(-code, f"signal {-code}") if code < 0 else f"exit status {code}"


class _Pool(Generic[Read]):
    """Workers, and a thread that gives them files and takes what they read."""

    def __init__(self, read: Callable[[Any], Read], workers: int, seconds: float):
        self._read, self._seconds = read, seconds
        self._workers = [_Worker(read, seconds) for _ in range(workers)]
        self._todo: deque[_Task[Read]] = deque()
        self._closed = False
        self._broken: BaseException | None = None
        self._bell, self._ring = multiprocessing.Pipe(duplex=False)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, file: Named) -> "Future[Read | DecodeError]":
        """Have a file read."""
        if self._broken is not None:
            raise self._broken
        future: Future[Read | DecodeError] = Future()
        self._todo.append(_Task(file, future))
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
        try:
            while not self._closed:
                self._give()
                self._listen()
        except BaseException as error:  # nobody may wait for a file that nobody reads
            self._broken = error
            for task in [*(worker.task for worker in self._workers), *self._todo]:
                if task is not None and not task.future.done():
                    task.future.set_exception(error)

    def _give(self) -> None:
        """Files for the idle workers."""
        for place, worker in enumerate(self._workers):
            if worker.ready and worker.task is None and self._todo:
                if worker.files >= FILES_A_WORKER or not worker.process.is_alive():
                    worker.end()
                    self._workers[place] = _Worker(self._read, self._seconds)
                    continue
                worker.task, worker.since = self._todo.popleft(), time.monotonic()
                worker.files += 1
                with suppress(OSError):  # it dies at this very moment: `_take` will see that
                    worker.connection.send(worker.task.file)

    def _listen(self) -> None:
        """Wait until a worker has something to say, or is long overdue, or there is something to give."""
        busy = {worker.connection: worker for worker in self._workers if worker.task is not None or not worker.ready}
        for heard in wait([self._bell, *busy], GRACE):
            if heard is self._bell:
                self._bell.recv_bytes()
            else:
                self._take(busy[heard])
        now = time.monotonic()
        for worker in busy.values():
            if (worker.task is not None or not worker.ready) and now - worker.since > self._seconds + GRACE:
                worker.process.kill()
                self._bury(worker, late=True)

    def _take(self, worker: _Worker[Read]) -> None:
        """What a worker has read, or its end."""
        try:
            result = _receive(worker.connection)
        except (EOFError, OSError):
            self._bury(worker)
            return
        if worker.task is not None:
            worker.task.future.set_result(result)
        worker.ready, worker.task = True, None

    def _bury(self, worker: _Worker[Read], late: bool = False) -> None:
        """Put a new worker in the place of one that is dead; the file it read is a failure, or tried again."""
        cause = worker.end()
        task, worker.task = worker.task, None
        if task is None:
            raise RuntimeError(
                f"processes that read files cannot start ({cause}); a script that uses them needs "
                'if __name__ == "__main__":'
            )
        self._workers[self._workers.index(worker)] = _Worker(self._read, self._seconds)
        task.attempts += 1
        if late or cause == "SIGALRM":
            reason = f"takes longer than {self._seconds:g} s to read"
        elif cause == "SIGKILL" and task.attempts < ATTEMPTS:
            self._todo.appendleft(task)
            return
        else:
            reason = f"ends the process that reads it ({cause})"
        task.future.set_result(DecodeError(task.file.path, reason))


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started in this block never see Ctrl-C."""
    resource_tracker.ensure_running()  # which would unblock them if it were started in the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, read: Callable[[Any], Any], seconds: float) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to every process of a job, it would look like a file's fault
    os.nice(NICENESS)
    os.environ["TQDM_DISABLE"] = "1"  # iopath shows a bar for every download
    Thread(target=_end_with_the_job, daemon=True).start()
    _send(connection, READY)
    while True:
        try:
            file = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds)  # the kernel then ends this process, whatever hangs
        result = _attempt(read, file)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(connection, result)


def _send(connection: Connection, result: Any) -> None:
    """Hand a result over; arrays as they are in memory, which for 12 MB takes 2 ms where pickling takes 10."""
    if isinstance(result, np.ndarray) and result.flags.c_contiguous and result.size:
        connection.send((result.dtype.str, result.shape))
        connection.send_bytes(result.data.cast("B"))
    else:
        connection.send((None, result))


def _receive(connection: Connection) -> Any:
    dtype, content = connection.recv()
    if dtype is None:
        return content
    result = np.empty(content, dtype)
    connection.recv_bytes_into(result.data.cast("B"))
    return result


def _end_with_the_job() -> None:
    """End this process when the one that started it is gone, even if a file hangs."""
    job = multiprocessing.parent_process()
    assert job is not None
    job.join()
    os.kill(os.getpid(), signal.SIGKILL)
