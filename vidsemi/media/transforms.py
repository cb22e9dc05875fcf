"""What happens to frames between the decoder and the network. uint8 until the device, normalised there."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class InputSpec:
    """What a network takes in; stored with its weights.

    Attributes:
        frames: clip length T.
        stride: step between the frames of a clip.
        resize: (height, width) that frames are scaled to, whatever their aspect.
        crop: side of the square cut from them: the centre at test, anywhere in training.
        mean: of red, green and blue after division by 255.
        std: likewise.
    """

    frames: int
    stride: int
    resize: tuple[int, int]
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def center_crop(frames: np.ndarray, crop: int) -> np.ndarray:
    """Cut the central square: (..., H, W, 3) → (..., crop, crop, 3)."""
    top, left = (frames.shape[-3] - crop) // 2, (frames.shape[-2] - crop) // 2
    return frames[..., top : top + crop, left : left + crop, :]


def random_crop_flip(frames: np.ndarray, crop: int, flip: float, rng: np.random.Generator) -> np.ndarray:
    """Cut a square at a random place and mirror it with probability `flip`; one draw for all frames of the clip."""
    top = int(rng.integers(frames.shape[-3] - crop + 1))
    left = int(rng.integers(frames.shape[-2] - crop + 1))
    cut = frames[..., top : top + crop, left : left + crop, :]
    return cut[..., ::-1, :] if rng.random() < flip else cut


def normalize(clips: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """(N, T, H, W, 3) uint8 → (N, 3, T, H, W) float32 with the spec's mean and deviation, on the tensor's device."""
    mean = torch.tensor(spec.mean, device=clips.device).mul_(255).view(3, 1, 1, 1)
    std = torch.tensor(spec.std, device=clips.device).mul_(255).view(3, 1, 1, 1)
    return (clips.permute(0, 4, 1, 2, 3).float() - mean) / std
