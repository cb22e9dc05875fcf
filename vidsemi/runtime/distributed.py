"""The processes that train and test one network together: torchrun starts them, torch.distributed connects them.

A process that torchrun has not started with others is the first of one, and needs no torch for any of this.
"""

import itertools
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from vidsemi.io.errors import UserError
from vidsemi.runtime.launch import local_rank, started_processes
from vidsemi.runtime.library_errors import is_lost_peer

logger = logging.getLogger("vidsemi")

T = TypeVar("T")

PATIENCE = timedelta(days=30)  # the others wait while the first selects; that one has died is torchrun's to notice
LONGEST_PAUSE = 0.2  # seconds between looks for what another process says
PIECE = 4 << 20  # bytes; the store refuses more than 8 MiB

_talks = itertools.count()  # all processes have the same ones, in the same order


@dataclass(frozen=True)
class Processes:
    """Who takes part.

    Attributes:
        rank: which of them this one is, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes what all of them have done."""
        return self.rank == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Connect the processes that torchrun has started for as long as the block lasts; a single one stays alone.

    Of the first one all messages are shown, of the others warnings and errors, which say whose they are.
    """
    if started_processes() == 1:
        yield
        return
    import torch
    import torch.distributed as dist

    if gpus := torch.cuda.device_count():
        torch.cuda.set_device(local_rank() % gpus)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    own, level, whose, failed = processes(), logger.level, "", True
    if not own.first:
        logger.setLevel(logging.WARNING)
        whose = f"rank {own.rank} of {own.size}: "
    try:
        yield
        failed = False
    except UserError as error:
        raise UserError(f"{whose}{error}") from None
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        raise UserError(f"{whose}another process has ended, and torchrun says how") from None
    finally:
        logger.setLevel(level)
        if not (gpus and failed):  # what GPUs are at together might never end now, and would be waited for
            dist.destroy_process_group()


def processes() -> Processes:
    """Those of the group that this process is in."""
    if started_processes() == 1:
        return Processes()
    import torch.distributed as dist

    return Processes(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Processes()


def gather(value: Any) -> list[Any]:
    """The JSON value that each process gives, in the order of their ranks, for all of them."""
    own = processes()
    if own.size == 1:
        return [value]
    talk = _say(value)
    return [_hear(rank, talk) for rank in range(own.size)]


def from_first(value: Any) -> Any:
    """The JSON value that the first process gives, for all of them, when all have come to ask for it."""
    return gather(value if processes().first else None)[0]


def any_of(flag: bool) -> bool:
    """Whether it is so in any process."""
    if processes().size == 1:
        return flag
    import torch
    import torch.distributed as dist

    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


@contextmanager
def first_before_others() -> Iterator[None]:
    """The first process goes through the block before the others do.

    Where it fails, the others end with the exit status of a wrong input, and leave it to the first to say why.
    """
    own = processes()
    if own.size == 1:
        yield
    elif own.first:
        try:
            yield
        except Exception:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, which may see the others end before this one
            _say(False)
            raise
        from_first(True)
    elif from_first(None):
        yield
    else:
        sys.exit(2)


def done_by_first(task: Callable[[], T]) -> T:
    """Have the first process do something while the others wait; the JSON value that it returns, for all of them."""
    value: Any = None
    with first_before_others():
        if processes().first:
            value = task()
    return from_first(value)


def _say(value: Any) -> int:
    """Tell the others something, through the store by which they have found one another; returns which talk that was.

    As JSON, since whoever reaches the store's port could have a pickle executed. torch's own collectives of objects
    heed no signal while a process waits, and leave tensors to threads of gloo, which may abort an interpreter that ends
    (pytorch issue 190489).
    """
    store, rank, talk = _store(), processes().rank, next(_talks)
    content = json.dumps(value).encode()
    pieces = [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
    for number, piece in enumerate(pieces):
        store.set(f"vidsemi {talk} {rank} {number}", piece)
    store.set(f"vidsemi {talk} {rank}", str(len(pieces)))
    return talk


def _hear(rank: int, talk: int) -> Any:
    """What a process says in a talk, once it has come to that."""
    store, said, pause = _store(), f"vidsemi {talk} {rank}", 0.001
    while not store.check([said]):
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return json.loads(b"".join(store.get(f"{said} {number}") for number in range(int(store.get(said)))))


def _store() -> Any:
    import torch.distributed as dist

    return dist.distributed_c10d._get_default_store()
