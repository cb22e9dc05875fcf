"""The devices of `virtual_cuda`: which tensors claim to be on them, and a record of waits, launches and copies."""

import traceback
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from tests.helpers.virtual_streams import Stream, later, unrecorded

DEFAULT_STREAMS: dict[torch.device, Stream] = {}  # of all virtual GPUs ever: tensors may outlive their block


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
    stream: Stream
    number: int  # of the launch in its stream


class VirtualCuda:
    """The devices, with a record of waits, launches and copies."""

    def __init__(self, gpus: int):
        self.gpus, self.current = gpus, 0
        self.launches = 0
        self.kinds: Counter[str] = Counter()  # launches by operator
        self.waits: list[Wait] = []
        self.event_waits: list[Wait] = []
        self.pending: list[PendingCopy] = []
        self.streams: dict[torch.device, Stream] = {}  # current ones
        self.done: dict[Stream, int] = {}  # launches that the host has waited for
        self.copies: list[tuple[Stream, int]] = []  # to the device: in which stream, after how many waits for events
        self._storages: list[Any] = []

    @property
    def unrecorded(self) -> int:
        """Tensors that a stream uses besides the one they were made in, without `record_stream`."""
        return len(unrecorded(self._storages))

    def stream(self, device: Any = None) -> Stream:
        """The current stream of a device."""
        own = self.device("cuda" if device is None else device)
        return self.streams.get(own) or DEFAULT_STREAMS.setdefault(own, Stream(own))

    def launch(self, kind: str, device: torch.device, used: list[Any], fresh: list[Any], written: list[Any]) -> Stream:
        """Launch a kernel or copy in the current stream of a device; see `Stream.launch`."""
        self.kinds[kind] += 1
        stream = self.stream(device)
        stream.launch(used, fresh, written)
        self._storages += [storage for storage in used if getattr(storage, "users", None)]
        self.launches += 1
        return stream

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
        for stream in [*DEFAULT_STREAMS.values(), *self.streams.values()]:
            self.done = later(self.done, stream.mark())

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
        origin, storage = tensor.untyped_storage(), moved.untyped_storage()
        if device.type == "cuda":
            stream = self.launch("copy to the device", device, [], [storage], [])
            if source.type == "cpu" and tensor.numel():
                self.copies.append((stream, len(self.event_waits)))
                stream.copies += 1
                origin.read_by = stream, stream.launched
                if blocking or not getattr(origin, "pinned", False):
                    reason = "blocking copy to the device" if blocking else "copy from memory that is not pinned"
                    self.record(reason, 0, self.waits)
                    self.done = later(self.done, stream.mark())
        elif not blocking:
            stream = self.launch("copy to the host", source, [origin], [], [])
            self.pending.append(PendingCopy(moved.detach(), moved.detach().clone(), source, stream, stream.launched))
            with torch.no_grad():
                moved.fill_(float("nan") if moved.is_floating_point() else -1)
        return moved


class Event:
    """`torch.cuda.Event`."""

    def __init__(self, gpu: VirtualCuda, **_: Any):
        self._gpu, self._copies, self._launch = gpu, [], 0
        self.mark: dict[Stream, int] = {}

    def record(self, stream: Stream | None = None) -> None:
        """Mark a stream, by default the current one of the current device."""
        self.mark = (stream or self._gpu.stream()).mark()
        self._copies = [copy for copy in self._gpu.pending if self.mark.get(copy.stream, 0) >= copy.number]
        self._launch = self._gpu.launches

    def synchronize(self) -> None:
        """Wait for what was launched before the mark."""
        self._gpu.deliver(self._copies)
        self._gpu.done = later(self._gpu.done, self.mark)
        self._gpu.record("event", self._gpu.launches - self._launch, self._gpu.event_waits)
