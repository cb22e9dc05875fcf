"""Resize, crop and flip arithmetic of frames, which stay uint8 until the device normalizes them (`normalize.py`)."""

import math
from dataclasses import dataclass

import numpy as np

from vidsemi.data.input_spec import Size

MAX_ASPECT = 8


def scaled_size(size: Size, height: int, width: int) -> tuple[int, int]:
    """(height, width) of a frame after scaling; the longer side is rounded down, as in torchvision.

    An aspect ratio beyond 8:1 is squeezed to 8:1: a file of one line of pixels must not take gigabytes.

    >>> scaled_size(256, 240, 320), scaled_size(256, 320, 240), scaled_size((128, 171), 240, 320)
    ((256, 341), (341, 256), (128, 171))
    """
    if not isinstance(size, int):
        return size
    longer = min(size * max(height, width) // min(height, width), MAX_ASPECT * size)
    return (longer, size) if height > width else (size, longer)


def center_crop(frames: np.ndarray, crop: int) -> np.ndarray:
    """Crop the central square: (..., H, W) → (..., crop, crop)."""
    top, left = (frames.shape[-2] - crop) // 2, (frames.shape[-1] - crop) // 2
    return frames[..., top : top + crop, left : left + crop]


def ten_crops(frames: np.ndarray, crop: int) -> np.ndarray:
    """Crop corners and center, then flip each (Krizhevsky et al. 2012): (..., H, W) → (10, ..., crop, crop)."""
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


def random_box(height: int, width: int, scale: tuple[float, float], rng: np.random.Generator) -> Box:
    """Draw the box of a random resized crop from a frame of a size (Szegedy et al. 2015, section 6).

    Its share of the frame's area is uniform in `scale`, its aspect ratio log-uniform from 3:4 to 4:3. If ten draws do
    not fit into the frame, it is the largest central box of such a ratio.
    """
    least, most = 3 / 4, 4 / 3
    for _ in range(10):
        pixels, ratio = height * width * rng.uniform(*scale), math.exp(rng.uniform(math.log(least), math.log(most)))
        box = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < box[0] <= height and 0 < box[1] <= width:
            return Box(int(rng.integers(height - box[0] + 1)), int(rng.integers(width - box[1] + 1)), *box)
    box = min(height, round(width / least)), min(width, round(height * most))
    return Box((height - box[0]) // 2, (width - box[1]) // 2, *box)


def crop_and_resize(frames: np.ndarray, box: Box, size: int) -> np.ndarray:
    """Crop the box and scale it to a square with Pillow (antialiased): (T, 3, H, W) → (T, 3, size, size) uint8."""
    from PIL import Image

    cut = frames[:, :, box.top : box.top + box.height, box.left : box.left + box.width].transpose(0, 2, 3, 1)
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in cut]
    scaled = [image.resize((size, size), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in scaled]).transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class Window:
    """The crop of a training clip, a square whose side is the network's input size."""

    top: int  # first row of the crop
    left: int
    size: int  # of its sides
    flipped: bool  # horizontally

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """The crop as a view: (..., H, W) → (..., size, size)."""
        cut = frames[..., self.top : self.top + self.size, self.left : self.left + self.size]
        return cut[..., ::-1] if self.flipped else cut


def random_window(height: int, width: int, crop: int, hflip_prob: float, rng: np.random.Generator) -> Window:
    """Draw a crop of `crop` × `crop` pixels in frames of a size, flipped with probability `hflip_prob`."""
    top = int(rng.integers(height - crop + 1))
    left = int(rng.integers(width - crop + 1))
    return Window(top, left, crop, bool(rng.random() < hflip_prob))
