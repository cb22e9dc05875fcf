"""What happens to frames between the decoder and the network. They stay uint8; the device normalises them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Decoder = Literal["pyav", "decord", "torchcodec"]
MOST_ASPECT = 8
Size = int | tuple[int, int]  # pixels of the shorter side, or (height, width)


@dataclass(frozen=True)
class InputSpec:
    """What a network takes in; stored with its weights.

    Attributes:
        frames: clip length T.
        stride: step between the frames of a clip.
        resize: (height, width) that frames are scaled to, whatever their aspect; or the length of their shorter side,
            which keeps it.
        crop: side of the square cut from them: the centre at test, anywhere in training.
        mean: of red, green and blue after division by 255.
        std: likewise.
        decoder: the library that decodes the files it gets right; PyAV decodes the others.
    """

    frames: int
    stride: int
    resize: Size
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    decoder: Decoder = "pyav"


def scaled_size(size: Size, height: int, width: int) -> tuple[int, int]:
    """(height, width) of a frame after scaling; the longer side is rounded down, as torchvision does.

    A frame that is more than 8 times as long as wide is squeezed to that: a file of one line of pixels must not cost
    gigabytes.

    >>> scaled_size(256, 240, 320), scaled_size(256, 320, 240), scaled_size((128, 171), 240, 320)
    ((256, 341), (341, 256), (128, 171))
    """
    if not isinstance(size, int):
        return size
    longer = min(size * max(height, width) // min(height, width), MOST_ASPECT * size)
    return (longer, size) if height > width else (size, longer)


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
