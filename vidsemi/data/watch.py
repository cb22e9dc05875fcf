"""Which file each worker of a training loader is reading, and since when: a file that hangs is named, and given up."""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from torch.utils.data import get_worker_info

logger = logging.getLogger("vidsemi")

NAMED_AFTER = 60.0  # seconds
LOOK_EVERY = 1.0  # seconds
FIELDS = 3  # of a worker: process id, example id, seconds of the monotonic clock, 0 while it reads nothing


@dataclass(frozen=True)
class Reading:
    """A file that is being read."""

    process: int
    example_id: int
    since: float


class Watch:
    """Memory that the main process shares with its workers, who note there what they read."""

    def __init__(self, workers: int):
        self._slots: Any = multiprocessing.RawArray("d", FIELDS * max(workers, 1))
        self._waiting: Any = multiprocessing.RawValue("d", 0.0)  # since when files cannot be reached

    @contextmanager
    def reading(self, example_id: int) -> Iterator[None]:
        """This worker reads an example in the block."""
        worker = get_worker_info()
        first = FIELDS * (0 if worker is None else worker.id)
        self._slots[first : first + 2] = [os.getpid(), example_id]
        self._slots[first + 2] = time.monotonic()
        try:
            yield
        finally:
            self._slots[first + 2] = 0.0

    def current(self) -> list[Reading]:
        """The files that are being read."""
        slots = list(self._slots)
        rows = (slots[first : first + FIELDS] for first in range(0, len(slots), FIELDS))
        return [Reading(int(process), int(example_id), since) for process, example_id, since in rows if since]

    def is_first_to_wait(self, seconds: float) -> bool:
        """Whether no worker has said in these last seconds that it waits for a disk; this one is to say it then."""
        now, before = time.monotonic(), self._waiting.value
        if before and now - before < seconds:
            return False
        self._waiting.value = now
        return True


class Watcher:
    """A thread that names files that take long, and calls a function for those beyond a limit; a context.

    Args:
        watch: what is being read.
        name: returns the path of an example.
        seconds: the limit.
        overdue: is called once for each reading beyond it, in the thread.
    """

    def __init__(self, watch: Watch, name: Callable[[int], str], seconds: float, overdue: Callable[[Reading], None]):
        self._watch, self._name, self._seconds, self._overdue = watch, name, seconds, overdue
        self._ended = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        named: set[Reading] = set()
        late: set[Reading] = set()
        while not self._ended.wait(LOOK_EVERY):
            now, current = time.monotonic(), set(self._watch.current())
            named, late = named & current, late & current
            for reading in current:
                if reading not in named and now - reading.since > NAMED_AFTER:
                    named.add(reading)
                    message = "%s: reading has taken %.0f s so far; the limit is %g s (runtime.seconds_per_file)"
                    logger.warning(message, self._name(reading.example_id), now - reading.since, self._seconds)
                if reading not in late and now - reading.since > self._seconds:
                    late.add(reading)
                    self._overdue(reading)
