"""Device, memory format, memory allocation, and sizes that depend on the machine."""

import ctypes

import torch
from torch import nn

from vidsemi.config import Runtime
from vidsemi.io.errors import UserError
from vidsemi.runtime.distributed import local_rank, processes_here
from vidsemi.runtime.library_errors import first_line
from vidsemi.runtime.process import usable_cores

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT, KEPT_BY_OLD_GLIBC = 1 << 30, 32 << 20  # bytes; glibc before about 2.35 accepts no more than the second


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next pass instead of returning it to the system.

    Getting it back page by page took up to a quarter of the time of an R(2+1)D-10 of 8 base planes on 2 cores: 489
    clips/s in bfloat16, 587 to 664 without.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and (mallopt(M_MMAP_THRESHOLD, KEPT) or mallopt(M_MMAP_THRESHOLD, KEPT_BY_OLD_GLIBC)):
        mallopt(M_TRIM_THRESHOLD, KEPT)  # set alone, it would keep the other from growing, which is slower still


def put_channels_last(network: nn.Module) -> None:
    """Convert the weights of convolutions to channels-last memory format, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.to(memory_format=torch.channels_last_3d if isinstance(layer, nn.Conv3d) else torch.channels_last)


def pick_device(runtime: Runtime) -> torch.device:
    """The device to run on; `auto` is a GPU if there is one, and each worker's own if there are several.

    One that does not exist or cannot be used is a `UserError`.
    """
    name = runtime.device
    if name == "auto":
        name = f"cuda:{local_rank() % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it computes nothing")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise UserError("device.unavailable", f"runtime.device: '{name}' cannot be used here: {reason}") from None
    return device


def clips_per_forward(runtime: Runtime, device: torch.device) -> int:
    """Clips per forward pass in scoring and evaluation.

    Few on a CPU, so that they fit into its caches: in float32 an R(2+1)D-10 of 8 base planes scored 471 clips/s ten at
    a time, 276 with 64; an R(2+1)D-18 10.2 and 8.8.
    """
    return runtime.clips_per_forward or (10 if device.type == "cpu" else 64)


def worker_count(runtime: Runtime) -> int:
    """Decoding processes: one a core, with the cores divided among the processes that torchrun started here."""
    return max(usable_cores() // processes_here(), 1) if runtime.workers is None else runtime.workers
