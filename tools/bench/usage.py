"""Time and peak memory of a call, and peak memory of a process with all its children."""

import os
import resource
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self, TypeVar

Result = TypeVar("Result")


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


class _Sampling(ABC):
    """A context that samples something until its end, the last time then."""

    seconds: float  # between two samples

    def __init__(self) -> None:
        self._ended = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            with suppress(OSError):  # the process is gone
                self._sample()
            ended = self._ended.wait(self.seconds)

    @abstractmethod
    def _sample(self) -> None: ...


class ProcessMemory(_Sampling):
    """A context that samples the memory of a process, by default this one, with its children. Without /proc it says 0.

    Attributes:
        private_mib: the most that they shared with no file, MiB.
        peak_mib: the most in all, which counts pages of mapped files, those of each process, MiB.
    """

    def __init__(self, pid: int | str = "self", seconds: float = 0.005) -> None:
        super().__init__()
        self.seconds = seconds
        self.private_mib = self.peak_mib = 0.0
        self._process = Path(f"/proc/{pid}")

    def _sample(self) -> None:
        children = " ".join(file.read_text() for file in self._process.glob("task/*/children")).split()
        private = peak = 0
        for process in [self._process, *(Path("/proc") / child for child in children)]:
            for line in (process / "status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    private += int(line.split()[1])
                elif line.startswith("VmHWM"):
                    peak += int(line.split()[1])
        self.private_mib, self.peak_mib = max(self.private_mib, private / 1024), max(self.peak_mib, peak / 1024)


class PeakMemory(_Sampling):
    """A context that samples the memory of this process and all its descendants.

    Attributes:
        mib: the highest sum of their proportional set sizes (each shared page counts once), MiB; 0 without /proc.
    """

    seconds = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.mib = 0.0

    def _sample(self) -> None:
        self.mib = max(self.mib, sum(map(_proportional_mib, _family(os.getpid()))))


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
