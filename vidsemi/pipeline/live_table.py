"""A table of a run's stages on a terminal, drawn again a few times a second."""

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from vidsemi.io.tables import printable

if TYPE_CHECKING:
    from vidsemi.pipeline.board import Board, StageStatus

PER_SECOND = 4  # times that it is drawn
STYLES = {"done": "green", "running": "bold cyan", "stopped": "red", "to do": "dim"}
duration = tqdm.format_interval  # hours:minutes:seconds
WIDE = 120  # columns of a terminal that has room for the notes


@contextmanager
def live_table(board: "Board") -> Iterator[None]:
    """Show a board on standard error; warnings stand above it, other log messages in run.log only."""
    # Another thread draws. A reader that is forked meanwhile must not wait for its locks: the table has a stream of its
    # own, and nothing is redirected to it.
    with open(os.dup(sys.stderr.fileno()), "w", encoding=sys.stderr.encoding, errors="replace") as stream:
        console = Console(file=stream, markup=False, highlight=False)
        live = Live(
            get_renderable=partial(_render, board, console),
            console=console,
            refresh_per_second=PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with live, _messages_above(console):
            yield


def _render(board: "Board", console: Console) -> Group:
    stages = list(board.stages.values())
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in range(4):
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1 if column == 1 else None)
    for number in window([stage.status for stage in stages], max(console.height - 3, 1)):
        table.add_row(*_row(stages[number], console.width >= WIDE))
    counts = Counter[str](stage.status for stage in stages)
    parts = [f"{counts[status]} {status}" for status in STYLES if counts[status]]
    passed = duration(time.monotonic() - board.began)
    text = f"{len(stages)} stage{'s' * (len(stages) != 1)}: {', '.join(parts)}; {passed}"
    return Group(table, Text(text, overflow="ellipsis", no_wrap=True))


def _row(stage: "StageStatus", wide: bool) -> tuple[Text, ...]:
    progress, rate, left = stage.progress, stage.rate, stage.left
    far = clock = ""
    if stage.status == "running":
        clock = f"{duration(time.monotonic() - stage.since)}"
        if progress is not None and progress.total:
            far = f"{progress.done / progress.total:.0%}"
            far += f" of {progress.total:,} {progress.unit}s" if wide else ""
            far += f", {rate:,.{0 if rate >= 10 else 1}f} {progress.unit}s/s" if rate else ""
            far += f", {progress.note}" if wide and progress.note else ""
            clock = clock if left is None else f"{duration(left)} left"
    elif stage.seconds is not None:
        clock = duration(stage.seconds)
    style = STYLES[stage.status]
    return Text(stage.status, style), Text(printable(stage.name)), Text(printable(far)), Text(clock, justify="right")


def window(statuses: Sequence[str], room: int) -> list[int]:
    """The numbers of the stages that fit, in order: those that run, and those nearest to them."""
    running = [number for number, status in enumerate(statuses) if status in ("running", "stopped")]
    middle = running or [next((i for i, status in enumerate(statuses) if status == "to do"), len(statuses) - 1)]
    by_distance = sorted(range(len(statuses)), key=lambda number: min(abs(number - own) for own in middle))
    return sorted(by_distance[:room])


class _AboveTable:
    """A stream for log handlers whose text appears above the table."""

    def __init__(self, stream: Any, console: Console):
        self._stream, self._console, self._process = stream, console, os.getpid()

    def write(self, text: str) -> None:
        if os.getpid() == self._process:
            self._console.print(Text(text.rstrip("\n")))
        else:
            self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def _messages_above(console: Console) -> Iterator[None]:
    """Let log handlers that write to standard error write warnings above the table, and nothing else."""
    changed = []
    for handler in (*logging.getLogger().handlers, *logging.getLogger("vidsemi").handlers):
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            changed.append((handler, handler.stream, handler.level))
            handler.setStream(_AboveTable(handler.stream, console))
            handler.setLevel(max(handler.level, logging.WARNING))
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for handler, stream, level in changed:
            handler.setStream(stream)
            handler.setLevel(level)
