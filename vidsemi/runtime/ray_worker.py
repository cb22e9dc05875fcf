"""A worker's side of the Ray engine: an ordinary worker, in a process that Ray has started somewhere."""

import logging
import os
import platform
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidsemi import __version__
from vidsemi.config import Runtime
from vidsemi.io.errors import UserError
from vidsemi.runtime.shard_worker import Figures, watched

SECONDS_FOR_MARKER = 5.0  # until a network file system shows a new file
MOST_LOGS = 1000  # lines that are kept until they are asked for

logger = logging.getLogger("vidsemi")


@dataclass(frozen=True)
class Setting:
    """What a worker is told when it starts."""

    version: str  # of vidsemi, where the command runs
    folder: str  # where the command was started
    marker: Path | None  # a file in the output directory, which every node must see


@dataclass(frozen=True)
class Outcome:
    """How the work of a worker ended."""

    kind: Literal["done", "stopped", "refused", "failed"]
    value: Any = None  # of a worker that is done
    code: str = ""  # of the error of the user's that it was refused with
    text: str = ""  # that error, or the traceback of another
    host: str = platform.node()


@dataclass(frozen=True)
class Look:
    """What a worker is doing."""

    host: str
    node: str  # Ray's id of it
    figures: Figures | None
    logs: list[tuple[int, str]]  # level and text of messages since the last look


class Stopped(BaseException):
    """The command ends its workers."""


class Worker:
    """A worker of a job. `work` runs in one thread of the process, `look` in another."""

    def __init__(self) -> None:
        self._figures: Figures | None = None
        self._logs: list[tuple[int, str]] = []
        self._stop = False

    def work(self, setting: Setting, job: Callable[[Runtime], Any], runtime: Runtime) -> Outcome:
        """Do the job until no shard is left; never raises an error."""
        try:
            return Outcome("done", copy_context().run(self._work, setting, job, runtime))
        except Stopped:
            return Outcome("stopped")
        except UserError as error:
            return Outcome("refused", code=error.code, text=str(error))
        except OSError as error:  # a full disk, a folder without write permission
            text = f"{error.filename or 'a file'}: {error.strerror or error}"
            return Outcome("refused", code="ray.file_system", text=text)
        except BaseException:
            return Outcome("failed", text=traceback.format_exc())

    def look(self, stop: bool = False) -> Look:
        """Return how far the worker is; with `stop` it ends, and gives its leases back."""
        self._stop = self._stop or stop
        logs, self._logs = self._logs, []
        return Look(platform.node(), "", self._figures, logs)

    def _work(self, setting: Setting, job: Callable[[Runtime], Any], runtime: Runtime) -> Any:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
        root = logging.getLogger()
        root.handlers, logger.handlers = [_Handler(self._logs_of)], []
        logger.setLevel(logging.WARNING)
        if setting.version != __version__:
            raise UserError(
                "ray.other_version", f"this node has vidsemi {__version__}; the command is that of {setting.version}"
            )
        with suppress(OSError):  # which only matters to paths that are relative
            os.chdir(setting.folder)
        _find(setting.marker)
        watched.set(self._watch)
        return job(runtime)

    def _watch(self, figures: Figures) -> None:
        self._figures = figures
        if self._stop:
            raise Stopped

    def _logs_of(self, level: int, text: str) -> None:
        if len(self._logs) < MOST_LOGS:
            self._logs.append((level, text))


class _Handler(logging.Handler):
    """Keeps messages for the next look."""

    def __init__(self, keep: Callable[[int, str], None]):
        super().__init__(logging.WARNING)
        self._keep = keep

    def emit(self, record: logging.LogRecord) -> None:
        self._keep(record.levelno, self.format(record).strip())


def _find(marker: Path | None) -> None:
    """Make sure that this node sees the output directory."""
    end = time.monotonic() + SECONDS_FOR_MARKER
    while marker is not None and not marker.exists():
        if time.monotonic() > end:
            raise UserError(
                "ray.folder_not_shared",
                f"this node does not see the folder {marker.parent.absolute()} of the machine where the command runs; "
                "choose an output that all nodes share, or an address such as s3://bucket/folder",
            )
        time.sleep(0.2)
