"""The processes that train and test one network together: torchrun starts them, torch.distributed connects them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from vidsemi.config import Machine
from vidsemi.engine.machine import pick_device
from vidsemi.launch import started_processes

PATIENCE = timedelta(days=30)  # the others wait while the first selects; that one has died is torchrun's to notice


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
def process_group(machine: Machine) -> Iterator[None]:
    """Connect the processes that torchrun has started for as long as the block lasts; a single one stays alone."""
    if started_processes() == 1:
        yield
        return
    device = pick_device(machine)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def processes() -> Processes:
    """Those of the group that this process is in."""
    return Processes(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Processes()


def gather(value: Any) -> list[Any]:
    """The value that each process gives, in the order of their ranks, for all of them."""
    values = [value] * processes().size
    if len(values) > 1:
        dist.all_gather_object(values, value)
    return values


def from_first(value: Any) -> Any:
    """The value that the first process gives, for all of them."""
    values = [value]
    if processes().size > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]


def any_of(flag: bool) -> bool:
    """Whether it is so in any process."""
    if processes().size == 1:
        return flag
    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)
