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

It does not cover kernels, memory, NCCL, cuDNN, torch.compile, and float16. It uses private names of torch 2.15.
"""

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
GET_DEVICE, GET_IS_CUDA, GET_IS_CPU = (getattr(torch.Tensor, name).__get__ for name in ("device", "is_cuda", "is_cpu"))
READS = {"item", "tolist", "__bool__", "__float__", "__int__", "__index__"}
WAITING_OPERATORS = {aten.nonzero.default, aten.masked_select.default, aten.equal.default, aten._unique2.default}
CROSS_DEVICE_OPERATORS = {aten.copy_.default, aten._to_copy.default, aten._copy_from.default, aten.set_.source_Tensor}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Wait:
    """The host waited for the device: why, at which line, and for how many kernels it had no need of."""

    reason: str
    where: str
    unneeded: int


@dataclass(frozen=True)
class PendingCopy:
    """A non-blocking copy to the host that nobody has waited for."""

    target: torch.Tensor
    content: torch.Tensor
    source: torch.device


class VirtualCuda:
    """The devices, with a record of waits, launches and copies."""

    def __init__(self, gpus: int):
        self.gpus, self.current = gpus, 0
        self.launches = 0
        self.waits: list[Wait] = []
        self.event_waits: list[Wait] = []
        self.pending: list[PendingCopy] = []

    def device(self, name: Any) -> torch.device:
        """A device with its index."""
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            return torch.device("cuda", self.current)
        if device.type == "cuda" and device.index >= self.gpus:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return device

    @staticmethod
    def device_of(tensor: torch.Tensor) -> torch.device:
        """The device that a tensor claims to be on."""
        try:
            return getattr(tensor.untyped_storage(), "claimed", None) or tensor.device
        except (RuntimeError, NotImplementedError):  # a tensor without a storage
            return tensor.device

    def claim(self, value: Any, device: torch.device) -> Any:
        """Let all tensors of a value claim to be on a device."""
        for tensor in tree_leaves(value):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu":
                storage = tensor.untyped_storage()
                storage.claimed, storage.launch = device, self.launches
        return value

    def record(self, reason: str, unneeded: int, waits: list[Wait]) -> None:
        """Record a wait with the line of vidsemi that caused it."""
        own = [frame for frame in traceback.extract_stack() if "/vidsemi/" in frame.filename]
        where = f"{own[-1].filename.rpartition('/vidsemi/')[2]}:{own[-1].lineno}" if own else "elsewhere"
        waits.append(Wait(reason, where, unneeded))

    def wait(self, reason: str, tensor: torch.Tensor | None = None) -> None:
        """Wait for all kernels so far; only those up to the tensor's own were needed."""
        made = self.launches if tensor is None else getattr(tensor.untyped_storage(), "launch", self.launches)
        self.record(reason, self.launches - made, self.waits)
        self.deliver(self.pending)

    def deliver(self, copies: list[PendingCopy]) -> None:
        """Put the content of copies where it belongs."""
        for copy in copies:
            copy.target.copy_(copy.content)
        delivered = {id(copy) for copy in copies}
        self.pending = [copy for copy in self.pending if id(copy) not in delivered]

    def move(self, tensor: torch.Tensor, device: torch.device, dtype: Any, blocking: bool, **more: Any) -> torch.Tensor:
        """`Tensor.to`."""
        source = self.device_of(tensor)
        if blocking and source.type == "cuda" and device.type == "cpu":
            self.wait("copy to the host", tensor)
        moved = tensor.to(dtype=dtype or tensor.dtype, **more)
        if device == source:
            return moved if moved is tensor else self.claim(moved, device)
        if moved.untyped_storage()._cdata == tensor.untyped_storage()._cdata:
            moved = moved.clone()
        self.claim(moved, device)
        if device.type == "cuda":
            self.launches += 1
            pinned = getattr(tensor.untyped_storage(), "pinned", False)
            if source.type == "cpu" and tensor.numel() and (blocking or not pinned):
                reason = "blocking copy to the device" if blocking else "copy from memory that is not pinned"
                self.record(reason, 0, self.waits)
        elif not blocking:
            self.launches += 1
            self.pending.append(PendingCopy(moved.detach(), moved.detach().clone(), source))
            with torch.no_grad():
                moved.fill_(float("nan") if moved.is_floating_point() else -1)
        return moved


class Event:
    """`torch.cuda.Event`."""

    def __init__(self, gpu: VirtualCuda, **_: Any):
        self._gpu, self._copies, self._launch = gpu, [], 0

    def record(self, stream: Any = None) -> None:
        """Mark the current stream, which is one of the current device."""
        device = torch.device("cuda", self._gpu.current)
        self._copies = [copy for copy in self._gpu.pending if copy.source == device]
        self._launch = self._gpu.launches

    def synchronize(self) -> None:
        """Wait for what was launched before the mark."""
        self._gpu.deliver(self._copies)
        self._gpu.record("event", self._gpu.launches - self._launch, self._gpu.event_waits)


