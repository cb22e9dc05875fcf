"""What computed a result: processor, GPUs, versions. Recorded beside results, never part of their identity."""

import platform
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from vidsemi.runtime.process import processor, usable_cores

COMMANDS = {"vidsemi": "vidsemi", "run.py": "tools/run.py", "transfer.py": "tools/transfer.py"}  # by file names
DRIVER = Path("/proc/driver/nvidia/version")


def describe_environment() -> dict[str, Any]:
    """Processor, cores, Python; with torch and what it runs on if this process has imported it. As JSON."""
    found: dict[str, Any] = {"processor": processor(), "cores": usable_cores(), "python": platform.python_version()}
    torch = sys.modules.get("torch")
    if torch is None:
        return found
    found["torch"] = str(torch.__version__)
    if torch.cuda.is_available():
        found["gpus"] = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": _driver()}
    return found


def command_line() -> str | None:
    """The vidsemi command that this process runs, without its interpreter's path; None in another program."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    return shlex.join([COMMANDS[name], *sys.argv[1:]]) if name in COMMANDS else None


def _driver() -> str | None:
    """Version of NVIDIA's driver; None if the system does not say."""
    try:
        version = re.search(r"Kernel Module\D*([\d.]+)", DRIVER.read_text(encoding="utf-8"))
    except OSError:
        return None
    return version[1] if version else None
