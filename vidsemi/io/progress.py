"""Progress: a bar on a terminal, a plain line every few seconds in a log, calls of a function, or nothing.

What it is stands in a context variable, so that functions deep inside need no argument for it. Silent by default, as a
library is; the command line shows bars. It is hidden where the log level hides messages, as `process_group` does in all
processes but the first.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

SECONDS = 5.0  # between lines in a log
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}s, {rate_noinv_fmt}, {elapsed} elapsed, {remaining} left{postfix}"


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is. A function that is passed as `progress` receives one after every change.

    Args:
        title: the work, such as "score".
        unit: what is counted, in the singular, such as "example".
        done: units that are done. It falls when units have to be done again.
        total: units in all; 0 if that is not known.
        note: what else is known, such as "loss 0.512".
    """

    title: str
    unit: str
    done: int
    total: int
    note: str = field(default="", compare=False)


ShowProgress = bool | Callable[[Progress], object] | None  # bars; a function to call; None: as the caller's caller says

_shown: ContextVar[bool | Callable[[Progress], object]] = ContextVar("progress", default=False)


@contextmanager
def show_progress(progress: ShowProgress) -> Iterator[None]:
    """Show progress in the block as `progress` says: True for bars, False for none, or a function to call.

    Args:
        progress: None leaves it as it is around the block.

    Raises:
        UserError: it is something else.
    """
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise UserError(
            "progress.invalid", f"progress is a {type(progress).__name__}; give True, False, None or a function"
        )
    token = _shown.set(_shown.get() if progress is None else progress)
    try:
        yield
    finally:
        _shown.reset(token)


def progress_shown() -> bool | Callable[[Progress], object]:
    """How progress is shown here: True for bars, False for not at all, or a function to call."""
    return _shown.get() if logging.getLogger("vidsemi").level <= logging.INFO else False


def in_notebook() -> bool:
    """Whether standard error is that of a notebook, which can redraw a line though it is not a terminal."""
    return type(sys.stderr).__module__.startswith("ipykernel")


class _Lines:
    """Standard error without carriage returns."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(f"{text.strip()}\n")

    def flush(self) -> None:
        sys.stderr.flush()


class _Bar(Protocol):
    """What callers use of a tqdm."""

    n: float

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None: ...
    def update(self, n: float | None = 1) -> bool | None: ...
    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None: ...
    def close(self) -> None: ...


class _Calls:
    """A bar that calls a function instead of drawing."""

    def __init__(self, call: Callable[[Progress], object], total: int, unit: str, title: str, done: int):
        self._call, self._about, self.n, self._note = call, (total, unit, title), float(done), ""
        self.update(0)

    def update(self, n: float | None = 1) -> None:
        total, unit, title = self._about
        self.n += 1 if n is None else n
        self._call(Progress(title, unit, int(self.n), total, self._note))

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        self._note = s

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def progress_bar(total: int, unit: str, title: str, done: int = 0, delay: float = 0, silent: bool = False) -> _Bar:
    """Create a progress bar that counts units such as "clip" and appears on standard error after `delay` seconds."""
    shown = False if silent else progress_shown()
    if callable(shown):
        return _Calls(shown, total, unit, title, done)
    from tqdm import tqdm  # which `vidsemi --help` does not need

    terminal = sys.stderr.isatty() or in_notebook()
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
        disable=not shown,
        file=sys.stderr if terminal else _Lines(),
        bar_format=None if terminal else LINE,
    )
