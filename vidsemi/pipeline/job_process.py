"""A job's side of `jobs`: a process that runs whole stages, one after the other, for the run that started it."""

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, NoReturn

from vidsemi.data.worker_process import end_with_parent
from vidsemi.io.progress import Progress, show_progress
from vidsemi.runtime.process import become_job

SECONDS = 0.2  # between messages about progress

logger = logging.getLogger("vidsemi")


@dataclass(frozen=True)
class Setting:
    """What a job is told when it starts."""

    number: int  # from 0
    count: int  # of jobs that share the machine
    threads: int  # for the network
    folder: str  # where the run was started
    levels: tuple[int, int]  # of the root logger and of vidsemi's


class Stopped(BaseException):
    """SIGTERM: the run ends its jobs, or somebody else ends this one."""


class Outbox:
    """Sends messages from a thread of its own, so that no signal interrupts one half way."""

    def __init__(self, connection: Connection):
        self._connection, self._queue = connection, SimpleQueue[tuple[Any, ...] | None]()
        self._thread = Thread(target=self._send, daemon=True)
        self._thread.start()

    def put(self, *message: Any) -> None:
        """Queue a message; values that can be pickled."""
        self._queue.put(message)

    def close(self) -> None:
        """Send what is queued."""
        self._queue.put(None)
        self._thread.join()

    def _send(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:  # the run is gone, and `end_with_parent` ends this process
                return


class _LogHandler(logging.Handler):
    """Hands log messages over to the run."""

    def __init__(self, outbox: Outbox):
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        self._outbox.put("log", record.name, record.levelno, self.format(record).strip())


class _ProgressSender:
    """Hands progress over to the run, but not all of it."""

    def __init__(self, outbox: Outbox):
        self._outbox, self._next = outbox, 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next or progress.done == progress.total:
            self._outbox.put("progress", progress)
            self._next = now + SECONDS


def work(connection: Connection, setting: Setting) -> None:
    """The main function of a job: receive numbers of stages and run these, until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the run, which then ends its jobs by SIGTERM
    signal.signal(signal.SIGTERM, _stop)
    outbox = Outbox(connection)
    try:
        Thread(target=end_with_parent, daemon=True).start()
        _set_up(setting, outbox)
        outbox.put("ready")
        with show_progress(_ProgressSender(outbox)):
            _run_stages(connection, setting, outbox)
    except Stopped:
        outbox.put("stopped")
    except BaseException as error:
        outbox.put("failed", *_portable(error))
    outbox.close()


def _stop(number: int, frame: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the end
    raise Stopped


def _set_up(setting: Setting, outbox: Outbox) -> None:
    os.chdir(setting.folder)
    os.dup2(2, 1)  # standard output is for the run's results
    become_job(setting.number, setting.count)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # which libraries read when they are imported
        os.environ[name] = str(setting.threads)
    if "forkserver" in multiprocessing.get_all_start_methods():  # else every data loader worker would import torch
        multiprocessing.set_start_method("forkserver", force=True)
        multiprocessing.set_forkserver_preload(["vidsemi.data.loader", "vidsemi.data.views"])
        forkserver.ensure_running()
    root = logging.getLogger()
    root.handlers, logger.handlers = [_LogHandler(outbox)], []
    root.setLevel(setting.levels[0])
    logger.setLevel(setting.levels[1])
    logging.captureWarnings(True)


def _run_stages(connection: Connection, setting: Setting, outbox: Outbox) -> None:
    stages, context = connection.recv()
    if (torch := sys.modules.get("torch")) is not None:  # a script has imported it
        torch.set_num_threads(setting.threads)
    from vidsemi.pipeline.run_stage import run_stage

    while True:
        try:
            number = connection.recv()
        except EOFError:
            return
        outbox.put("done", run_stage(stages[number], context))


def _portable(error: BaseException) -> tuple[BaseException, str]:
    """An error that can be pickled, and its traceback."""
    text = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))  # our own error, on its way from our own process
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return error, text
