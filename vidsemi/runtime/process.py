"""Which process of which machine something was, and whether it is still there."""

import os
from functools import cache
from pathlib import Path
from typing import Any


def own_identity() -> dict[str, Any]:
    """This process, as JSON values: no other process anywhere has had or will have the same."""
    return _identity(os.getpid())  # asked anew, since a forked child is another process


@cache
def _identity(pid: int) -> dict[str, Any]:
    return {**_world(), "pid": pid, "started": _started(pid)}


def is_dead(identity: dict[str, Any] | None) -> bool:
    """Whether a process is known to be gone. One that cannot be seen from here (another machine or container) is not.

    None is nobody, who is gone.
    """
    if identity is None:
        return True
    try:
        here = all(identity[name] is not None and identity[name] == value for name, value in _world().items())
        return here and _started(int(identity["pid"])) != identity["started"]
    except (KeyError, TypeError, ValueError):
        return False


@cache
def _world() -> dict[str, str | None]:
    """Within these, process ids mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return {"boot": boot, "processes": os.readlink("/proc/self/ns/pid")}
    except OSError:
        return {"boot": None, "processes": None}


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if there is none, or a dead one nobody has asked for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
