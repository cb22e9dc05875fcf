"""Start processes that Ctrl-C does not reach, and that do not run the user's script again."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker, spawn
from multiprocessing.process import BaseProcess
from typing import Any

_prepare = spawn.get_preparation_data
_starting = threading.local()  # a process that needs no script, in this thread


def start_process(process: BaseProcess, *, script: bool) -> None:
    """Start a process of a spawn or forkserver context, with SIGINT blocked for good: its parent ends it.

    Args:
        process: not started yet.
        script: import the script that runs here first, since it defines what the process needs. Without, a script needs
            no `if __name__ == "__main__":`.
    """
    resource_tracker.ensure_running()  # which would unblock the signal if it were started with the process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with nullcontext() if script else without_script():
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def without_script() -> Iterator[None]:
    """Processes that this thread starts in the block do not run the user's script again."""
    _starting.without_script = True
    try:
        yield
    finally:
        _starting.without_script = False


def _preparation_data(name: str) -> dict[str, Any]:
    """What a new process is told; perhaps not the script that runs here, which it would run again to import it."""
    data = _prepare(name)
    if getattr(_starting, "without_script", False):
        for key in ("init_main_from_name", "init_main_from_path"):
            data.pop(key, None)
    return data


spawn.get_preparation_data = _preparation_data
