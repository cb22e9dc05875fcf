"""What the networks run on, and the processes that feed them."""

import ctypes

import torch
from torch import nn

from vidsemi.config import Runtime
from vidsemi.io.errors import UserError
from vidsemi.runtime.cores import usable_cores
from vidsemi.runtime.launch import local_rank, processes_here
from vidsemi.runtime.library_errors import first_line

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT, KEPT_BY_OLD = 1 << 30, 32 << 20  # bytes; versions of glibc before 2.35 or so take no more than the second


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next pass, where glibc would give it back to the system.

    Getting it again page by page took up to a quarter of the time of an R(2+1)D-10 of 8 base planes on 2 cores: 489
    clips/s in bfloat16, 587 to 664 without.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and (mallopt(M_MMAP_THRESHOLD, KEPT) or mallopt(M_MMAP_THRESHOLD, KEPT_BY_OLD)):
        mallopt(M_TRIM_THRESHOLD, KEPT)  # alone it would stop the other from growing by itself, which is slower still


def put_channels_last(network: nn.Module) -> None:
    """Lay the weights of convolutions out with the channels last, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.to(memory_format=torch.channels_last_3d if isinstance(layer, nn.Conv3d) else torch.channels_last)


def pick_device(runtime: Runtime) -> torch.device:
    """The device to run on; `auto` is a GPU where there is one, and each worker's own where there are several."""
    name = runtime.device
    if name == "auto":
        name = f"cuda:{local_rank() % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it computes nothing")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"runtime.device: '{name}' cannot be used here: {first_line(error)}") from None
    return device


def clips_per_forward(runtime: Runtime, device: torch.device) -> int:
    """Clips in a pass of scoring and evaluation.

    Few on a CPU, whose caches they should fit: in float32 an R(2+1)D-10 of 8 base planes scored 471 clips/s ten at a
    time, 276 with 64; an R(2+1)D-18 10.2 and 8.8.
    """
    return runtime.clips_per_forward or (10 if device.type == "cpu" else 64)


def worker_count(runtime: Runtime) -> int:
    """Processes that decode: one a core, the cores shared out among the workers that torchrun starts."""
    if runtime.workers is not None:
        return runtime.workers
    return max(usable_cores() // processes_here(), 1)
