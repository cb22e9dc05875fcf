"""The report of a run while it runs."""

import logging
import time
from pathlib import Path

from vidsemi.reporting.write import write_report
from vidsemi.runtime.library_errors import first_line

logger = logging.getLogger("vidsemi")

SHARE = 0.02  # of the time, at most, that reports may take


class LiveReport:
    """Writes the report of a run when a stage is done, unless it has just done so. It never fails."""

    def __init__(self, output: Path):
        self._output, self._next, self._failed = output, 0.0, False

    def __call__(self) -> None:
        """Write the report if it is time."""
        begin = time.monotonic()
        if begin < self._next:
            return
        try:
            write_report([self._output], self._output)
        except Exception as error:  # the last report, after the run, raises it
            if not self._failed:
                logger.warning("the report cannot be written yet: %s: %s", type(error).__name__, first_line(error))
            self._failed = True
        end = time.monotonic()
        self._next = end + (end - begin) / SHARE
