"""run.log: what happened in a run, in lines with time stamps."""

import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from vidsemi.io.tables import printable_lines

RUN_LOG = "run.log"
WRITTEN = {"in_run_log": True}  # `extra` of log messages that stand in it already


class RunLog(logging.Handler):
    """Appends lines to a file, among them all log messages while the context lasts.

    It never fails: a run does not end because of its log.
    """

    def __init__(self, file: Path):
        super().__init__()
        self._file = file

    def write(self, text: str) -> None:
        """Append a line."""
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        with suppress(OSError), open(self._file, "a", encoding="utf-8") as stream:
            stream.write(f"{now} {printable_lines(text)}\n")

    def emit(self, record: logging.LogRecord) -> None:
        """Append a log message."""
        if not hasattr(record, "in_run_log"):
            with suppress(Exception):  # its arguments may not fit its text
                self.write(record.getMessage())

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *error: Any) -> None:
        logging.getLogger().removeHandler(self)