class _Calls(TorchFunctionMode):
    """Sees every call of torch's Python interface."""

    def __init__(self, gpu: VirtualCuda):
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, first = dict(kwargs or {}), args[0] if args else None
        if isinstance(first, torch.Tensor) and first.device.type == "cpu":  # in truth; a meta tensor is left alone
            answer = self._method(func, first, args, kwargs)
            if answer is not NotImplemented:
                return answer
        pinned = kwargs.pop("pin_memory", False)
        value = self._create(func, args, kwargs)
        if pinned:
            value.untyped_storage().pinned = True
        return value

    def _method(self, func: Any, tensor: torch.Tensor, args: Any, kwargs: dict[str, Any]) -> Any:
        gpu, name, device = self.gpu, getattr(func, "__name__", ""), self.gpu.device_of(tensor)
        if func == GET_DEVICE:
            return device
        if func == GET_IS_CUDA:
            return device.type == "cuda"
        if func == GET_IS_CPU:
            return device.type == "cpu"
        if name == "to":
            return self._to(tensor, args[1:], kwargs)
        if name in ("cpu", "cuda"):
            return gpu.move(tensor, gpu.device(name), None, not kwargs.get("non_blocking"))
        if name == "pin_memory":
            return _pin(tensor)
        if name == "is_pinned":
            return getattr(tensor.untyped_storage(), "pinned", False)
        if device.type == "cuda":
            if name in ("numpy", "__array__"):
                raise TypeError(f"can't convert {device} device type tensor to numpy")
            if name in READS:
                gpu.wait(name.strip("_"), tensor)
            if name == "record_stream":
                return None
            if name in ("__deepcopy__", "new_tensor") and "device" not in kwargs:
                return gpu.claim(func(*args, **kwargs), device)
        return NotImplemented

    def _create(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        device = kwargs.get("device")
        if device is not None and torch.device(device).type == "cuda":
            return self.gpu.claim(func(*args, **{**kwargs, "device": "cpu"}), self.gpu.device(device))
        value = func(*args, **kwargs)
        for made in tree_leaves(value):  # what C++ makes by itself may belong to either, and claims nothing
            if type(made) is torch.Tensor and made.device.type == "cpu":
                storage = made.untyped_storage()
                storage.claimed = getattr(storage, "claimed", CPU)
        return value

    def _to(self, tensor: torch.Tensor, args: Any, kwargs: dict[str, Any]) -> torch.Tensor:
        gpu, other = self.gpu, args[0] if args else kwargs.pop("other", None)
        if isinstance(other, torch.Tensor):
            return gpu.move(tensor, gpu.device_of(other), other.dtype, True)
        copy = kwargs.pop("copy", False)
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        target = gpu.device_of(tensor) if device is None else gpu.device(device)
        more = {"copy": copy} | ({} if layout is None else {"memory_format": layout})
        if target.type not in ("cpu", "cuda"):
            return tensor.to(target, dtype or tensor.dtype, **more)
        return gpu.move(tensor, target, dtype, not non_blocking, **more)


class _Operators(TorchDispatchMode):
    """Sees every operator, those that autograd and C++ call too."""

    def __init__(self, gpu: VirtualCuda):
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gpu, kwargs = self.gpu, kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        self._claim_target(func, args, kwargs, tensors)
        device = self._one_device(func, args, tensors)
        before = {tensor.untyped_storage()._cdata for tensor in tensors}
        value = func(*args, **kwargs)
        if device.type != "cuda":
            return value
        made = [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu"]
        storages = [tensor.untyped_storage() for tensor in made]
        fresh = [storage for storage in storages if storage._cdata not in before]
        for storage in fresh:
            storage.claimed = device
        gpu.launches += bool(fresh) or func._schema.is_mutable  # else a view
        for storage in storages if func._schema.is_mutable else fresh:
            storage.launch = gpu.launches
        return value

    def _claim_target(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> None:
        """A tensor that C++ made and that is now written, such as a bucket of DDP, is where its sources are."""
        target = kwargs.get("out", args[0] if args else None) if func._schema.is_mutable else None
        in_backward = torch._C._current_graph_task_id() != -1
        if isinstance(target, torch.Tensor) and (in_backward or not hasattr(target.untyped_storage(), "claimed")):
            sources = [self.gpu.device_of(tensor) for tensor in tensors if tensor is not target and tensor.dim()]
            if sources and sources[0].type == "cuda" and func is not aten.copy_.default:
                target.untyped_storage().claimed = sources[0]

    def _one_device(self, func: Any, args: Any, tensors: list[torch.Tensor]) -> torch.device:
        gpu = self.gpu
        devices = {gpu.device_of(one) for one in tensors if one.dim() or gpu.device_of(one).type == "cuda"}
        if func is aten.copy_.default:
            if gpu.device_of(args[0]).type == "cpu" and gpu.device_of(args[1]).type == "cuda":
                gpu.wait("copy to the host", args[1])
            return gpu.device_of(args[0])
        if len(devices) > 1 and func not in CROSS_DEVICE_OPERATORS:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but {func} got {sorted(map(str, devices))}"
            )
        device = next(iter(devices), CPU)
        masked = func is aten.index.Tensor and any(one is not None and one.dtype == torch.bool for one in args[1])
        if device.type == "cuda" and (func in WAITING_OPERATORS or masked):
            gpu.wait(str(func), tensors[0])
        return device


def _pin(tensor: torch.Tensor, device: Any = None) -> torch.Tensor:
    pinned = tensor.clone()
    pinned.untyped_storage().pinned = True
    return pinned


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

    cuda = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: gpus,
        "current_device": lambda: gpu.current,
        "set_device": set_device,
        "Event": lambda **settings: Event(gpu, **settings),
        "synchronize": lambda device=None: gpu.wait("synchronize"),
        "is_bf16_supported": lambda including_emulation=True: True,
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
        mock.patch.object(torch.Tensor, "pin_memory", _pin, create=True),  # for threads without these modes
        _Operators(gpu),
        _Calls(gpu),
    ):
        try:
            yield gpu
        finally:
            torch.backends.cudnn.benchmark = benchmark
