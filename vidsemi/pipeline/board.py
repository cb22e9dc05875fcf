"""What a run is doing: lines in run.log and on standard error, or one live table on a terminal; calls of a function."""

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from vidsemi import __version__
from vidsemi.io.errors import UserError
from vidsemi.io.progress import LINE, Progress, in_notebook, progress_shown, show_progress
from vidsemi.io.run_log import RUN_LOG, WRITTEN, RunLog
from vidsemi.io.tables import printable
from vidsemi.runtime.distributed import own_command, processes

logger = logging.getLogger("vidsemi")

SECONDS, LOG_SECONDS = 5.0, 60.0  # between lines about the progress of a stage, on standard error and in run.log
WINDOW = 30.0  # seconds that a rate is the mean of

Status = Literal["to do", "running", "done", "stopped"]


@dataclass
class StageStatus:
    """How far a stage is."""

    name: str
    status: Status = "to do"
    since: float = 0.0  # when it began, of a monotonic clock
    seconds: float | None = None  # that it took here; None if it was done before
    progress: Progress | None = None
    samples: deque[tuple[float, int]] = field(default_factory=deque)  # times and units done, of the last `WINDOW`
    shown: float = 0.0  # when its last line was written, on standard error
    logged: float = 0.0  # and in run.log

    def add(self, progress: Progress, now: float) -> None:
        """Note how far it is now."""
        before, self.progress = self.progress, progress
        if before is None or progress.title != before.title or progress.done < before.done:
            self.samples.clear()
        self.samples.append((now, progress.done))
        while now - self.samples[0][0] > WINDOW and len(self.samples) > 2:
            self.samples.popleft()

    @property
    def rate(self) -> float | None:
        """Units per second, lately; None if that is not known yet."""
        samples = list(self.samples)  # at once, since the table is drawn by another thread
        if len(samples) < 2:
            return None
        (begin, before), (end, now) = samples[0], samples[-1]
        return (now - before) / (end - begin) if end > begin and now > before else None

    @property
    def left(self) -> float | None:
        """Seconds until it is done; None if that is not known."""
        rate, progress = self.rate, self.progress
        return None if not rate or progress is None else max(progress.total - progress.done, 0) / rate


class Board:
    """The stages of a run, shown while they run; to be entered as a context.

    Of several processes of torchrun, only the first shows anything.

    Args:
        output: of the run; receives run.log.
        stages: names of the stages in the order of the plan, and whether they are done already.
        jobs: number of stages that may run at once.
    """

    def __init__(self, output: Path, stages: Mapping[str, bool], jobs: int):
        self.stages = {name: StageStatus(name, "done" if done else "to do") for name, done in stages.items()}
        self.began = time.monotonic()
        self._shown = progress_shown()
        self._first = processes().first
        self._log = RunLog(output / RUN_LOG)
        # a notebook redraws the bars of single stages
        self._bars = not self._first or (self._shown is True and in_notebook() and jobs == 1)
        terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._table = self._first and self._shown is True and terminal
        self._lines = self._first and self._shown is True and not terminal

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            if self._first:
                opened.enter_context(self._log)
                self._log.write(f"vidsemi {__version__}: {own_command()}")
            if self._table:
                from vidsemi.pipeline.live_table import live_table

                opened.enter_context(live_table(self))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        for stage in self.stages.values():
            if stage.status == "running":
                stage.status, stage.seconds = "stopped", time.monotonic() - stage.since
        if self._first:
            code = f" [{error.code}]" if isinstance(error, UserError) else ""
            self._log.write("done" if error is None else f"ended by {type(error).__name__}: {error}{code}")
        self._opened.__exit__(kind, error, trace)

    def begin(self, name: str) -> None:
        """A stage begins."""
        self.stages[name] = StageStatus(name, "running", since=time.monotonic(), logged=time.monotonic())
        self.say(f"{name}: started")

    def end(self, name: str) -> None:
        """A stage is done."""
        stage = self.stages[name]
        stage.seconds, stage.status = time.monotonic() - stage.since, "done"
        self.say(f"{name}: done in {stage.seconds:.1f} s")

    def taken_over(self, name: str) -> None:
        """A stage is done without having been run."""
        self.stages[name].status = "done"

    def show(self, name: str, progress: Progress) -> None:
        """A stage that runs is so far."""
        stage, now = self.stages[name], time.monotonic()
        stage.add(progress, now)
        if callable(self._shown):
            self._shown(progress)
        if now - stage.logged >= LOG_SECONDS:
            stage.logged = now
            self._log.write(self._line(stage))
        if self._lines and (now - stage.shown >= SECONDS or progress.done == progress.total):
            stage.shown = now
            sys.stderr.write(f"{printable(self._line(stage))}\n")

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """A stage runs in this process while the block lasts."""
        self.begin(name)
        with nullcontext() if self._bars else show_progress(partial(self.show, name)):
            yield
        self.end(name)

    def _line(self, stage: StageStatus) -> str:
        from tqdm import tqdm

        progress = stage.progress
        assert progress is not None
        line: str = tqdm.format_meter(
            progress.done,
            progress.total,
            time.monotonic() - stage.since,
            prefix=progress.title,
            unit=f" {progress.unit}",
            rate=stage.rate,
            postfix=progress.note,
            bar_format=LINE,
        )
        return line

    def say(self, text: str) -> None:
        """Write a line into run.log, and to the log."""
        if self._first:
            self._log.write(text)
            logger.info("%s", text, extra=WRITTEN)
