"""Device, memory format, memory allocation, copies from the device, and sizes that depend on the machine."""

import copy
import ctypes
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.config import Runtime
from vidsemi.io.errors import UserError
from vidsemi.runtime.distributed import local_rank, processes_here, started_processes
from vidsemi.runtime.library_errors import first_line
from vidsemi.runtime.process import job_count, job_number, processor, usable_cores

logger = logging.getLogger("vidsemi")

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


def uses_channels_last(asked: bool | None, device: torch.device, precision: str) -> bool:
    """Whether to use the channels-last memory format; None asks for the faster one.

    That is measured on CPUs (docs/performance.md). On GPUs it is not: tensor cores read channels-last, and cuDNN 9.8 to
    9.14 computes other 16-bit convolutions in 3D outside of its fast kernels.
    """
    return asked if asked is not None else device.type == "cpu" or (device.type == "cuda" and precision != "float32")


def pick_device(runtime: Runtime) -> torch.device:
    """The device to run on; `auto` is a GPU if there is one, and each worker's or job's own if there are several.

    A GPU becomes the current device, which CUDA's events, pinned memory and compiled code belong to. A device that does
    not exist or cannot compute is a `UserError`, and so are more connected processes than GPUs.
    """
    name = runtime.device
    if name == "auto" or (name == "cuda" and job_count() > 1 and torch.cuda.is_available()):
        number = local_rank() + job_number()
        name = f"cuda:{number % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and (reason := _unusable_gpu()):
            logger.warning("runtime.device: auto uses the CPU, because torch cannot use the GPU: %s", reason)
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it computes nothing")
        if device.type == "cuda":
            _check_gpu_share(runtime)
            if runtime.deterministic:
                _use_deterministic_kernels()
            if device.index is not None:
                torch.cuda.set_device(device)
        torch.zeros(1, device=device).add_(1).item()  # a kernel: torch may have none for this GPU
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise UserError("device.unavailable", f"runtime.device: '{name}' cannot be used here: {reason}") from None
    return device


def _unusable_gpu() -> str | None:
    """Why torch does not use a GPU that the machine has; None if there is none, or if the user hides it."""
    if not Path("/dev/nvidia0").exists() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return "no device is visible to it"


def _use_deterministic_kernels() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before cuBLAS is used
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)  # a layer without such a kernel is named


def _check_gpu_share(runtime: Runtime) -> None:
    """NCCL refuses two processes on one GPU, minutes into a run and in words of its own."""
    here, gpus = processes_here(), torch.cuda.device_count()
    if started_processes() > 1 and (here > gpus or (here > 1 and ":" in runtime.device)):
        raise UserError(
            "device.shared_gpu",
            f"torchrun started {here} processes on this machine for {gpus} GPUs (runtime.device: {runtime.device}), "
            "but each process needs its own; lower --nproc-per-node, or set runtime.device: auto",
        )


def device_name(device: torch.device) -> str:
    """The model of a GPU or processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor()} ({device.type})"


def to_cpu(value: Any) -> Any:
    """A state of nested dictionaries and lists with all tensors on the CPU; those that are there are not copied."""
    match value:
        case torch.Tensor():
            return value.cpu()
        case dict():
            copied = copy.copy(value)  # of the same type, with the metadata of a state_dict
            copied.update((key, to_cpu(own)) for key, own in value.items())
            return copied
        case list() | tuple():
            return type(value)(map(to_cpu, value))
        case _:
            return value


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device; a GPU copies it from pinned memory while it computes what it was given before.

    The copy has a stream of its own, which the stream that computes waits for. torch reuses neither the memory on the
    device before that stream is past what it has now, nor the pinned memory before the copy is done.
    """
    if device.type != "cuda":
        return tensor.to(device, non_blocking=True)
    copying, computing = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        copy = tensor.to(device, non_blocking=True)
    computing.wait_stream(copying)
    copy.record_stream(computing)
    return copy


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


class Fetched:
    """Numbers on their way from the device to the CPU; the device continues meanwhile."""

    def __init__(self, numbers: torch.Tensor):
        self._numbers = numbers.detach().to("cpu", non_blocking=numbers.is_cuda)
        self._copied = torch.cuda.Event(blocking=True) if numbers.is_cuda else None  # sleeps, where others spin
        if self._copied:
            self._copied.record()

    def tensor(self) -> torch.Tensor:
        """The numbers, once they have arrived; waits for nothing that the device was given later."""
        if self._copied:
            self._copied.synchronize()
        return self._numbers


def clips_per_forward(runtime: Runtime, device: torch.device) -> int:
    """Clips per forward pass in scoring and evaluation.

    Few on a CPU, so that they fit into its caches: in float32 an R(2+1)D-10 of 8 base planes scored 471 clips/s ten at
    a time, 276 with 64; an R(2+1)D-18 10.2 and 8.8.
    """
    return runtime.clips_per_forward or (10 if device.type == "cpu" else 64)


def worker_count(runtime: Runtime) -> int:
    """Decoding processes: one a core, with the cores divided among the processes that torchrun started here."""
    return max(usable_cores() // processes_here(), 1) if runtime.workers is None else runtime.workers
