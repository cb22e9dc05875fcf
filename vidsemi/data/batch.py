"""A micro-batch as loader workers send it: cropped and flipped uint8 clips, which the device normalizes."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import get_worker_info

from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.data.train_clips import TrainItem
from vidsemi.io.errors import UserError
from vidsemi.runtime.device import upload


@dataclass(frozen=True)
class Batch:
    """A micro-batch of N clips."""

    pixels: torch.Tensor  # (N, T, 3, crop, crop) uint8
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
        """The clips normalized on the device, (N, 3, T, crop, crop) float32."""
        return normalize(upload(self.pixels, device), spec, layout)


def collate(items: list[TrainItem]) -> Batch:
    """Items as a batch; DataLoader's `collate_fn`.

    Crops and flips here, in the worker, which copies the pixels anyway: 0.33 ms a clip of 8×112×112, 0.48 for whole
    frames of 128×171. On a GPU it would be a kernel or two a clip.
    """
    error = next((item.error for item in items if item.error is not None), None)
    read = [(item.frames, item.windows) for item in items if item.frames is not None] if error is None else []
    clips = [window.cut(clip) for frames, windows in read for clip, window in zip(frames.numpy(), windows, strict=True)]
    pixels = torch.from_numpy(np.stack(clips)) if clips else torch.empty(0, dtype=torch.uint8)
    if get_worker_info() is not None:  # here a lack of shared memory is an error; later it would be a hang
        pixels.share_memory_()
    return Batch(
        pixels=pixels,
        targets=torch.stack([item.target for item in items for _ in item.windows]) if clips else torch.empty(0),
        example_ids=[item.example_id for item in items for _ in item.windows],
        unreadable=[example_id for item in items for example_id in item.unreadable],
        error=error,
    )
