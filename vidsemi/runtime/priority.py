"""Readers yield the cores to the network, but not to other programs; they stay near their GPU (numa.py).

Decoding on the network's cores slows it down more than by its share: a step waits for the slowest of its threads. So
readers run at niceness 19 and take what the network leaves. Beside other programs that would starve them, since those
come first as well. The process that runs the network therefore measures how much CPU time its readers get while it
waits for them. If that is too little, they read at normal priority until they have the cores to themselves again.

Only a privileged process may lower its niceness. But niceness belongs to a thread on Linux, so each reader has two: its
main thread at normal priority and a second one at niceness 19.
"""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psutil

from vidsemi.runtime.numa import cores_for_readers
from vidsemi.runtime.process import usable_cores

Result = TypeVar("Result")

NICENESS = 19
WINDOW = 2.0  # seconds of waiting for readers after which their share is judged
STARVED = 0.25  # share of the cores that readers get while the network waits; alone on a machine they get nearly all
FIRST_TRY, LAST_TRY = 10.0, 600.0  # seconds at normal priority before niceness is tried again, doubled at each failure


class Priority:
    """The readers' priority, shared by the process that runs the network and its readers.

    Args:
        context: of multiprocessing, with which the readers are started.
        readers: number of reading processes.
    """

    def __init__(self, context: Any = multiprocessing, readers: int = 1):
        self.cores = cores_for_readers(readers)
        self._normal = context.Value("b", 0, lock=False)
        self._waited = self._used = 0.0
        self._pause, self._until = FIRST_TRY, 0.0

    @property
    def normal(self) -> bool:
        """Whether readers read at normal priority."""
        return bool(self._normal.value)

    @contextmanager
    def waiting(self, readers: Collection[psutil.Process]) -> Iterator[None]:
        """The network waits for its readers in this block.

        Args:
            readers: their processes.
        """
        cores = min(len(readers), usable_cores())
        used, start = cpu_seconds(readers), time.monotonic()
        yield
        now = time.monotonic()
        self.update((now - start) * cores, cpu_seconds(readers) - used, now)

    def update(self, available: float, used: float, now: float) -> None:
        """Choose the priority from how much CPU time readers got while the network waited.

        Args:
            available: CPU seconds that they could have used.
            used: CPU seconds that they did use.
            now: seconds, of a monotonic clock.
        """
        if self.normal:
            if now >= self._until:
                self._normal.value = 0
            return
        self._waited += available
        self._used += used
        if self._waited < WINDOW:
            return
        if self._used < STARVED * self._waited:
            self._normal.value, self._until = 1, now + self._pause
            self._pause = min(2 * self._pause, LAST_TRY)
        else:
            self._pause = FIRST_TRY
        self._waited = self._used = 0.0


class Reader:
    """Calls functions at the priority of the moment; one for each reading process."""

    def __init__(self, priority: Priority):
        self._priority = priority
        if priority.cores:
            with suppress(OSError):  # a sandbox may forbid it
                os.sched_setaffinity(0, priority.cores)  # threads that start later inherit it
        self._polite = ThreadPoolExecutor(1, initializer=_lower_own_priority)

    def __call__(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the thread whose priority it should have."""
        if self._priority.normal:
            return function(*arguments)
        return self._polite.submit(function, *arguments).result()


def _lower_own_priority() -> None:
    if sys.platform != "linux" or not hasattr(os, "setpriority"):  # elsewhere a thread's id is not one of a process
        return
    with suppress(OSError):  # a sandbox may forbid it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU time that processes have used so far; of those that are gone, none."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total
