"""Processes: their identity (process id and start time), and the cores that they may use."""

import math
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

from vidsemi.runtime.quota import cpu_quota

_number, _count = 0, 1  # of this process among the jobs of a run, which divide cores and GPUs among them


def become_job(number: int, count: int) -> None:
    """Make this process one of `count` jobs that share the machine; `number` is from 0."""
    global _number, _count
    _number, _count = number, count


def job_number() -> int:
    """The number of this process among the jobs of a run; 0 if there are none."""
    return _number


def job_count() -> int:
    """The number of jobs that share the machine with this process, itself included."""
    return _count


def usable_cores() -> int:
    """Cores that this process may use: its job's share of those within the quota of its container."""
    quota = allowed_cpus()
    cores = _cores()
    return max((cores if quota is None else min(cores, math.ceil(quota))) // _count, 1)


def limit_threads() -> None:
    """Have libraries that are imported later start no more threads than a quota allows, unless the user has chosen."""
    if usable_cores() < _cores():
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))


@cache
def allowed_cpus() -> float | None:
    """CPUs by the quota of the container; None without one."""
    return cpu_quota()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Model name of the processor. On Linux neither `platform` nor psutil knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def this_process() -> dict[str, Any]:
    """Process id, start time, boot id and PID namespace of this process, as JSON; never the same for two processes."""
    return _describe(os.getpid())  # not cached without the id, since a fork is another process


def is_dead(process: dict[str, Any] | None) -> bool:
    """Whether a process (of `this_process`) is known to have ended; one that cannot be seen from here is not.

    It may be on another machine or in another container. None is no process, which is dead.
    """
    return process is None or _lives(process) is False


def lives_here(process: dict[str, Any] | None) -> bool:
    """Whether a process is known to run on this machine, and in this container."""
    return process is not None and _lives(process) is True


def _lives(process: dict[str, Any]) -> bool | None:
    """Whether a process lives; None if it cannot be seen from here."""
    try:
        if any(process[name] is None or process[name] != value for name, value in _pid_scope().items()):
            return None
        return bool(_start_time(int(process["pid"])) == process["start_time"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


@cache
def _describe(pid: int) -> dict[str, Any]:
    return {**_pid_scope(), "pid": pid, "start_time": _start_time(pid)}


@cache
def _pid_scope() -> dict[str, str | None]:
    """Where process ids can be compared: one boot of one machine, one PID namespace."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return {"boot_id": boot_id, "pid_namespace": os.readlink("/proc/self/ns/pid")}
    except OSError:
        return {"boot_id": None, "pid_namespace": None}


def _start_time(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if it does not exist or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
