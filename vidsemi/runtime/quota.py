"""The CPU quota of the container or job that this process runs in: cgroup v2 and v1, with the limits of all parents.

Docker's `--cpus`, Kubernetes' limits and systemd's CPUQuota are quotas, not sets of cores: the kernel stops processes
that have used theirs up. More threads than that only take turns.
"""

import re
from collections.abc import Iterator
from pathlib import Path

CGROUPS, MOUNTS = Path("/proc/self/cgroup"), Path("/proc/self/mountinfo")


def cpu_quota(cgroups: Path = CGROUPS, mounts: Path = MOUNTS) -> float | None:
    """CPUs that the quota allows, perhaps a fraction; None if there is no quota, or on other systems."""
    try:
        own = dict(_own_groups(cgroups.read_text()))
        folders = list(_folders(mounts.read_text(), own))
    except (OSError, ValueError):
        return None
    quotas = [quota for folder in folders if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _own_groups(text: str) -> Iterator[tuple[int, str]]:
    """The version of each hierarchy that can limit CPUs, and the path of this process in it."""
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            yield 2, path
        elif "cpu" in controllers.split(","):
            yield 1, path


def _folders(mounts: str, own: dict[int, str]) -> Iterator[Path]:
    """The folder of this process's group in each hierarchy that is mounted, and those of its parents."""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        version = {"cgroup2": 2, "cgroup": 1}.get(kind)
        if version not in own or (version == 1 and "cpu" not in options.split(",")):
            continue
        root, mount = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), one) for one in fields.split()[3:5])
        path = own[version]
        inside = path[len(root.rstrip("/")) :] if f"{path}/".startswith(f"{root.rstrip('/')}/") else ""
        names = [name for name in inside.split("/") if name]
        if ".." in names:  # a group outside of what this container sees
            names = []
        for depth in range(len(names), -1, -1):
            yield Path(mount, *names[:depth])


def _quota_of(folder: Path) -> float | None:
    """CPUs that one group allows."""
    try:
        if (file := folder / "cpu.max").exists():
            quota, period = file.read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        share = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is not a number
        return None
    return share if share > 0 else None
