"""The one progress bar: live on a terminal, a line every ten seconds in a log."""

import sys

from tqdm import tqdm


def progress_bar(total: int, unit: str, title: str, done: int = 0, delay: float = 0) -> tqdm:
    """A bar on standard error.

    Args:
        total: where it ends.
        unit: what it counts, e.g. "clip".
        title: what is going on.
        done: where it begins.
        delay: seconds before it shows; what is done by then shows nothing.
    """
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        desc=title,
        mininterval=interval,
        maxinterval=interval,
        dynamic_ncols=True,
        delay=delay,
    )
