"""A micro-batch as loader workers send it: uint8 frames as decoded; crop, flip and normalization run on the device."""

from dataclasses import dataclass, replace

import torch
from torch.utils.data import get_worker_info

from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.data.train_clips import TrainItem
from vidsemi.data.transforms import Window
from vidsemi.io.errors import UserError


@dataclass(frozen=True)
class Batch:
    """A micro-batch of N clips."""

    pixels: torch.Tensor  # uint8 frames (T, 3, H, W) of one clip after another, flattened: frame sizes may differ
    windows: list[Window]  # the crop of each clip
    targets: torch.Tensor  # (N, classes) float32
    example_ids: list[int]  # of each clip
    unreadable: list[int]  # ids of examples that do not decode
    error: UserError | None  # why there are no clips

    def __len__(self) -> int:
        return len(self.example_ids)

    def pin_memory(self) -> "Batch":
        """The batch in pinned memory; called by DataLoader."""
        return replace(self, pixels=self.pixels.pin_memory(), targets=self.targets.pin_memory())

    def clips(self, device: torch.device, spec: InputSpec, layout: torch.memory_format) -> torch.Tensor:
        """The clips cropped, flipped and normalized on the device, (N, 3, T, crop, crop) float32."""
        pixels = self.pixels.to(device, non_blocking=True)
        sizes = [spec.frames * 3 * window.height * window.width for window in self.windows]
        clips = []
        for clip, window in zip(pixels.split(sizes), self.windows, strict=True):
            frames = clip.view(spec.frames, 3, window.height, window.width)
            cropped = frames[..., window.top : window.top + spec.crop, window.left : window.left + spec.crop]
            clips.append(cropped.flip(-1) if window.flipped else cropped)
        return normalize(torch.stack(clips), spec, layout)


def collate(items: list[TrainItem]) -> Batch:
    """Items as a batch; DataLoader's `collate_fn`."""
    error = next((item.error for item in items if item.error is not None), None)
    frames = [item.frames for item in items if item.frames is not None] if error is None else []
    pixels = torch.cat([clips.reshape(-1) for clips in frames]) if frames else torch.empty(0, dtype=torch.uint8)
    if get_worker_info() is not None:  # here a lack of shared memory is an error; later it would be a hang
        pixels.share_memory_()
    return Batch(
        pixels=pixels,
        windows=[window for item in items for window in item.windows],
        targets=torch.stack([item.target for item in items for _ in item.windows]) if frames else torch.empty(0),
        example_ids=[item.example_id for item in items for _ in item.windows],
        unreadable=[example_id for item in items for example_id in item.unreadable],
        error=error,
    )
