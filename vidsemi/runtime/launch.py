"""How many processes were started with this one, and which of them it is, as torchrun and srun tell it."""

import os
import shlex
import sys


def started_processes() -> int:
    """How many processes torchrun has started to work together; 1 where it has not started this one."""
    return _from_environment("WORLD_SIZE") or 1


def is_first() -> bool:
    """Whether this is the first of them, or alone."""
    return started_processes() == 1 or not _from_environment("RANK")


def processes_here() -> int:
    """How many of them torchrun has started on this machine."""
    return _from_environment("LOCAL_WORLD_SIZE") or 1


def local_rank() -> int:
    """Which of those on this machine this is, as torchrun or srun number them; 0 where there is but one."""
    return _from_environment("LOCAL_RANK", "SLURM_LOCALID") or 0


def own_command() -> str:
    """The command line that starts this again; torchrun's own is not known to those that it starts."""
    return shlex.join(sys.orig_argv) if started_processes() == 1 else "the same torchrun command"


def _from_environment(*names: str) -> int | None:
    return next((int(value) for name in names if (value := os.environ.get(name, "")).isdecimal()), None)
