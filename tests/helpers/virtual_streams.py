"""Streams of a virtual GPU: a stream may read what another one writes only after it has waited for it."""

from typing import Any

import torch


class Stream:
    """`torch.cuda.Stream`: a queue of kernels and copies, and how much of other streams it has waited for."""

    def __init__(self, device: Any = None, **_: Any):
        self.device = torch.device(device) if device is not None else None
        self.launched = 0  # kernels and copies so far
        self.copies = 0  # those of them from the host
        self.seen: dict[Stream, int] = {}  # how many launches of other streams are done before the next of this one

    def launch(self, storages: list[Any], fresh: list[Any], written: list[Any]) -> None:
        """A kernel or copy that uses storages of the device, of which some are made or written by it.

        Raises:
            RuntimeError: another stream may still be writing one of them.
        """
        for storage in storages:
            writer, number = getattr(storage, "written", (self, 0))
            if writer is not self and self.seen.get(writer, 0) < number:
                raise RuntimeError("a stream reads what another one may still be writing")
            if getattr(storage, "owner", self) is not self:
                storage.users = getattr(storage, "users", set()) | {self}
        self.launched += 1
        for storage in fresh:
            storage.owner = self
        for storage in [*fresh, *written]:
            storage.written = self, self.launched

    def mark(self) -> dict["Stream", int]:
        """What is done when all launches so far are done."""
        return {**self.seen, self: self.launched}

    def wait_stream(self, other: "Stream") -> None:
        """Start the next launch after all of another stream so far."""
        self.seen = later(self.seen, other.mark())

    def wait_event(self, event: Any) -> None:
        """Start the next launch after what the event marks."""
        self.seen = later(self.seen, event.mark)


def later(one: dict[Stream, int], other: dict[Stream, int]) -> dict[Stream, int]:
    """What is done when both are."""
    return {stream: max(one.get(stream, 0), other.get(stream, 0)) for stream in {*one, *other}}


def unrecorded(storages: list[Any]) -> list[Any]:
    """Storages that a stream uses besides the one they were made in, without `record_stream`.

    The allocator may give the memory of such a storage to another tensor while it is still being read.
    """
    return [one for one in storages if getattr(one, "users", set()) - getattr(one, "recorded", set())]
