"""Display matrices: how a container or codec wants the frames turned and mirrored."""

import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to show a rectangle: first transposed, then mirrored."""

    transposed: bool = False
    mirrored_x: bool = False  # left to right
    mirrored_y: bool = False  # upside down

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the picture shown, or of the one stored."""
        return (width, height) if self.transposed else (height, width)

    def apply(self, plane: np.ndarray) -> np.ndarray:
        """The picture shown, as a view of the one stored, (H, W)."""
        shown = plane.T if self.transposed else plane
        return shown[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1]

    @property
    def rotation(self) -> int:
        """Counterclockwise degrees by which the picture is turned; 0 if it is mirrored."""
        turns = {(True, False, True): 90, (False, True, True): 180, (True, True, False): 270}
        return turns.get((self.transposed, self.mirrored_x, self.mirrored_y), 0)


UPRIGHT = Orientation()


class Orientations:
    """How each decoded frame of a stream is shown.

    Any other matrix stands for the nearest of the eight: its scale, its shear and the rest of its angle are
    ignored. (FFmpeg turns the scale to a pixel aspect.) A matrix of zeros leaves the frame as it is.

    In PyAV, a frame whose side data were looked at stays in memory until the garbage collector runs (3 MB in 1080p). So
    they are read once for each value of `rotation`, of which a stream hardly has more than one.
    """

    def __init__(self) -> None:
        self._by_rotation: dict[int, Orientation] = {}

    def of(self, frame: av.VideoFrame) -> Orientation:
        """The orientation of one frame."""
        rotation = frame.rotation
        if rotation not in self._by_rotation:
            self._by_rotation[rotation] = _read(frame)
        return self._by_rotation[rotation]


def _read(frame: av.VideoFrame) -> Orientation:
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # of PyAV, if a frame has data of a kind that it does not know, such as EXIF
        turned = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -180: (-1, 0, 0, -1), -90: (0, 1, -1, 0)}
        return nearest(*turned.get(90 * round(frame.rotation / 90), (1, 0, 0, 1)))
    if matrix is None or matrix.buffer_size < 36:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:36])
    return nearest(a, b, c, d)


def nearest(a: int, b: int, c: int, d: int) -> Orientation:
    """The orientation nearest to x' = a·x + c·y, y' = b·x + d·y, with y downwards.

    >>> nearest(0, 1, -1, 0) == Orientation(transposed=True, mirrored_x=True), nearest(0, 0, 0, 0) == UPRIGHT
    (True, True)
    """
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, mirrored_x=c < 0, mirrored_y=b < 0)
    return Orientation(False, mirrored_x=a < 0, mirrored_y=d < 0)
