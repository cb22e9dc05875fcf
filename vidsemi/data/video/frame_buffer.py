"""The output array of a video: decoded frames are converted to RGB into its rows."""

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vidsemi.data.input_spec import Size
from vidsemi.data.transforms import scaled_size

GBR = (1, 2, 0)  # channels of the planes of FFmpeg's `gbrp`


class FrameBuffer:
    """Wanted frames as one array, filled as they are decoded; other frames are not converted.

    swscale scales bilinearly into planes: 80 µs for a frame of 340×256 → 171×128, where packed `rgb24` takes 175 µs for
    the same values; and networks take planes. `wanted` are (N,) frame numbers in any order, also repeated; `size` is
    (height, width) of the result or its shorter side, None that of the first frame.
    """

    def __init__(self, wanted: np.ndarray, size: Size | None):
        self.wanted, self._size = wanted, size
        numbers, self._first_row, self._frame_of_row = np.unique(wanted, return_index=True, return_inverse=True)
        self._row = dict(zip(numbers.tolist(), self._first_row.tolist(), strict=True))
        self._missing = set(numbers.tolist())
        self._scaler = VideoReformatter()  # one per video: a new one per frame would cost more than small frames do
        self._pixels: np.ndarray | None = None

    @property
    def complete(self) -> bool:
        """Whether every wanted frame has been put."""
        return not self._missing

    def put(self, number: int, frame: av.VideoFrame) -> None:
        """Convert the frame of this number, if it is wanted."""
        if number not in self._missing:
            return
        self._missing.remove(number)
        row, turns = self._row[number], round(frame.rotation / 90) % 4
        if self._pixels is None:
            upright = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
            size = upright if self._size is None else scaled_size(self._size, *upright)
            self._pixels = np.empty((len(self.wanted), 3, *size), np.uint8)
        height, width = self._pixels.shape[:-3:-1] if turns % 2 else self._pixels.shape[-2:]
        scaled = self._scaler.reformat(
            frame, width=width, height=height, format="gbrp", interpolation=Interpolation.BILINEAR, threads=1
        )
        for channel, plane in zip(GBR, scaled.planes, strict=True):
            lines = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
            pixels = lines[:, :width]  # without padding
            self._pixels[row, channel] = np.rot90(pixels, turns) if turns else pixels

    def array(self) -> np.ndarray:
        """(N, 3, height, width) uint8, RGB: the frames in the order of `wanted`."""
        assert self._pixels is not None and self.complete
        rows = self._first_row[self._frame_of_row]
        for row in np.flatnonzero(rows != np.arange(len(rows))).tolist():
            self._pixels[row] = self._pixels[rows[row]]
        return self._pixels
