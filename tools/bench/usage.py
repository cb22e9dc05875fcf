"""Time and peak memory of a call, and peak memory of a process with all its children."""

import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

Result = TypeVar("Result")

SECONDS, FINE_SECONDS = 0.25, 0.005  # between two samples, of a family and of one process


def timed(run: Callable[[], Result]) -> tuple[Result, dict[str, Any]]:
    """Call, and return the result with wall and CPU seconds and the peak memory of the process in MiB."""
    begin, cpu = time.perf_counter(), time.process_time()
    result = run()
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    return result, {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak_mib()}


def peak_mib() -> float:
    """Peak memory of this process. getrusage may report the peak of the process that started it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class ProcessMemory:
    """A context that samples the memory of a process, by default this one. Without /proc its figures are 0.

    Attributes:
        private_mib: the most that it shared with no file, MiB.
        peak_mib: the most in all, which counts pages of mapped files, MiB.
    """

    def __init__(self, pid: int | str = "self") -> None:
        self.private_mib = self.peak_mib = 0.0
        self._status = Path(f"/proc/{pid}/status")
        self._ended = Event()
        self._thread = Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "ProcessMemory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        ended = False
        while not ended:
            with suppress(OSError):
                for line in self._status.read_text().splitlines():
                    if line.startswith("RssAnon"):
                        self.private_mib = max(self.private_mib, int(line.split()[1]) / 1024)
                    elif line.startswith("VmHWM"):
                        self.peak_mib = max(self.peak_mib, int(line.split()[1]) / 1024)
            ended = self._ended.wait(FINE_SECONDS)


class PeakMemory:
    """A context that samples the memory of this process and all its descendants.

    Attributes:
        mib: the highest sum of their proportional set sizes (each shared page counts once), MiB; 0 without /proc.
    """

    def __init__(self) -> None:
        self.mib = 0.0
        self._ended = Event()
        self._thread = Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        ended = False
        while not ended:
            self.mib = max(self.mib, sum(map(_proportional_mib, _family(os.getpid()))))
            ended = self._ended.wait(SECONDS)


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            children[int((folder / "stat").read_text().rpartition(")")[2].split()[1])].append(int(folder.name))
    found = [pid]
    for member in found:
        found += children[member]
    return found


def _proportional_mib(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
