"""What happens to frames between the decoder and the network. They stay uint8; the device normalises them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Decoder = Literal["pyav", "decord", "torchcodec"]


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
        decoder: the library that decodes the files it gets right; PyAV decodes the others.
    """

    frames: int
    stride: int
    resize: tuple[int, int]
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    decoder: Decoder = "pyav"


def center_crop(frames: np.ndarray, crop: int) -> np.ndarray:
    """Cut the central square: (..., H, W) → (..., crop, crop)."""
    top, left = (frames.shape[-2] - crop) // 2, (frames.shape[-1] - crop) // 2
    return frames[..., top : top + crop, left : left + crop]


def random_crop_flip(frames: np.ndarray, crop: int, flip: float, rng: np.random.Generator) -> np.ndarray:
    """Cut a square of (..., H, W) at a random place and mirror it with probability `flip`; one draw for all frames."""
    top = int(rng.integers(frames.shape[-2] - crop + 1))
    left = int(rng.integers(frames.shape[-1] - crop + 1))
    cut = frames[..., top : top + crop, left : left + crop]
    return cut[..., ::-1] if rng.random() < flip else cut
