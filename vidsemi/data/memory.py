"""Frames in memory as an example, resized as the frames of a file are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidsemi.data.clip_sampling import ChooseFrames
from vidsemi.data.image import resized
from vidsemi.data.input_spec import Size
from vidsemi.data.manifest import Row
from vidsemi.data.transforms import scaled_size
from vidsemi.io.errors import UserError

MAX_SIDE = 1 << 15  # pixels; swscale and Pillow take no more


@dataclass(frozen=True)
class MemoryRow(Row):
    """A video whose frames are in memory, or an image."""

    frames: Any = field(default=(), compare=False, repr=False)  # (H, W, 3) uint8 or `av.VideoFrame` each
    image: bool = False

    def read(self, choose: ChooseFrames, size: Size) -> np.ndarray:
        """Return the chosen frames, (N, 3, height, width) uint8.

        A video's frames are resized by swscale, an image by Pillow, as those of files are. A file has the very same
        pixels if its frames keep their size or are coded in RGB, and up to rounding of its colors otherwise, since
        swscale scales the chroma planes of a file before they are converted to RGB.
        """
        if self.image:
            return _read_image(self.frames[0], size)[choose(1)]
        import av
        from av.video.reformatter import VideoReformatter

        from vidsemi.data.video.color import to_rgb

        numbers, places = np.unique(choose(len(self.frames)), return_inverse=True)
        scaler, scaled = VideoReformatter(), []
        for number in numbers.tolist():
            frame = self.frames[number]
            if not isinstance(frame, av.VideoFrame):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            height, width = scaled_size(size, frame.height, frame.width)
            scaled.append(np.stack(to_rgb(scaler, frame, height, width)))
        return np.stack(scaled)[places]


def _read_image(frame: Any, size: Size) -> np.ndarray:
    from PIL import Image

    return resized(Image.fromarray(np.ascontiguousarray(frame)), size)


def rows_in_memory(videos: Sequence[Any]) -> list[Row]:
    """Check videos in memory and return them as examples, which are named "video 0", "video 1" and so on.

    Args:
        videos: arrays (n, H, W, 3) uint8, RGB, of at least one frame; sequences of arrays (H, W, 3) or of
            `av.VideoFrame`; or arrays (H, W, 3), which are images. Tensors on the CPU and Pillow images will do.

    Raises:
        UserError: one has another shape or type.
    """
    return [_row(number, video) for number, video in enumerate(videos)]


def _row(number: int, video: Any) -> MemoryRow:
    name = f"video {number}"
    if isinstance(video, list | tuple):
        frames: list[Any] = [frame if _is_decoded(frame) else _array(name, frame, (3,)) for frame in video]
        if not frames:
            raise UserError("frames.none", f"{name} has no frames; give at least one")
        sizes = {(frame.height, frame.width) if _is_decoded(frame) else frame.shape[:2] for frame in frames}
        if len(sizes) > 1:
            shown = " and ".join(f"{height}×{width}" for height, width in sorted(sizes)[:2])
            raise UserError("frames.sizes_differ", f"{name} has frames of {shown}; give all of them the same size")
        return MemoryRow(number, name, frames=frames)
    array = _array(name, video, (3, 4))
    if array.ndim == 3:
        return MemoryRow(number, name, frames=[array], image=True)
    if not len(array):
        raise UserError("frames.none", f"{name} has no frames; give at least one")
    return MemoryRow(number, name, frames=array)


def _is_decoded(frame: Any) -> bool:
    return hasattr(frame, "to_ndarray")  # an `av.VideoFrame`, without importing av


def _array(name: str, value: Any, dimensions: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(value)
    except Exception as error:  # of a tensor on a GPU, for example
        raise UserError("frames.wrong_type", f"{name} is not an array: {' '.join(str(error).split())}") from None
    if array.dtype != np.uint8:
        raise UserError("frames.wrong_type", f"{name} has values of type {array.dtype}; give uint8, from 0 to 255")
    if array.ndim not in dimensions or array.shape[-1] != 3:
        hint = "; move the channels to the end" if array.ndim > 2 and 3 in array.shape[-3:-1] else ""
        expected = "(n, height, width, 3)" if 4 in dimensions else "(height, width, 3) for each frame"
        raise UserError("frames.wrong_shape", f"{name} has the shape {array.shape}, expected {expected}{hint}")
    if not all(0 < side <= MAX_SIDE for side in array.shape[-3:-1]):
        height, width = array.shape[-3:-1]
        raise UserError("frames.wrong_shape", f"{name} has frames of {height}×{width}; sides go from 1 to {MAX_SIDE}")
    return array
