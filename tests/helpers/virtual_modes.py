"""The torch modes of `virtual_cuda`: they see every call and operator and tell the virtual device."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.helpers.virtual_device import VirtualCuda
from tests.helpers.virtual_streams import Stream

aten = torch.ops.aten
GET_DEVICE, GET_IS_CUDA, GET_IS_CPU = (getattr(torch.Tensor, name).__get__ for name in ("device", "is_cuda", "is_cpu"))
READS = {"item", "tolist", "__bool__", "__float__", "__int__", "__index__"}
WAITING_OPERATORS = {aten.nonzero.default, aten.masked_select.default, aten.equal.default, aten._unique2.default}
CROSS_DEVICE_OPERATORS = {aten.copy_.default, aten._to_copy.default, aten._copy_from.default, aten.set_.source_Tensor}
CPU = torch.device("cpu")


class Calls(TorchFunctionMode):
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
            return pin(tensor)
        if name == "is_pinned":
            return getattr(tensor.untyped_storage(), "pinned", False)
        if device.type == "cuda":
            if name in ("numpy", "__array__"):
                raise TypeError(f"can't convert {device} device type tensor to numpy")
            if name in READS:
                gpu.wait(name.strip("_"), tensor)
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


class Operators(TorchDispatchMode):
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
        if device.type != "cuda":
            self._check_pinned(func, args, kwargs)
            return func(*args, **kwargs)
        value = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu"]
        storages = [tensor.untyped_storage() for tensor in made]
        fresh = [storage for storage in storages if storage._cdata not in before]
        for storage in fresh:
            storage.claimed = device
        if (fresh or func._schema.is_mutable) and "empty" not in str(func):  # else a view, or memory alone
            used = [one.untyped_storage() for one in tensors if gpu.device_of(one).type == "cuda"]
            gpu.launch(str(func), device, used, fresh, storages if func._schema.is_mutable else [])
        for storage in storages if func._schema.is_mutable else fresh:
            storage.launch = gpu.launches
        return value

    def _check_pinned(self, func: Any, args: Any, kwargs: Any) -> None:
        target = kwargs.get("out", args[0] if args else None) if func._schema.is_mutable else None
        if isinstance(target, torch.Tensor):
            stream, number = getattr(target.untyped_storage(), "read_by", (None, 0))
            if stream is not None and self.gpu.done.get(stream, 0) < number:
                raise RuntimeError("the host overwrites pinned memory that a copy may still be reading")

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


def pin(tensor: torch.Tensor, device: Any = None) -> torch.Tensor:
    pinned = tensor.clone()
    pinned.untyped_storage().pinned = True
    return pinned


def record_stream(tensor: torch.Tensor, stream: Stream) -> None:
    storage = tensor.untyped_storage()
    storage.recorded = getattr(storage, "recorded", set()) | {stream}
