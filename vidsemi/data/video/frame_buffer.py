"""The output array of a video: decoded frames are converted to RGB into its rows."""

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidsemi.data.input_spec import Size
from vidsemi.data.video.color import to_rgb
from vidsemi.data.video.picture import Picture


class FrameBuffer:
    """Wanted frames as one array, filled as they are decoded; other frames are not converted.

    `wanted` are (N,) frame numbers in any order, also repeated; `size` is (height, width) of the result or its shorter
    side, None that of the first frame as it is shown.
    """

    def __init__(self, wanted: np.ndarray, size: Size | None, picture: Picture):
        self.wanted, self._size, self._picture = wanted, size, picture
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
        shown, frame = self._picture.orientations.of(frame), self._picture.prepare(frame)
        if self._pixels is None:
            size = self._picture.size(self._size, frame, shown)
            self._pixels = np.empty((len(self.wanted), 3, *size), np.uint8)
        height, width = shown.size(*self._pixels.shape[-2:])
        row = self._pixels[self._row[number]]
        for channel, plane in enumerate(to_rgb(self._scaler, frame, height, width)):
            row[channel] = shown.apply(plane)

    def array(self) -> np.ndarray:
        """(N, 3, height, width) uint8, RGB: the frames in the order of `wanted`."""
        assert self._pixels is not None and self.complete
        rows = self._first_row[self._frame_of_row]
        for row in np.flatnonzero(rows != np.arange(len(rows))).tolist():
            self._pixels[row] = self._pixels[rows[row]]
        return self._pixels
