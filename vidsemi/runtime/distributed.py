"""The processes that torchrun starts to train or evaluate one network together: rank, size, messages.

A process that was started alone is the first of one, and imports no torch for any of this.
"""

import itertools
import json
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from vidsemi.io.errors import UserError
from vidsemi.runtime.library_errors import is_lost_peer
from vidsemi.runtime.meeting import meet

logger = logging.getLogger("vidsemi")

T = TypeVar("T")

TIMEOUT = timedelta(days=30)  # of messages: the others wait while the first selects; torchrun detects dead processes
COLLECTIVE_TIMEOUT = timedelta(hours=2)  # within a step; a dead link would hang the GPUs of a job for as long
LONGEST_PAUSE = 0.2  # seconds between looks for a message
PIECE = 4 << 20  # bytes; the store refuses values over 8 MiB

_messages = itertools.count()  # numbers of messages; all processes send them in the same order
_store: Any = None  # of the messages, while the processes are connected


@dataclass(frozen=True)
class Processes:
    """The processes that work together."""

    rank: int = 0  # of this one, from 0
    size: int = 1  # number of processes

    @property
    def first(self) -> bool:
        """Whether this is the process that writes the files."""
        return self.rank == 0


class FirstFailedError(UserError):
    """The first process has failed, and shows why; the command line says nothing more of the others."""

    def __init__(self) -> None:
        super().__init__("distributed.first_failed", "the first process has failed; see its error")


@contextmanager
def process_group() -> Iterator[None]:
    """Connect the processes that torchrun started, while the block lasts; a process started alone stays alone.

    The first process shows all messages, the others only warnings and errors, with their rank.
    """
    if started_processes() == 1:
        yield
        return
    import torch
    import torch.distributed as dist

    if gpus := torch.cuda.device_count():
        torch.cuda.set_device(local_rank() % gpus)
    global _store
    store, rank, size = meet(TIMEOUT)
    _store = dist.PrefixStore("vidsemi", store)  # messages share the store that torchrun's environment names
    backend, group_store = "cpu:gloo,cuda:nccl" if gpus else "gloo", dist.PrefixStore("group", store)
    dist.init_process_group(backend, store=group_store, rank=rank, world_size=size, timeout=COLLECTIVE_TIMEOUT)
    own, level, prefix, failed = processes(), logger.level, "", True
    if not own.first:
        logger.setLevel(logging.WARNING)
        prefix = f"rank {own.rank} of {own.size}: "
    try:
        yield
        failed = False
    except FirstFailedError:
        raise
    except UserError as error:
        raise UserError(error.code, f"{prefix}{error}") from None
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        raise UserError("distributed.lost_peer", f"{prefix}another process has ended; see its error") from None
    finally:
        logger.setLevel(level)
        if not (gpus and failed):  # GPUs that wait for one another may never finish, and would be waited for
            dist.destroy_process_group()


def processes() -> Processes:
    """The connected processes."""
    if started_processes() == 1:
        return Processes()
    import torch.distributed as dist

    return Processes(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Processes()


def gather(value: Any) -> list[Any]:
    """The JSON values of all processes, in the order of their ranks, on all of them."""
    own = processes()
    if own.size == 1:
        return [value]
    message = _send(value)
    return [_receive(rank, message) for rank in range(own.size)]


def from_first(value: Any) -> Any:
    """The first process's JSON value, on all processes, once all of them have called this."""
    return gather(value if processes().first else None)[0]


def any_of(flag: bool) -> bool:
    """Whether the flag is set on any process."""
    if processes().size == 1:
        return flag
    import torch
    import torch.distributed as dist

    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


@contextmanager
def first_before_others() -> Iterator[None]:
    """The first process runs the block before the others; if it fails, they raise `FirstFailedError`."""
    own = processes()
    if own.size == 1:
        yield
    elif own.first:
        try:
            yield
        except Exception:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, which may see the others exit before this one
            _send(False)
            raise
        from_first(True)
    elif from_first(None):
        yield
    else:
        raise FirstFailedError


def done_by_first(task: Callable[[], T]) -> T:
    """Run a task on the first process while the others wait; returns its JSON value on all of them."""
    value: Any = None
    with first_before_others():
        if processes().first:
            value = task()
    result: T = from_first(value)
    return result


def _send(value: Any) -> int:
    """Send a message to all processes through the store; returns its number.

    As JSON, since a pickle could execute code of whoever reaches the store's port. Not by torch's own collectives of
    objects: they react to no signal while a process waits, and leave tensors to threads of gloo, which may abort an
    interpreter that exits (pytorch issue 190489).
    """
    rank, message = processes().rank, next(_messages)
    content = json.dumps(value).encode()
    pieces = [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
    for number, piece in enumerate(pieces):
        _store.set(f"{message} {rank} {number}", piece)
    _store.set(f"{message} {rank}", str(len(pieces)))
    return message


def _receive(rank: int, message: int) -> Any:
    key, pause = f"{message} {rank}", 0.001
    while not _store.check([key]):
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return json.loads(b"".join(_store.get(f"{key} {number}") for number in range(int(_store.get(key)))))


def started_processes() -> int:
    """Number of processes that torchrun started to work together; 1 if it did not start this one."""
    return _from_environment("WORLD_SIZE") or 1


def is_first() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one."""
    return started_processes() == 1 or not _from_environment("RANK")


def processes_here() -> int:
    """Number of processes that torchrun started on this machine."""
    return _from_environment("LOCAL_WORLD_SIZE") or 1


def local_rank() -> int:
    """Rank of this process on this machine, from torchrun or srun; 0 if it was started alone."""
    return _from_environment("LOCAL_RANK", "SLURM_LOCALID") or 0


def own_command() -> str:
    """The command line that started this process; torchrun's own is not known to the processes that it starts."""
    return shlex.join(sys.orig_argv) if started_processes() == 1 else "the same torchrun command"


def _from_environment(*names: str) -> int | None:
    return next((int(value) for name in names if (value := os.environ.get(name, "")).isdecimal()), None)
