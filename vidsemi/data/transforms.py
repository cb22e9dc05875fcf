"""Resize, crop and flip arithmetic of frames, which stay uint8 until the device normalizes them (`normalize.py`)."""

import math
from dataclasses import dataclass

import numpy as np

from vidsemi.data.input_spec import Size

MAX_ASPECT = 8


def scaled_size(size: Size, height: int, width: int) -> tuple[int, int]:
    """(height, width) of a frame after scaling; the longer side is rounded down, as torchvision does.

    A frame that is more than 8 times as long as wide is squeezed to that: a file of one line of pixels must not cost
    gigabytes.

    >>> scaled_size(256, 240, 320), scaled_size(256, 320, 240), scaled_size((128, 171), 240, 320)
    ((256, 341), (341, 256), (128, 171))
    """
    if not isinstance(size, int):
        return size
    longer = min(size * max(height, width) // min(height, width), MAX_ASPECT * size)
    return (longer, size) if height > width else (size, longer)


def center_crop(frames: np.ndarray, crop: int) -> np.ndarray:
    """Cut the central square: (..., H, W) → (..., crop, crop)."""
    top, left = (frames.shape[-2] - crop) // 2, (frames.shape[-1] - crop) // 2
    return frames[..., top : top + crop, left : left + crop]


def ten_crops(frames: np.ndarray, crop: int) -> np.ndarray:
    """Four corners and the centre, then the mirror image of each: (..., H, W) → (10, ..., crop, crop).

    Krizhevsky et al. 2012, section 4.1.
    """
    top, left = frames.shape[-2] - crop, frames.shape[-1] - crop
    corners = [frames[..., y : y + crop, x : x + crop] for y in (0, top) for x in (0, left)]
    five = np.stack([*corners, center_crop(frames, crop)])
    return np.concatenate([five, five[..., ::-1]])


@dataclass(frozen=True)
class Box:
    """A rectangle of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


def random_box(height: int, width: int, area: tuple[float, float], rng: np.random.Generator) -> Box:
    """A rectangle with a random share of a frame's area and a random shape (Szegedy et al. 2015, section 6).

    The share is uniform, the ratio of the sides log-uniform from 3:4 to 4:3. Where ten draws do not fit into the frame,
    it is the largest central rectangle of that shape.

    Args:
        height: of the frame.
        width: of the frame.
        area: smallest and largest share.
        rng: source of randomness.
    """
    least, most = 3 / 4, 4 / 3
    for _ in range(10):
        pixels, ratio = height * width * rng.uniform(*area), math.exp(rng.uniform(math.log(least), math.log(most)))
        box = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < box[0] <= height and 0 < box[1] <= width:
            return Box(int(rng.integers(height - box[0] + 1)), int(rng.integers(width - box[1] + 1)), *box)
    box = min(height, round(width / least)), min(width, round(height * most))
    return Box((height - box[0]) // 2, (width - box[1]) // 2, *box)


def crop_and_resize(frames: np.ndarray, box: Box, size: int) -> np.ndarray:
    """The box of each frame as a square: (T, 3, H, W) → (T, 3, size, size) uint8, as Pillow scales (antialiased)."""
    from PIL import Image

    cut = frames[:, :, box.top : box.top + box.height, box.left : box.left + box.width].transpose(0, 2, 3, 1)
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in cut]
    scaled = [image.resize((size, size), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in scaled]).transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class Window:
    """What a training clip shows of its frames.

    Attributes:
        height: of the frames.
        width: of the frames.
        top: first line of the square that is cut from them.
        left: its first column.
        mirrored: whether it is then flipped.
    """

    height: int
    width: int
    top: int
    left: int
    mirrored: bool


def random_window(height: int, width: int, crop: int, hflip_prob: float, rng: np.random.Generator) -> Window:
    """A square of `crop` pixels anywhere in frames of a size, mirrored with probability `hflip_prob`."""
    top = int(rng.integers(height - crop + 1))
    left = int(rng.integers(width - crop + 1))
    return Window(height, width, top, left, bool(rng.random() < hflip_prob))
