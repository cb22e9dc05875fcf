"""The child's side of the worker pool: read one file at a time and send the results to the parent."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, Protocol, TypeVar

import numpy as np

from vidsemi.data.shared_slots import SlotReader, SlotWriter
from vidsemi.io.errors import DecodeError
from vidsemi.runtime.priority import Priority, Reader


class HasPath(Protocol):
    """A file to read, or a part of one, with its `path` for messages; it can be pickled."""

    @property
    def path(self) -> str: ...  # noqa: D102


File = TypeVar("File", bound=HasPath)
Result = TypeVar("Result")

READY = "ready"  # a worker's first message


def work(
    connection: Connection,
    read: Callable[[Any], Any],
    seconds: float,
    priority: Priority,
    environment: Mapping[str, str],
) -> None:
    """The main function of a worker: receive files and send what `read` returns, until the connection closes."""
    take_environment(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to every process of a job, it would look like a file's fault
    reader = Reader(priority)
    os.environ["TQDM_DISABLE"] = "1"  # iopath shows a bar for every download
    Thread(target=end_with_parent, daemon=True).start()
    slots = SlotWriter()
    _send(connection, READY, slots)
    while True:
        try:
            file, released = connection.recv()
        except EOFError:
            return
        slots.release(released)
        signal.setitimer(signal.ITIMER_REAL, seconds)  # the kernel then ends this process, whatever hangs
        result = reader(attempt, read, file)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(connection, result, slots)


def take_environment(environment: Mapping[str, str]) -> None:
    """Set the environment variables; those of a fork server may be older, such as credentials that have expired."""
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})


def attempt(read: Callable[[File], Result], file: File) -> Result | DecodeError:
    """Read a file; all exceptions become a `DecodeError`, which is returned."""
    try:
        return read(file)
    except DecodeError as error:
        return error
    except Exception as error:  # a library's, for a file that nobody foresaw
        return DecodeError("worker.exception", file.path, f"{type(error).__name__}: {error}")


def _send(connection: Connection, result: Any, slots: SlotWriter) -> None:
    if isinstance(result, np.ndarray) and result.flags.c_contiguous and result.size:
        slots.send(connection, result)
    else:
        connection.send((None, result))


def receive(connection: Connection, slots: SlotReader) -> Any:
    """Receive what a worker has sent; raises an EOFError or OSError if it has ended."""
    message = connection.recv()
    return message[1] if message[0] is None else slots.receive(connection, message)


def end_with_parent() -> None:
    """End this process when the one that started it is gone, whatever it is doing; for a thread of its own."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
