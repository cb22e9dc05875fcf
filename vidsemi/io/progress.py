"""The progress bar: live on a terminal, a plain line every few seconds in a log.

It is hidden where the log level hides messages, as `process_group` does in all processes but the first.
"""

import logging
import sys
from typing import NoReturn

from tqdm import tqdm

from vidsemi.io.tables import printable

SECONDS = 5.0  # between lines in a log
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}s, {rate_noinv_fmt}, {elapsed} elapsed, {remaining} left{postfix}"


class _Lines:
    """Standard error without carriage returns."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(f"{text.strip()}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress_bar(
    total: int, unit: str, title: str, done: int = 0, delay: float = 0, silent: bool = False
) -> "tqdm[NoReturn]":
    """Create a progress bar on standard error that counts units such as "clip" and appears after `delay` seconds."""
    terminal = sys.stderr.isatty()
    interval = 0.2 if terminal else SECONDS
    return tqdm(
        total=total,
        initial=done,
        unit=f" {unit}",
        desc=printable(title),
        mininterval=interval,
        maxinterval=interval,
        dynamic_ncols=terminal,
        delay=delay,
        disable=silent or logging.getLogger("vidsemi").level > logging.INFO,
        file=sys.stderr if terminal else _Lines(),
        bar_format=None if terminal else LINE,
    )
