"""The lock of a run's directory: by flock, or by a lease where the file system has no flock (Lustre, some of NFS)."""

import errno
import logging
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vidsemi.io.errors import UserError
from vidsemi.io.store import LocalStore
from vidsemi.runtime.distributed import first_before_others, processes
from vidsemi.runtime.leases import EXPIRY, Leases

logger = logging.getLogger("vidsemi")

# What flock raises where it is not supported; ENOLCK is that of NFS without its lock server.
NO_FLOCK = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
LOOK_EVERY = 1.0  # seconds


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Lock a run's directory against other runs; the first of its processes holds the lock, which ends with it.

    Raises:
        UserError: another run has it.
    """
    with ExitStack() as held:
        with first_before_others():
            if processes().first:
                output.mkdir(parents=True, exist_ok=True)
                _lock(output, held)
        yield


def _lock(output: Path, held: ExitStack) -> None:
    from filelock import Timeout, UnixFileLock

    try:
        # a soft lock, which filelock falls back to, would outlive a killed process
        held.enter_context(UnixFileLock(output / ".lock", timeout=0, fallback_to_soft=False))
    except Timeout:
        raise _in_use(output) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_FLOCK:
            raise
        _lease(output, held)


def _lease(output: Path, held: ExitStack) -> None:
    """Lock by a lease. One that a run left elsewhere expires if its file does not change for three minutes."""
    leases = held.enter_context(Leases(LocalStore(output), math.inf, shards=1, folder=".lease"))
    before = leases.state(0)
    told = False
    while not (lease := leases.take(0) or leases.take_over(0)):
        if leases.is_held_here(0) or leases.state(0) not in (before, None):  # its process lives
            raise _in_use(output)
        if not told:
            message = "%s was in use by a process on another machine: waiting up to %g s for a sign of life of it"
            logger.warning(message, output, EXPIRY)
            told = True
        time.sleep(LOOK_EVERY)
    held.callback(leases.release, lease)


def _in_use(output: Path) -> UserError:
    return UserError("output.in_use", f"another process is running in {output}; wait for it or choose another output")
