"""Arrays that a worker process hands over in shared memory, so that the main process copies nothing.

Through a pipe, 12 MB (ten clips of 32 frames) cost the main process a copy and fresh memory for it, page by page; with
many workers that limits all of them. Here a worker copies an array into a slot, which the main process has mapped, and
gets the slot back once nothing refers to the array any more. Slots are anonymous files: they are gone with the
processes, however these end. Where the system has none, or all slots are in use, the pipe is used.
"""

import mmap
import os
import weakref
from collections import deque
from collections.abc import Iterable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

import numpy as np

MAX_SLOTS = 8  # per worker
MIN_BYTES = 1 << 16  # smaller arrays go through the pipe
SUPPORTED = hasattr(os, "memfd_create")

# Before an array: its type and shape, its slot if it is in one, and that slot's size if the main process lacks it.
Header = tuple[str, tuple[int, ...], int | None, int]


class SlotWriter:
    """The worker's side: sends arrays."""

    def __init__(self) -> None:
        self._slots: list[mmap.mmap] = []
        self._free: set[int] = set()

    def release(self, numbers: Iterable[int]) -> None:
        """Reuse these slots from now on."""
        self._free.update(numbers)

    def send(self, connection: Connection, array: np.ndarray) -> None:
        """Send a C-contiguous array that has an element."""
        number = min((n for n in self._free if len(self._slots[n]) >= array.nbytes), default=None)
        descriptor = None
        if number is None and SUPPORTED and array.nbytes >= MIN_BYTES and len(self._slots) < MAX_SLOTS:
            descriptor = os.memfd_create("vidsemi")
            os.truncate(descriptor, array.nbytes)
            number = len(self._slots)
            self._slots.append(mmap.mmap(descriptor, array.nbytes))
        if number is None:
            connection.send((array.dtype.str, array.shape, None, 0))
            connection.send_bytes(array.data.cast("B"))
            return
        self._free.discard(number)
        _view(self._slots[number], array.dtype, array.shape)[...] = array
        header: Header = (array.dtype.str, array.shape, number, 0 if descriptor is None else array.nbytes)
        connection.send(header)
        if descriptor is not None:
            send_handle(connection, descriptor, os.getppid())
            os.close(descriptor)


class SlotReader:
    """The main process's side, for one worker."""

    def __init__(self) -> None:
        self._slots: dict[int, mmap.mmap] = {}
        self._released: deque[int] = deque()

    def receive(self, connection: Connection, header: Header) -> np.ndarray:
        """Receive the array of a header; its slot is released when the last reference to the array is gone."""
        dtype, shape, number, size = header
        if number is None:
            array = np.empty(shape, dtype)
            connection.recv_bytes_into(array.data.cast("B"))
            return array
        if size:
            descriptor = recv_handle(connection)
            self._slots[number] = mmap.mmap(descriptor, size)
            os.close(descriptor)
        array = _view(self._slots[number], np.dtype(dtype), shape)
        weakref.finalize(array, self._released.append, number).atexit = False  # views of an array keep it, also torch's
        return array

    def released(self) -> list[int]:
        """Slots that the worker may use again; each is returned once."""
        return [self._released.popleft() for _ in range(len(self._released))]


def _view(slot: mmap.mmap, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    return np.ndarray(shape, dtype, buffer=slot)
