"""The one progress bar: live on a terminal, a plain line every few seconds in a log.

Where messages are not shown (`process_group` shows those of the first process), the bar is not either.
"""

import logging
import sys

from tqdm import tqdm

SECONDS = 5.0  # between the lines of a log
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}s, {rate_noinv_fmt}, {elapsed} gone, {remaining} left{postfix}"


class _Lines:
    """Standard error, without the carriage returns of a bar that is drawn over itself."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(f"{text.strip()}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress_bar(total: int, unit: str, title: str, done: int = 0, delay: float = 0, silent: bool = False) -> tqdm:
    """A bar on standard error.

    Args:
        total: where it ends.
        unit: what it counts, e.g. "clip".
        title: what is going on.
        done: where it begins.
        delay: seconds before it shows; what is done by then shows nothing.
        silent: show nothing at all.
    """
    terminal = sys.stderr.isatty()
    interval = 0.2 if terminal else SECONDS
    return tqdm(
        total=total,
        initial=done,
        unit=f" {unit}",
        desc=title,
        mininterval=interval,
        maxinterval=interval,
        dynamic_ncols=terminal,
        delay=delay,
        disable=silent or logging.getLogger("vidsemi").level > logging.INFO,
        file=sys.stderr if terminal else _Lines(),
        bar_format=None if terminal else LINE,
    )
