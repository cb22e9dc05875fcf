"""Read files in worker processes that may hang or crash: that costs the one file, not the job.

Why not a library's pool: in pebble, which ends tasks that hang, all workers share a pipe and its lock. A worker that is
killed from outside while it sends its frames leaves both unusable; in our tests the job then stalled for minutes. Here
each worker has a pipe of its own.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, Generic

import psutil

from vidsemi.data.shared_slots import SlotReader
from vidsemi.data.worker_process import File, HasPath, Result, attempt, receive, work
from vidsemi.io.errors import DecodeError
from vidsemi.runtime.priority import Priority
from vidsemi.runtime.start_process import start_process
from vidsemi.runtime.temporary import own_temporary_folder

PREFETCH = 4  # files per worker that are read or queued ahead of the consumer; bounds the memory
FILES_PER_WORKER = 1000  # then it is replaced, so that leaks of native libraries never add up
GRACE = 30.0  # seconds beyond a file's limit in which the kernel's timer should have ended its worker
SIGNALS = {int(number): number.name for number in signal.Signals}
MAX_ATTEMPTS = 3  # for a file whose worker is killed from outside, for example by the kernel when memory is short


def read_all(
    read: Callable[[File], Result], files: Iterable[File], *, workers: int, seconds: float, prefetch: int | None = None
) -> Generator[Result | DecodeError, None, None]:
    """Read files in worker processes and yield the results in order. Closing the iterator ends the workers.

    `read`, which can be pickled, gets each file and may take so many seconds for it. With 0 workers this process reads,
    and does not survive a hang or a crash. `prefetch` files, by default four per worker, are read ahead.

    Yields:
        For every file the result of `read`, or the error: it does not decode, takes longer than `seconds`, or crashes
        its process.

    Raises:
        RuntimeError: no process can be started.
    """
    if workers == 0:
        for file in files:
            yield attempt(read, file)
        return
    todo = iter(files)
    limit = PREFETCH * workers if prefetch is None else prefetch
    queued: deque[Future[Result | DecodeError]] = deque()
    pool: Pool[Result] | None = None  # without a file no process is started
    try:
        while True:
            for file in islice(todo, limit - len(queued)):
                pool = pool or Pool(read, workers, seconds)
                queued.append(pool.submit(file))
            if pool is None or not queued:
                return
            yield pool.result(queued.popleft())
    finally:
        if pool is not None:
            pool.close()


def _context() -> Any:
    # Not fork: this process has threads (torch's, ours), and a forked child may wait forever for their locks. The
    # server that workers are forked from instead has everything imported and no threads.
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["vidsemi.data.views"])
    return context


@dataclass
class _Task(Generic[Result]):
    file: HasPath | None  # None: to start the worker
    future: "Future[Result | DecodeError]"
    attempts: int = 0


class _Worker(Generic[Result]):
    """A process that reads one file at a time."""

    def __init__(self, read: Callable[[Any], Result], seconds: float, priority: Priority):
        context = _context()
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=work, args=(theirs, read, seconds, priority, dict(os.environ)), daemon=True
        )
        of_script = "__main__" in (getattr(read, "__module__", ""), type(read).__module__)
        start_process(self.process, script=of_script)  # Ctrl-C is for this process, which then kills its workers
        theirs.close()
        self.slots = SlotReader()
        self.usage = psutil.Process(self.process.pid)
        self.task: _Task[Result] | None = _Task(None, Future())
        self.since = time.monotonic()  # when its task began
        self.files = 0

    def end(self) -> str:
        """Kill the process; returns how it ended."""
        self.connection.close()
        self.process.join(0.1)
        self.process.kill()
        self.process.join(GRACE)  # not forever: a dead disk holds processes beyond any signal
        if (code := self.process.exitcode) is None:
            return "it does not end"
        return SIGNALS.get(-code, f"signal {-code}") if code < 0 else f"exit status {code}"


class Pool(Generic[Result]):
    """Workers, and a thread that assigns files to them and collects the results."""

    def __init__(self, read: Callable[[Any], Result], workers: int, seconds: float):
        own_temporary_folder()
        self._read, self._seconds = read, seconds
        self._priority = Priority(_context(), workers)
        self._workers = [self._start() for _ in range(workers)]
        self._todo: deque[_Task[Result]] = deque()
        self._closed = False
        self._error: BaseException | None = None
        self._wakeup, self._wake = multiprocessing.Pipe(duplex=False)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _start(self) -> _Worker[Result]:
        return _Worker(self._read, self._seconds, self._priority)

    def result(self, future: "Future[Result | DecodeError]") -> Result | DecodeError:
        """Wait for a file's result."""
        if future.done():
            return future.result()
        with self._priority.waiting([worker.usage for worker in self._workers]):
            return future.result()

    def submit(self, file: HasPath) -> "Future[Result | DecodeError]":
        """Queue a file."""
        if self._error is not None:
            raise self._error
        future: Future[Result | DecodeError] = Future()
        self._todo.append(_Task(file, future))
        self._wake.send_bytes(b"!")
        return future

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        self._closed = True
        self._wake.send_bytes(b"!")
        self._thread.join()
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.end()
        self._wakeup.close()
        self._wake.close()

    def _run(self) -> None:
        try:
            while not self._closed:
                self._assign()
                self._listen()
        except BaseException as error:  # or somebody would wait forever for a file that nobody reads
            self._error = error
            for task in [*(worker.task for worker in self._workers), *self._todo]:
                if task is not None and not task.future.done():
                    task.future.set_exception(error)

    def _assign(self) -> None:
        """Give files to the idle workers."""
        for place, worker in enumerate(self._workers):
            if self._todo and worker.task is None:
                if worker.files >= FILES_PER_WORKER or not worker.process.is_alive():
                    worker.end()
                    self._workers[place] = self._start()
                    continue
                worker.task, worker.since = self._todo.popleft(), time.monotonic()
                worker.files += 1
                with suppress(OSError):  # it dies at this very moment: `_collect` will see that
                    worker.connection.send((worker.task.file, worker.slots.released()))

    def _listen(self) -> None:
        """Wait for a message of a worker, for one that is long overdue, or for something to assign."""
        busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
        for connection in wait([self._wakeup, *busy], GRACE):
            if connection is self._wakeup:
                self._wakeup.recv_bytes()
            else:
                self._collect(busy[connection])
        now = time.monotonic()
        for worker in busy.values():
            if worker.task is not None and now - worker.since > self._seconds + GRACE:
                worker.process.kill()
                self._replace(worker, late=True)

    def _collect(self, worker: _Worker[Result]) -> None:
        """Take a worker's result, or replace it if it has ended."""
        try:
            result = receive(worker.connection, worker.slots)
        except (EOFError, OSError):
            self._replace(worker)
            return
        assert worker.task is not None
        worker.task.future.set_result(result)
        worker.task = None

    def _replace(self, worker: _Worker[Result], late: bool = False) -> None:
        """Start a new worker for one that died; its file is a failure, or is tried again."""
        cause = worker.end()
        task, worker.task = worker.task, None
        assert task is not None
        if task.file is None:
            hint = 'a script that uses them needs if __name__ == "__main__":'
            raise RuntimeError(f"worker processes that read files cannot start ({cause}); {hint}")
        self._workers[self._workers.index(worker)] = self._start()
        task.attempts += 1
        path = task.file.path
        if late or cause == "SIGALRM":
            reason = f"reading takes longer than {self._seconds:g} s"
            task.future.set_result(DecodeError("worker.timeout", path, reason))
        elif cause == "SIGKILL" and task.attempts < MAX_ATTEMPTS:
            self._todo.appendleft(task)
        else:
            task.future.set_result(DecodeError("worker.crash", path, f"reading crashes its process ({cause})"))
