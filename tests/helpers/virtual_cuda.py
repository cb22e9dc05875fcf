"""A virtual GPU: CUDA branches run on the CPU with real numbers, and mistakes that only a GPU would show are found.

    with virtual_cuda(gpus=2) as gpu:
        ...          # torch.cuda.is_available() is true; x.to("cuda:1").device is cuda:1
    gpu.waits        # where the host waited for the device
    gpu.launches     # number of kernels

Every storage carries the device that it claims to be on. Two torch modes see each call and each operator, those of the
backward pass too:

- Tensors of two devices in one operator are an error, as on a GPU (scalars excepted); so is `.numpy()` on the device.
- Whatever makes the host wait (`.item()`, `.cpu()`, `bool()`, a mask as an index, a blocking copy) is recorded with the
  line of vidsemi, and with the number of kernels launched since the one that made the tensor: a copy stands in the same
  stream, so it waits for those too.
- A non-blocking copy to the host holds garbage until an event recorded after it, or the device, has been waited for.
- A stream that reads what another one may still be writing is an error, and so is a host that overwrites pinned memory
  before the copy from it is known to be done (virtual_streams.py).

It does not cover kernels, memory, NCCL, cuDNN, torch.compile, and float16. It uses private names of torch 2.15.
"""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from tests.helpers.virtual_device import Event, VirtualCuda
from tests.helpers.virtual_modes import Calls, Operators, pin, record_stream
from tests.helpers.virtual_streams import Stream


@contextlib.contextmanager
def virtual_cuda(gpus: int = 1) -> Iterator[VirtualCuda]:
    """Virtual GPUs while the block lasts, for this thread."""
    gpu = VirtualCuda(gpus)
    group_tensors = torch._C._group_tensors_by_device_and_dtype

    def group_by_claim(lists: Any, with_indices: bool = False) -> Any:
        """C++ does not know the claims; all tensors of a list are on one device here."""
        groups = group_tensors(lists, with_indices)
        claims = {key: gpu.device_of(next(one for one in own[0][0] if one is not None)) for key, own in groups.items()}
        return {(claims[key], key[1]): own for key, own in groups.items()}

    class Autocast(torch.autocast):
        def __init__(self, device_type: str, *args: Any, **kwargs: Any):
            super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    def set_device(device: Any) -> None:
        gpu.current = device if isinstance(device, int) else torch.device(device).index

    @contextlib.contextmanager
    def in_stream(stream: Stream) -> Iterator[None]:
        device = gpu.device(stream.device or "cuda")
        before = gpu.streams.get(device)
        gpu.streams[device] = stream
        try:
            yield
        finally:
            gpu.streams.pop(device)
            if before is not None:
                gpu.streams[device] = before

    cuda = {
        "Stream": Stream,
        "stream": in_stream,
        "current_stream": gpu.stream,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: gpus,
        "current_device": lambda: gpu.current,
        "set_device": set_device,
        "Event": lambda **settings: Event(gpu, **settings),
        "synchronize": lambda device=None: gpu.wait("synchronize"),
        "is_bf16_supported": lambda including_emulation=True: True,
        "get_device_properties": lambda device=None: SimpleNamespace(name="virtual GPU"),  # without an address
        "get_device_name": lambda device=None: "virtual GPU",
        "get_device_capability": lambda device=None: (9, 0),
        "max_memory_allocated": lambda device=None: 0,
        "manual_seed_all": lambda seed: None,
        "empty_cache": lambda: None,
    }
    accelerator = {
        "is_available": lambda: True,
        "current_accelerator": lambda check_available=False: torch.device("cuda"),
        "current_device_index": lambda: gpu.current,
        "set_device_index": lambda index: None,
    }
    benchmark = torch.backends.cudnn.benchmark
    with (
        mock.patch.multiple(torch.cuda, **cuda),
        mock.patch.multiple(torch.accelerator, **accelerator),
        mock.patch.object(torch, "autocast", Autocast),
        mock.patch.object(torch._C, "_group_tensors_by_device_and_dtype", group_by_claim),
        mock.patch.object(torch.Tensor, "pin_memory", pin, create=True),  # for threads without these modes
        mock.patch.object(torch.Tensor, "record_stream", record_stream, create=True),
        Operators(gpu),
        Calls(gpu),
    ):
        try:
            yield gpu
        finally:
            torch.backends.cudnn.benchmark = benchmark
