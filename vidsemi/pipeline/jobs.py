"""Run several stages at once, each in a process of its own: `jobs`.

A network that is small, or one clip at a time, leaves most of a machine idle, and a GPU per stage needs no messages
between GPUs.
"""

import logging
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.pipeline.board import Board
from vidsemi.pipeline.job_process import Setting, work
from vidsemi.pipeline.stage import Context, Stage
from vidsemi.runtime.process import usable_cores
from vidsemi.runtime.ray_engine import cluster_of_jobs
from vidsemi.runtime.registry import registered_by_script
from vidsemi.runtime.start_process import start_process
from vidsemi.runtime.temporary import own_temporary_folder
from vidsemi.training.preemption import GracefulShutdown

logger = logging.getLogger("vidsemi")

LOOK_EVERY = 0.2  # seconds
GRACE = 30.0  # seconds in which a job without a stage ends


def run_in_jobs(
    stages: Sequence[Stage],
    context: Context,
    jobs: int,
    board: Board,
    *,
    finished: Callable[[Stage, dict[str, Any]], object],
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Run stages in up to `jobs` processes, each stage once those are done that it reads.

    If a stage fails, a process dies or this process is told to stop, all stages end as they would alone: a training
    run writes a checkpoint.

    Args:
        stages: of a plan, in its order, which is kept among those that can run.
        context: where they run.
        jobs: number of processes, at least 1.
        board: shows what the stages do.
        finished: called with each stage that is done, and its metrics.
        meanwhile: called after that once the next stages run; may take a second.

    Raises:
        UserError: a stage fails, or the process of one is killed.
    """
    todo, failure, news = list(stages), None, False
    with (
        cluster_of_jobs(context.runtime),
        GracefulShutdown() as shutdown,
        _Jobs(stages, context, jobs, board) as running,
    ):
        while True:
            if failure is None and not shutdown.requested:
                for stage in ready(todo, running.stages())[: running.free()]:
                    todo.remove(stage)
                    running.start(stage)
            else:
                running.stop()
            if not running.stages():
                break
            try:
                if news and not shutdown.requested:
                    meanwhile()
                news = False
                for stage, metrics in running.done():
                    finished(stage, metrics)
                    news = True
            except _StoppedError:
                shutdown.signal = shutdown.signal or signal.SIGTERM
            except Exception as error:
                failure = failure or error
        if shutdown.requested:
            shutdown.exit()
    if failure is not None:
        raise failure


def ready(todo: Sequence[Stage], running: Collection[Stage]) -> list[Stage]:
    """The stages that can run: those that read none of those to do or running."""
    unfinished = {stage.fingerprint for stage in (*todo, *running)}
    return [stage for stage in todo if not any(own.fingerprint in unfinished for own in stage.inputs)]


class _TracebackOfJob(Exception):  # noqa: N818
    """The cause of an error that a job has sent: its traceback there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _StoppedError(Exception):
    """Somebody else has ended a job by SIGTERM."""


class _Job:
    """A process, and the stage that it runs."""

    def __init__(self, setting: Setting):
        context = multiprocessing.get_context("spawn")  # a CUDA device cannot be used after a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, setting), name=f"job {setting.number}")
        start_process(self.process, script=registered_by_script())
        theirs.close()
        self.stage: Stage | None = None
        self.ready = self.over = False  # it has started; it takes no stage any more


class _Jobs:
    """The processes of a run. Those that still live are killed in the end."""

    def __init__(self, stages: Sequence[Stage], context: Context, count: int, board: Board):
        self._stages, self._context, self._board = list(stages), context, board
        self._count = min(count, len(stages))
        self._jobs: list[_Job] = []
        self._content: bytes | None = None
        self._stopping = False

    def __enter__(self) -> "_Jobs":
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        for job in self._jobs:
            job.connection.close()  # which ends a job that has no stage
            if kind is not None or job.stage is not None:
                job.process.kill()
        for job in self._jobs:
            job.process.join(GRACE)
            job.process.kill()

    def stages(self) -> list[Stage]:
        """The stages that run."""
        return [job.stage for job in self._jobs if job.stage is not None]

    def free(self) -> int:
        """How many more stages can run."""
        return self._count - len(self.stages())

    def start(self, stage: Stage) -> None:
        """Run a stage, in a process that has none or in a new one."""
        job = next((job for job in self._jobs if job.stage is None and not job.over), None) or self._new_job()
        job.stage = stage
        self._board.begin(self._context.name(stage))
        with _ignoring_its_end():
            job.connection.send(self._stages.index(stage))

    def _new_job(self) -> _Job:
        import torch

        own_temporary_folder()  # the jobs then use it, too
        self._content = self._content or pickle.dumps((self._stages, self._context), pickle.HIGHEST_PROTOCOL)
        setting = Setting(
            number=len(self._jobs),
            count=self._count,
            threads=max(min(usable_cores() // self._count, torch.get_num_threads()), 1),
            folder=os.getcwd(),
            levels=(logging.getLogger().level, logger.level),
        )
        self._jobs.append(_Job(setting))
        with _ignoring_its_end():
            self._jobs[-1].connection.send_bytes(self._content)
        if len(self._jobs) == self._count:
            self._content = None
        return self._jobs[-1]

    def stop(self) -> None:
        """Tell all stages to stop, once."""
        if not self._stopping:
            for job in self._jobs:
                if job.stage is not None:
                    self._board.say(f"{self._context.name(job.stage)}: stopping")
                    job.process.terminate()
        self._stopping = True

    def done(self) -> Iterator[tuple[Stage, dict[str, Any]]]:
        """Wait a moment for messages of the jobs; yields the stages that are done.

        Raises:
            Exception: that of a stage that failed; to be called again, for the other stages.
        """
        busy = {job.connection: job for job in self._jobs if job.stage is not None}
        wait(busy, LOOK_EVERY)
        for connection, job in busy.items():
            alive = job.process.is_alive()  # before the last message is read
            while job.stage is not None and connection.poll():
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    alive = False
                    break
                if (metrics := self._receive(job, *message)) is not None:
                    stage, job.stage = job.stage, None
                    self._board.end(self._context.name(stage))
                    yield stage, metrics
            if job.stage is not None and not alive:
                self._has_died(job)

    def _receive(self, job: _Job, kind: str, *values: Any) -> dict[str, Any] | None:
        """Handle a message; returns the metrics of a stage that is done."""
        assert job.stage is not None
        name = self._context.name(job.stage)
        match kind:
            case "ready":
                job.ready = True
            case "log":
                module, level, text = values
                logging.getLogger(module).log(level, "%s", text if text.startswith(name) else f"{name}: {text}")
            case "progress":
                self._board.show(name, values[0])
            case "done":
                metrics: dict[str, Any] = values[0]
                return metrics
            case "stopped":
                job.stage, job.over = None, True
                if not self._stopping:
                    raise _StoppedError
            case "failed":
                job.stage, job.over = None, True
                error, text = values
                raise error from (None if isinstance(error, UserError | OSError) else _TracebackOfJob(text))
        return None

    def _has_died(self, job: _Job) -> None:
        assert job.stage is not None
        name = self._context.name(job.stage)
        job.stage, job.over = None, True
        job.process.join(GRACE)
        code = job.process.exitcode
        if code == -signal.SIGTERM:  # before the job could handle it
            if not self._stopping:
                raise _StoppedError
            return
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"
        hint = "its memory may have run out: with fewer --jobs each has more"
        if not job.ready:
            hint = 'a script that registers networks or policies needs if __name__ == "__main__": around the run'
        raise UserError("jobs.killed", f"{name}: its process has ended ({how}); the same command resumes; {hint}")


@contextmanager
def _ignoring_its_end() -> Iterator[None]:
    """A job that has died is noticed when its messages are read."""
    with suppress(OSError):
        yield
