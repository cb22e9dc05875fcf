"""What the processes that read hand over: uint8 frames as they were read, and what the device is to make of them."""

from dataclasses import dataclass, replace

import torch
from torch.utils.data import get_worker_info

from vidsemi.data.datasets import TrainItem
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.data.transforms import Window


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
            clips.append(cut.flip(-1) if window.flipped else cut)
        return normalize(torch.stack(clips), spec, layout)


def collate(items: list[TrainItem]) -> Batch:
    """Items as a batch."""
    error = next((item.error for item in items if item.error is not None), None)
    frames = [item.frames for item in items if item.frames is not None] if error is None else []
    pixels = torch.cat([clips.reshape(-1) for clips in frames]) if frames else torch.empty(0, dtype=torch.uint8)
    if get_worker_info() is not None:  # here, where it is an error if there is too little of it, and not a hang
        pixels.share_memory_()
    return Batch(
        pixels=pixels,
        windows=[window for item in items for window in item.windows],
        targets=torch.stack([item.target for item in items for _ in item.windows]) if frames else torch.empty(0),
        example_ids=[item.example_id for item in items for _ in item.windows],
        unreadable=[example_id for item in items for example_id in item.unreadable],
        error=error,
    )
