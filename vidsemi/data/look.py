"""Look whether files can be reached: in a process of its own, since a look at a dead disk may never end."""

import os
import stat
import time
from dataclasses import dataclass

from vidsemi.data.manifest import Row
from vidsemi.data.worker_pool import Pool
from vidsemi.data.worker_process import attempt
from vidsemi.io.download import AddressError, check_address, is_address
from vidsemi.io.errors import DecodeError
from vidsemi.io.store import is_remote

STORE_SECONDS = 5.0  # that object stores may be away or throttle during one look
LOOK_SECONDS = 20.0  # that one look may take; a hard mount without its server hangs


@dataclass(frozen=True)
class Look:
    """Files to look for."""

    rows: tuple[Row, ...]

    @property
    def path(self) -> str:
        """Of the first one."""
        return self.rows[0].path


def first_reachable(look: Look) -> Row | None:
    """The first file that can be reached, None if there is none."""
    end = time.monotonic() + STORE_SECONDS
    return next((row for row in look.rows if _is_reachable(row, end)), None)


def _is_reachable(row: Row, end: float) -> bool:
    try:
        if is_remote(row.path):
            from vidsemi.io.remote_file import is_reachable

            return is_reachable(row.path, row.is_frame_folder, max(end - time.monotonic(), 0))
        if is_address(row.path):
            check_address(row.path, LOOK_SECONDS)
            return True
        if not stat.S_ISREG(os.stat(row.path).st_mode):
            return True  # a pipe would block; whatever is wrong with it, it is there
        with open(row.path, "rb") as file:
            if hasattr(os, "posix_fadvise"):  # or the cache may answer for a disk that is gone
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(row.offset or 0)
            file.read(1)
    except (OSError, ValueError, AddressError):
        return False
    return True


class Looker:
    """Looks for files in a process of its own, which may hang; in this one with 0 workers."""

    def __init__(self, workers: int):
        self._workers = workers
        self._pool: Pool[Row | None] | None = None

    def __enter__(self) -> "Looker":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def __call__(self, look: Look) -> Row | DecodeError | None:
        """The first file that can be reached; none if looking takes too long."""
        if not self._workers:
            return attempt(first_reachable, look)
        self._pool = self._pool or Pool(first_reachable, 1, 2 * LOOK_SECONDS)
        return self._pool.result(self._pool.submit(look))
