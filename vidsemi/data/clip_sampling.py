"""Where clips start and which frames they have, in integer arithmetic (10-clip test: paper, section on video).

n is the number of frames that really decode, T = `frames` the length of a clip, `stride` the step between its frames,
and L = `span(T, stride)` the number of video frames that it covers.
"""

from collections.abc import Callable

import numpy as np

ChooseFrames = Callable[[int], np.ndarray]  # number of frames n → frame numbers in [0, n), any order


def span(frames: int, stride: int) -> int:
    """Video frames from the first to the last of a clip, both included: 7 for 4 frames with stride 2 (fxfxfxf)."""
    return (frames - 1) * stride + 1


def view_starts(n: int, length: int, views: int) -> list[int]:
    """First frames of evenly spaced clips of length L: the first starts at frame 0, the last ends on the last frame.

    A single view lies in the middle. If the video is shorter than a clip, all views start at frame 0.

    >>> view_starts(100, 8, 4)
    [0, 30, 61, 92]
    """
    room = max(n - length, 0)
    return [i * room // (views - 1) for i in range(views)] if views > 1 else [room // 2]


def clip_indices(start: int, frames: int, stride: int, n: int) -> np.ndarray:
    """Frame numbers of one clip, (T,) int64; past the end of the video the last frame is repeated."""
    return np.minimum(start + stride * np.arange(frames, dtype=np.int64), n - 1)


def view_indices(n: int, frames: int, stride: int, views: int) -> np.ndarray:
    """Frame numbers of all views of a video, (V, T) int64."""
    starts = view_starts(n, span(frames, stride), views)
    return np.stack([clip_indices(start, frames, stride, n) for start in starts])


def random_clip_indices(n: int, frames: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Frame numbers of one training clip, (T,) int64; the start is uniform in [0, n - L]."""
    room = max(n - span(frames, stride), 0)
    return clip_indices(int(rng.integers(room + 1)), frames, stride, n)
