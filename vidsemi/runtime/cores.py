"""The processor, and how many of its cores this process may use."""

import os
import platform
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may run on; all of the machine's if the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Model name of the processor. On Linux neither `platform` nor psutil knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
