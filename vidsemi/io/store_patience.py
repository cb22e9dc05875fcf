"""How long requests are repeated while a store is away or throttles."""

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vidsemi.io.errors import UserError
from vidsemi.io.store_faults import reason, unreachable

if TYPE_CHECKING:
    from vidsemi.io.object_store import RemotePath

logger = logging.getLogger("vidsemi")

JOB_PATIENCE = 1800.0  # of workers: to start again needs the store, too, and what they have computed would be lost
WARN_AFTER = 20.0  # seconds; requests with no more patience, such as the first one, have no more in workers either
LONGEST_DELAY = 10.0
_workers = 0  # in this process, which compute shards


@contextmanager
def patient() -> Iterator[None]:
    """Have requests of this process wait for the store as long as a worker should."""
    global _workers
    _workers += 1
    try:
        yield
    finally:
        _workers -= 1


class Waiting:
    """The repetitions of one request."""

    def __init__(self, place: "RemotePath", patience: float):
        self._place, self._patience = place, JOB_PATIENCE if _workers and patience > WARN_AFTER else patience
        self._started, self._delay, self._warned = time.monotonic(), 0.1, False

    def fault(self, error: Exception) -> UserError | None:
        """Return the error to report if the store was away for too long."""
        waited = time.monotonic() - self._started
        if waited > self._patience:
            return unreachable(self._place, error)
        if waited > WARN_AFTER and not self._warned:
            words = "%s does not answer or throttles (%s): waiting for up to %.0f minutes"
            logger.warning(words, self._place, reason(error), self._patience / 60)
            self._warned = True
        return None

    def sleep(self) -> None:
        """Wait before the next repetition, each time longer."""
        time.sleep(self._delay * random.uniform(0.5, 1))  # so that workers do not all come back at once
        self._delay = min(2 * self._delay, LONGEST_DELAY)
