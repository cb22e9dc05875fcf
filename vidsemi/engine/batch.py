"""What the processes that read hand over: uint8 frames as they were read, and what the device is to make of them."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch

from vidsemi.engine.normalize import normalize
from vidsemi.errors import UserError
from vidsemi.media.datasets import MAX_SUBSTITUTES, TrainItem
from vidsemi.media.transforms import InputSpec, Window


@dataclass(frozen=True)
class Batch:
    """A part of a step.

    Attributes:
        pixels: uint8 frames (T, 3, H, W) of N clips one after another, flat, since frames need not be of one size.
        windows: of each clip.
        targets: (N, classes) float32.
        example_ids: of each clip.
        unreadable: example ids that did not decode.
        error: why there are no clips, where too many in a row did not.
    """

    pixels: torch.Tensor
    windows: list[Window]
    targets: torch.Tensor
    example_ids: list[int]
    unreadable: list[int]
    error: str | None

    def __len__(self) -> int:
        return len(self.example_ids)

    def pin_memory(self) -> "Batch":
        """In memory that a GPU copies from while it computes; a DataLoader calls this."""
        return replace(self, pixels=self.pixels.pin_memory(), targets=self.targets.pin_memory())

    def clips(self, device: torch.device, spec: InputSpec, layout: torch.memory_format) -> torch.Tensor:
        """The clips cut, mirrored and normalised on the device, (N, 3, T, crop, crop) float32."""
        pixels = self.pixels.to(device, non_blocking=True)
        sizes = [spec.frames * 3 * window.height * window.width for window in self.windows]
        clips = []
        for clip, window in zip(pixels.split(sizes), self.windows, strict=True):
            frames = clip.view(spec.frames, 3, window.height, window.width)
            cut = frames[..., window.top : window.top + spec.crop, window.left : window.left + spec.crop]
            clips.append(cut.flip(-1) if window.mirrored else cut)
        return normalize(torch.stack(clips), spec, layout)


def collate(items: list[TrainItem]) -> Batch:
    """Items as a batch."""
    error = next((item.error for item in items if item.error is not None), None)
    frames = [item.frames for item in items if item.frames is not None] if error is None else []
    return Batch(
        pixels=torch.cat([clips.reshape(-1) for clips in frames]) if frames else torch.empty(0, dtype=torch.uint8),
        windows=[window for item in items for window in item.windows],
        targets=torch.stack([item.target for item in items for _ in item.windows]) if frames else torch.empty(0),
        example_ids=[item.example_id for item in items for _ in item.windows],
        unreadable=[example_id for item in items for example_id in item.unreadable],
        error=error,
    )


class Feed:
    """Batches as they come from the processes that read.

    Args:
        loader: gives them.

    Attributes:
        waited: seconds that were spent waiting for them.
        unreadable: example ids that did not decode.
        example_ids: of the batches that were taken last.
    """

    def __init__(self, loader: Iterable[Batch]):
        self._batches = iter(loader)
        self.waited = 0.0
        self.unreadable: set[int] = set()
        self.example_ids: list[int] = []

    def take(self, count: int) -> Iterator[Batch]:
        """The next batches.

        Raises:
            UserError: the corpus cannot be read, or a process that reads was killed.
        """
        self.example_ids = []
        for _ in range(count):
            before = time.monotonic()
            try:
                batch = next(self._batches)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                why = "machine.workers of them may need more memory (or shared memory, /dev/shm) than there is"
                raise UserError(f"training stopped: a process that reads was killed; {why}") from None
            self.waited += time.monotonic() - before
            if batch.error is not None:
                raise UserError(
                    f"training stopped: {MAX_SUBSTITUTES} files in a row cannot be read; the last is {batch.error}"
                )
            self.unreadable.update(batch.unreadable)
            self.example_ids += batch.example_ids
            yield batch
