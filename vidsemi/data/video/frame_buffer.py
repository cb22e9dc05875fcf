"""Decoded frames → rows of one uint8 array."""

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vidsemi.data.input_spec import Size
from vidsemi.data.transforms import scaled_size

GBR = (1, 2, 0)  # channels of the planes of FFmpeg's `gbrp`


class Canvas:
    """The array that is asked for, filled as frames come; only frames that are wanted are converted.

    Pixels are scaled bilinearly by swscale into planes: 80 µs a frame of 340×256 → 171×128, where packed `rgb24` of the
    same values takes 175 µs; and planes are what networks take in.

    Args:
        wanted: (N,) frame numbers in any order, also repeated.
        size: (height, width) of the result or length of its shorter side; None keeps that of the first frame.
    """

    def __init__(self, wanted: np.ndarray, size: Size | None):
        self.wanted, self._asked = wanted, size
        numbers, first, self._copy_of = np.unique(wanted, return_index=True, return_inverse=True)
        self._row = dict(zip(numbers.tolist(), first.tolist(), strict=True))
        self._first = first
        self._missing = set(numbers.tolist())
        self._scaler = VideoReformatter()  # one a video: a new one a frame would cost more than small frames do
        self._pixels: np.ndarray | None = None

    @property
    def complete(self) -> bool:
        """Whether every wanted frame has come."""
        return not self._missing

    def put(self, number: int, frame: av.VideoFrame) -> None:
        """Take in the frame of this number, if it is wanted."""
        if number in self._missing:
            self._missing.remove(number)
            self._draw(self._row[number], frame)

    def array(self) -> np.ndarray:
        """(N, 3, height, width) uint8, RGB: the wanted frames in the order in which they were asked for."""
        assert self._pixels is not None and self.complete
        rows = self._first[self._copy_of]
        copies = np.flatnonzero(rows != np.arange(len(rows)))
        for row in copies.tolist():
            self._pixels[row] = self._pixels[rows[row]]
        return self._pixels

    def _draw(self, row: int, frame: av.VideoFrame) -> None:
        turns = round(frame.rotation / 90) % 4
        if self._pixels is None:
            upright = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
            size = upright if self._asked is None else scaled_size(self._asked, *upright)
            self._pixels = np.empty((len(self.wanted), 3, *size), np.uint8)
        height, width = self._pixels.shape[:-3:-1] if turns % 2 else self._pixels.shape[-2:]
        scaled = self._scaler.reformat(
            frame, width=width, height=height, format="gbrp", interpolation=Interpolation.BILINEAR, threads=1
        )
        for channel, plane in zip(GBR, scaled.planes, strict=True):
            lines = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
            pixels = lines[:, :width]  # without their padding
            self._pixels[row, channel] = np.rot90(pixels, turns) if turns else pixels
